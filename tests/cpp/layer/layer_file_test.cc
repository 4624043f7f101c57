// Saving and loading a layer, and files that try to break loading.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "io/peak_memory.h"
#include "io/temporary_folder.h"
#include "memattn/errors.h"
#include "memattn/memory_augmented_attention.h"
#include "testing/hostile_file.h"

namespace memattn {
namespace {

using testing::read_all;
using testing::TemporaryFolder;

MemoryAugmentedAttentionConfig small_config() {
  MemoryAugmentedAttentionConfig config;
  config.units = 3;
  config.memory_size = 2;
  config.num_heads = 2;
  config.key_dim = 2;
  config.seed = 7;
  return config;
}

template <typename T>
std::vector<T> values_of(const MemoryAugmentedAttention<T>& layer) {
  return {layer.parameters().begin(), layer.parameters().end()};
}

// The example of docs/format.md.
TEST(LayerFileBytes, FollowTheSpecification) {
  MemoryAugmentedAttentionConfig config;
  config.units = config.memory_size = config.num_heads = 1;
  config.use_bias = false;
  config.seed = 7;
  const std::vector<float> weights = {1, 2, 3, 4, 5};
  const TemporaryFolder folder;
  MemoryAugmentedAttention<float>(config, weights).save(folder / "tiny.safetensors");
  const std::string header =
      R"({"__metadata__":{"config":"{\"units\":1,\"memory_size\":1,\"num_heads\":1,)"
      R"(\"key_dim\":null,\"value_dim\":null,\"use_bias\":false,\"residual\":true,)"
      R"(\"dropout\":0.0,\"fully_masked\":\"zero\",)"
      R"(\"memory_initializer\":{\"kind\":\"normal\",\"stddev\":1.0},\"seed\":7}",)"
      R"("format":"memattn.MemoryAugmentedAttention","format_version":"1"},)"
      R"("memory":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},)"
      R"("query.kernel":{"dtype":"F32","shape":[1,1,1],"data_offsets":[4,8]},)"
      R"("key.kernel":{"dtype":"F32","shape":[1,1,1],"data_offsets":[8,12]},)"
      R"("value.kernel":{"dtype":"F32","shape":[1,1,1],"data_offsets":[12,16]},)"
      R"("output.kernel":{"dtype":"F32","shape":[1,1,1],"data_offsets":[16,20]}})";
  EXPECT_EQ(header.size(), 0x298u);
  const std::string_view data(
      "\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x40\x40\x00\x00\x80\x40\x00\x00\xa0\x40", 20);
  EXPECT_EQ(read_all(folder / "tiny.safetensors"), testing::safetensors_bytes(header, data));
}

template <typename T>
class LayerFile : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(LayerFile, Types);

TYPED_TEST(LayerFile, ReadsBackEveryKindOfLayer) {
  using Layer = MemoryAugmentedAttention<TypeParam>;
  const TemporaryFolder folder;
  std::vector<MemoryAugmentedAttentionConfig> configs(5, small_config());
  configs[1].use_bias = false;
  configs[2].value_dim = 5;
  configs[2].residual = false;
  configs[2].fully_masked = FullyMasked::kUniform;
  configs[3].memory_initializer.kind = MemoryInitializer::Kind::kZeros;
  configs[3].dropout = 0.25;
  configs[4].units = configs[4].memory_size = configs[4].num_heads = 1;
  for (const MemoryAugmentedAttentionConfig& config : configs) {
    const Layer layer(config);
    layer.save(folder / "layer");
    const Layer loaded = Layer::load(folder / "layer");
    EXPECT_EQ(loaded.config(), config);
    EXPECT_EQ(values_of(loaded), values_of(layer));
    EXPECT_EQ(layer_file_dtype(folder / "layer"), sizeof(TypeParam) == 4 ? "float32" : "float64");
    const std::string bytes = read_all(folder / "layer");
    loaded.save(folder / "layer");
    EXPECT_EQ(read_all(folder / "layer"), bytes) << "the same layer must give the same bytes";
  }
  EXPECT_EQ(folder.names(), std::vector<std::string>{"layer"});
}

TYPED_TEST(LayerFile, ComputesTheSameAfterLoading) {
  using Layer = MemoryAugmentedAttention<TypeParam>;
  const TemporaryFolder folder;
  const Layer layer(small_config());
  layer.save(folder / "layer");
  const std::vector<TypeParam> x = {1, 2, 3, -4, 5, 6};
  std::vector<TypeParam> y(6), y_loaded(6);
  layer.forward(x, {.batch = 1, .steps = 2}, y);
  Layer::load(folder / "layer").forward(x, {.batch = 1, .steps = 2}, y_loaded);
  EXPECT_EQ(y, y_loaded);
}

TEST(LayerFile, WeightsInBFloat16LoadAsRoundedFloats) {
  const testing::TemporaryFolder folder;
  const MemoryAugmentedAttention<float> layer({.units = 5, .memory_size = 3, .num_heads = 2});
  layer.save(folder / "layer", StoredType::kBFloat16);
  const auto loaded = MemoryAugmentedAttention<float>::load(folder / "layer");
  EXPECT_EQ(loaded.config(), layer.config());
  for (std::size_t i = 0; i < layer.parameters().size(); ++i) {
    const float found = loaded.parameters()[i], expected = layer.parameters()[i];
    EXPECT_TRUE(std::fabs(found - expected) <= 0x1p-8f * std::fabs(expected));
    EXPECT_EQ(std::bit_cast<std::uint32_t>(found) & 0xffffu, 0u);
  }
  EXPECT_EQ(layer_file_dtype(folder / "layer"), "float32");
  EXPECT_THROW(static_cast<void>(MemoryAugmentedAttention<double>::load(folder / "layer")),
               FormatError);
  const MemoryAugmentedAttention<double> wide({.units = 5, .memory_size = 3, .num_heads = 2});
  EXPECT_THROW(wide.save(folder / "wide", StoredType::kBFloat16), std::invalid_argument);
  EXPECT_FALSE(std::filesystem::exists(folder / "wide"));
}

class HostileLayerFile : public testing::HostileFile<MemoryAugmentedAttention<float>> {
 protected:
  HostileLayerFile() : HostileFile(MemoryAugmentedAttention<float>(small_config())) {}

  void expect_error(const std::string& what) const {
    expect_message(load_error(), what);
    EXPECT_THROW(static_cast<void>(layer_file_dtype(path_)), FormatError);
  }

  void refuse_metadata(const std::string& key, const std::string& value,
                       const std::string& what) const {
    write_metadata(key, value);
    expect_error(what);
  }
};

TEST_F(HostileLayerFile, RefusesTruncationAtEveryByte) { expect_truncations_refused(); }

TEST_F(HostileLayerFile, RefusesMostFlippedBitsOfTheHeader) {
  expect_flips_refused({0, 1, 2, 4, 5}, 20);
}

TEST_F(HostileLayerFile, RefusesWrongMetadata) {
  refuse_metadata("format", "memattn.Other",
                  "__metadata__: format: found \"memattn.Other\", expected memattn.Memory");
  refuse_metadata("format", "", "format: found \"\"");
  refuse_metadata("format_version", "3", "needs a newer memattn");
  refuse_metadata("format_version", "01", "format_version: found \"01\"");
  refuse_metadata("config", "", "config: MemoryAugmentedAttention: json: byte 1");
  refuse_metadata("config", "{}", "found no key \"units\"");
  refuse_metadata("config", std::string(5000, '['), "found nesting deeper than 4");
  refuse_metadata("config", R"({"units":3,"memory_size":2,"num_heads":2,"key_dim":2,"units":3})",
                  "second key \"units\"");
  refuse_metadata("config", R"({"units":0,"memory_size":2,"num_heads":2})",
                  "config: MemoryAugmentedAttention: units: found 0, expected at least 1");
  for (const char* key : {"format", "format_version", "config"}) {
    auto metadata = metadata_;
    metadata.erase(key);
    write_parts(tensors_, metadata);
    expect_error(std::string("__metadata__: found no key ") + key);
  }
  write_parts(tensors_, {});
  expect_error("found no key format");
  write_metadata("made by", "someone");
  EXPECT_EQ(load_error(), "") << "other metadata is allowed";
}

TEST_F(HostileLayerFile, RefusesTheConfigOfAnotherLayer) {
  refuse_metadata("config", R"({"units":3,"memory_size":3,"num_heads":2,"key_dim":2})",
                  "tensor \"memory\": found shape (2, 3), expected (3, 3)");
  refuse_metadata("config",
                  R"({"units":3,"memory_size":2,"num_heads":2,"key_dim":2,"use_bias":false})",
                  "header: found tensor \"query.bias\", expected only the layer's weights");
  refuse_metadata("config",
                  R"({"units":3,"memory_size":2,"num_heads":2,"key_dim":2,"value_dim":3})",
                  "tensor \"value.kernel\": found shape (3, 2, 2), expected (3, 2, 3)");
}

// A small file whose config claims terabytes is refused after its header.
TEST_F(HostileLayerFile, RefusesAnEnormousConfig) {
  for (const char* config :
       {R"({"units":1000000,"memory_size":1000000,"num_heads":2})",
        R"({"units":1048576,"memory_size":1048576,"num_heads":1,"key_dim":1})",
        R"({"units":2147483647,"memory_size":1,"num_heads":1,"key_dim":1})",
        R"({"units":9223372036854775807,"memory_size":9223372036854775807,"num_heads":1})"}) {
    write_metadata("config", config);
    std::string message;
    EXPECT_LT(testing::peak_memory_of([&] { message = load_error(); }), 1u << 20);
    EXPECT_NE(message, "") << config;
  }
}

TEST_F(HostileLayerFile, RefusesMissingAndWrongTensors) {
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const std::string place = "tensor \"" + tensors_[i].name + "\"";

    auto changed = tensors_;
    changed.erase(changed.begin() + static_cast<std::ptrdiff_t>(i));
    write_parts(changed, metadata_);
    expect_error("header: found no " + place + ", expected one of shape (");

    changed = tensors_;
    changed[i].name += "2";
    write_parts(changed, metadata_);
    expect_error("header: found no " + place);

    changed = tensors_;
    changed[i].shape.push_back(1);
    write_parts(changed, metadata_);
    expect_error(place + ": found shape (");

    changed = tensors_;
    changed[i].dtype = "I32";
    write_parts(changed, metadata_);
    expect_error(place + ": found dtype I32, expected F32");
  }
  auto more = tensors_;
  more.push_back({"more", "F32", {0}, {}});
  write_parts(more, metadata_);
  expect_error("header: found tensor \"more\", expected only the layer's weights");
}

TEST_F(HostileLayerFile, AcceptsTensorsInAnyOrder) {
  const auto before = values_of(MemoryAugmentedAttention<float>::load(path_));
  const std::vector<Tensor> reversed(tensors_.rbegin(), tensors_.rend());
  write_parts(reversed, metadata_);
  EXPECT_EQ(values_of(MemoryAugmentedAttention<float>::load(path_)), before);
}

TEST_F(HostileLayerFile, ErrorsOfTheOtherTypeSayHowToLoadIt) {
  MemoryAugmentedAttention<double>(small_config()).save(path_);
  EXPECT_EQ(load_error(), path_.string() + ": tensor \"memory\": found dtype F64, expected F32; " +
                              "load this file as double (float64)");
  EXPECT_EQ(layer_file_dtype(path_), "float64");
  MemoryAugmentedAttention<float>(small_config()).save(path_);
  EXPECT_THROW(static_cast<void>(MemoryAugmentedAttention<double>::load(path_)), FormatError);
  // A file with both float and double is neither.
  for (Tensor& tensor : tensors_) {
    if (tensor.name == "memory") continue;
    tensor.dtype = "F64";
    tensor.data.resize(2 * tensor.data.size());
  }
  write_parts(tensors_, metadata_);
  expect_error("found dtype F64, expected F32");
}

TEST_F(HostileLayerFile, AMissingFileOrAFolderIsAnError) {
  EXPECT_THROW(static_cast<void>(MemoryAugmentedAttention<float>::load(folder_ / "none")),
               std::system_error);
  EXPECT_THROW(static_cast<void>(MemoryAugmentedAttention<float>::load(folder_.path())),
               FormatError);
  const MemoryAugmentedAttention<float> layer(small_config());
  EXPECT_THROW(layer.save(folder_ / "none/file"), std::system_error);
  EXPECT_THROW(layer.save(folder_.path()), std::system_error);
}

}  // namespace
}  // namespace memattn
