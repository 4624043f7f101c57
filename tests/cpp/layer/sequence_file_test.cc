// The files of CrossAttention and HierarchicalAttention, files that try to break loading, and how
// the files of the layers are told apart.
#include <gtest/gtest.h>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

#include "check.h"
#include "io/peak_memory.h"
#include "io/temporary_folder.h"
#include "layer/layer_file.h"
#include "layer/weights.h"
#include "memattn/cross_attention.h"
#include "memattn/errors.h"
#include "memattn/hierarchical_attention.h"
#include "memattn/layer_file.h"
#include "memattn/memory_augmented_attention.h"
#include "testing/arrays.h"
#include "testing/hostile_file.h"

namespace memattn {
namespace {

using testing::read_all;
using testing::TemporaryFolder;

// The content of a layer's file.
template <typename T, typename Config>
struct SavedLayer {
  explicit SavedLayer(const Config& layer_config)
      : config(layer_config),
        parameters(testing::normal_array<T>(count_params(layer_config), layer_config.seed)) {}

  void save(const std::filesystem::path& path) const {
    save_layer<T, Config>(path, config, parameters);
  }
  static LoadedLayer<T, Config> load(const std::filesystem::path& path) {
    return load_layer<T, Config>(path);
  }

  Config config;
  std::vector<T> parameters;
};

template <typename Config>
Config small_config() {
  Config config;
  config.units = 3;
  config.num_heads = 2;
  config.key_dim = 2;
  config.seed = 7;
  if constexpr (std::same_as<Config, CrossAttentionConfig>) {
    config.source1_units = 4;
    config.source2_units = 5;
  } else {
    config.short_units = 4;
    config.long_units = 5;
  }
  return config;
}

template <typename Config>
std::string layer_of() {
  return std::same_as<Config, CrossAttentionConfig> ? "CrossAttention" : "HierarchicalAttention";
}

// Returns the message of the FormatError that `work` throws, or "" for none.
template <typename Work>
std::string error_of(const Work& work) {
  try {
    work();
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

TEST(SequenceFileBytes, FollowTheSpecification) {
  const CrossAttentionConfig config{.units = 1, .num_heads = 1, .use_bias = false, .seed = 7};
  const TemporaryFolder folder;
  const std::vector<float> weights = {1, 2, 3, 4, 5, 6};
  save_layer<float, CrossAttentionConfig>(folder / "tiny", config, weights);
  std::string header =
      R"({"__metadata__":{"config":"{\"units\":1,\"num_heads\":1,\"source1_units\":null,)"
      R"(\"source2_units\":null,\"key_dim\":null,\"value_dim\":null,\"use_bias\":false,)"
      R"(\"dropout\":0.0,\"fully_masked\":\"zero\",\"seed\":7}",)"
      R"("format":"memattn.CrossAttention","format_version":"1"},)"
      R"("source1.kernel":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},)"
      R"("source2.kernel":{"dtype":"F32","shape":[1,1],"data_offsets":[4,8]},)"
      R"("query.kernel":{"dtype":"F32","shape":[1,1,1],"data_offsets":[8,12]},)"
      R"("key.kernel":{"dtype":"F32","shape":[1,1,1],"data_offsets":[12,16]},)"
      R"("value.kernel":{"dtype":"F32","shape":[1,1,1],"data_offsets":[16,20]},)"
      R"("output.kernel":{"dtype":"F32","shape":[1,1,1],"data_offsets":[20,24]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::string_view data(reinterpret_cast<const char*>(weights.data()), 24);
  EXPECT_EQ(read_all(folder / "tiny"), testing::safetensors_bytes(header, data));
}

template <typename Config>
class SequenceFile : public ::testing::Test {};
using Configs = ::testing::Types<CrossAttentionConfig, HierarchicalAttentionConfig>;
TYPED_TEST_SUITE(SequenceFile, Configs);

template <typename T, typename Config>
void expect_read_back(const Config& config) {
  const TemporaryFolder folder;
  const SavedLayer<T, Config> layer(config);
  layer.save(folder / "layer");
  const auto loaded = layer.load(folder / "layer");
  EXPECT_EQ(loaded.config, config);
  EXPECT_TRUE(testing::same_bits(loaded.parameters, layer.parameters));
  EXPECT_EQ(layer_file_info(folder / "layer"),
            (LayerFileInfo{layer_of<Config>(), sizeof(T) == 4 ? "float32" : "float64"}));
  const std::string bytes = read_all(folder / "layer");
  save_layer<T, Config>(folder / "layer", loaded.config, loaded.parameters);
  EXPECT_EQ(read_all(folder / "layer"), bytes) << "the same layer must give the same bytes";
  EXPECT_EQ(folder.names(), std::vector<std::string>{"layer"});
}

TYPED_TEST(SequenceFile, ReadsBackEveryKindOfLayer) {
  std::vector<TypeParam> configs(5, small_config<TypeParam>());
  configs[1].use_bias = false;
  configs[2].value_dim = 5;
  configs[2].fully_masked = FullyMasked::kUniform;
  configs[3] = TypeParam{.units = 4, .num_heads = 3};
  configs[3].dropout = 0.25;
  configs[4] = TypeParam{.units = 1, .num_heads = 1};
  for (const TypeParam& config : configs) {
    expect_read_back<float>(config);
    expect_read_back<double>(config);
  }
}

TYPED_TEST(SequenceFile, AFileOfAnotherLayerIsRefusedWithBothNames) {
  const TemporaryFolder folder;
  const MemoryAugmentedAttention<float> memory({.units = 3, .memory_size = 2, .num_heads = 2});
  memory.save(folder / "memory");
  const SavedLayer<float, TypeParam> layer(small_config<TypeParam>());
  layer.save(folder / "layer");
  const auto load_as = [&]<typename Config>(const char* file) {
    return error_of([&] { static_cast<void>(load_layer<float, Config>(folder / file)); });
  };
  const auto message = [&](const char* file, const std::string& found,
                           const std::string& expected) {
    return concat((folder / file).string(), ": __metadata__: format: found \"memattn.", found,
                  "\", expected memattn.", expected);
  };
  const std::string name = layer_of<TypeParam>();
  EXPECT_EQ(load_as.template operator()<TypeParam>("memory"),
            message("memory", "MemoryAugmentedAttention", name));
  EXPECT_EQ(load_as.template operator()<MemoryAugmentedAttentionConfig>("layer"),
            message("layer", name, "MemoryAugmentedAttention"));
  EXPECT_EQ(
      error_of([&] { static_cast<void>(MemoryAugmentedAttention<float>::load(folder / "layer")); }),
      message("layer", name, "MemoryAugmentedAttention"));
  EXPECT_EQ(error_of([&] { static_cast<void>(layer_file_dtype(folder / "layer")); }),
            message("layer", name, "MemoryAugmentedAttention"));
  using Other = std::conditional_t<std::same_as<TypeParam, CrossAttentionConfig>,
                                   HierarchicalAttentionConfig, CrossAttentionConfig>;
  EXPECT_EQ(load_as.template operator()<Other>("layer"), message("layer", name, layer_of<Other>()));
  EXPECT_EQ(layer_file_info(folder / "memory"),
            (LayerFileInfo{"MemoryAugmentedAttention", "float32"}));
}

template <typename Layer>
void expect_layer_read_back(const Layer& layer) {
  const TemporaryFolder folder;
  layer.save(folder / "layer");
  const Layer loaded = Layer::load(folder / "layer");
  EXPECT_EQ(loaded.config(), layer.config());
  EXPECT_TRUE(testing::same_bits(loaded.parameters(), layer.parameters()));
}

TEST(SequenceFileOfLayers, IsReadBackByTheClassOfTheLayer) {
  expect_layer_read_back(CrossAttention<float>(small_config<CrossAttentionConfig>()));
  expect_layer_read_back(CrossAttention<double>(small_config<CrossAttentionConfig>()));
  expect_layer_read_back(HierarchicalAttention<float>(small_config<HierarchicalAttentionConfig>()));
  expect_layer_read_back(
      HierarchicalAttention<double>(small_config<HierarchicalAttentionConfig>()));
}

template <typename Config>
class HostileSequenceFile : public testing::HostileFile<SavedLayer<float, Config>> {
 protected:
  using Base = testing::HostileFile<SavedLayer<float, Config>>;
  HostileSequenceFile() : Base(SavedLayer<float, Config>(small_config<Config>())) {}

  void expect_error(const std::string& what) const {
    this->expect_message(this->load_error(), what);
    EXPECT_THROW(static_cast<void>(layer_file_info(this->path_)), FormatError) << what;
  }
  void refuse_metadata(const std::string& key, const std::string& value,
                       const std::string& what) const {
    this->write_metadata(key, value);
    expect_error(what);
  }
};
TYPED_TEST_SUITE(HostileSequenceFile, Configs);

TYPED_TEST(HostileSequenceFile, RefusesTruncationAtEveryByte) {
  this->expect_truncations_refused();
}

TYPED_TEST(HostileSequenceFile, RefusesMostFlippedBitsOfTheHeader) {
  this->expect_flips_refused({0, 5}, 20);
}

TYPED_TEST(HostileSequenceFile, RefusesWrongMetadata) {
  const std::string layer = layer_of<TypeParam>();
  this->refuse_metadata("format", "memattn.Other",
                        "__metadata__: format: found \"memattn.Other\", expected memattn." + layer);
  EXPECT_EQ(error_of([&] { static_cast<void>(layer_file_info(this->path_)); }),
            this->path_.string() +
                ": __metadata__: format: found \"memattn.Other\", expected one of "
                "memattn.MemoryAugmentedAttention, memattn.CrossAttention, "
                "memattn.HierarchicalAttention");
  this->refuse_metadata("format", "", "format: found \"\"");
  this->refuse_metadata("format", layer, "format: found \"" + layer + "\"");
  this->refuse_metadata("format_version", "3", "needs a newer memattn");
  this->refuse_metadata("config", "", "config: " + layer + ": json: byte 1");
  this->refuse_metadata("config", "{}", "found no key \"units\"");
  this->refuse_metadata("config", std::string(5000, '['), "found nesting deeper than 4");
  this->refuse_metadata("config", R"({"units":3,"memory_size":2,"num_heads":2})",
                        "found key \"memory_size\", expected one of units, num_heads");
  this->refuse_metadata("config", R"({"units":0,"num_heads":2})",
                        "config: " + layer + ": units: found 0, expected at least 1");
  for (const char* key : {"format", "format_version", "config"}) {
    auto metadata = this->metadata_;
    metadata.erase(key);
    this->write_parts(this->tensors_, metadata);
    this->expect_error(std::string("__metadata__: found no key ") + key);
  }
  this->write_metadata("made by", "someone");
  EXPECT_EQ(this->load_error(), "") << "other metadata is allowed";
}

TYPED_TEST(HostileSequenceFile, RefusesAConfigOfAnotherSize) {
  const bool cross = std::same_as<TypeParam, CrossAttentionConfig>;
  const std::string widths =
      cross ? R"("source1_units":4,"source2_units":5)" : R"("short_units":4,"long_units":5)";
  const std::string rest = R"({"units":3,"num_heads":2,"key_dim":2)";
  this->write_metadata("config", rest + "," + widths + "}");
  EXPECT_EQ(this->load_error(), "");
  const std::string first = cross ? "source1.kernel" : "short.dense.kernel";
  this->refuse_metadata("config", rest + "}",
                        "tensor \"" + first + "\": found shape (4, 3), expected (3, 3)");
  this->refuse_metadata("config", rest + R"(,"value_dim":3,)" + widths + "}",
                        "value.kernel\": found shape (3, 2, 2), expected (3, 2, 3)");
  this->refuse_metadata(
      "config", rest + R"(,"use_bias":false,)" + widths + "}",
      "header: found tensor \"" + this->tensors_[1].name + "\", expected only the layer's weights");
}

// A small file whose config claims terabytes is refused after its header.
TYPED_TEST(HostileSequenceFile, RefusesAnEnormousConfig) {
  for (const char* config : {R"({"units":1000000,"num_heads":1,"key_dim":1})",
                             R"({"units":2147483647,"num_heads":1,"key_dim":1})",
                             R"({"units":1,"num_heads":1,"key_dim":2147483647})",
                             R"({"units":9223372036854775807,"num_heads":9223372036854775807})"}) {
    this->write_metadata("config", config);
    std::string message;
    EXPECT_LT(testing::peak_memory_of([&] { message = this->load_error(); }), 1u << 20);
    EXPECT_NE(message, "") << config;
    EXPECT_THROW(static_cast<void>(layer_file_info(this->path_)), FormatError);
  }
}

TYPED_TEST(HostileSequenceFile, RefusesMissingAndWrongTensors) {
  EXPECT_EQ(this->tensors_.size(), (std::same_as<TypeParam, CrossAttentionConfig> ? 12u : 20u));
  for (std::size_t i = 0; i < this->tensors_.size(); ++i) {
    const std::string place = "tensor \"" + this->tensors_[i].name + "\"";

    auto changed = this->tensors_;
    changed.erase(changed.begin() + static_cast<std::ptrdiff_t>(i));
    this->write_parts(changed, this->metadata_);
    this->expect_error("header: found no " + place + ", expected one of shape (");

    changed = this->tensors_;
    changed[i].name += "2";
    this->write_parts(changed, this->metadata_);
    this->expect_error("header: found no " + place);

    changed = this->tensors_;
    changed[i].shape.push_back(1);
    this->write_parts(changed, this->metadata_);
    this->expect_error(place + ": found shape (");

    changed = this->tensors_;
    changed[i].dtype = "I32";
    this->write_parts(changed, this->metadata_);
    this->expect_error(place + ": found dtype I32, expected F32");
  }
  auto more = this->tensors_;
  more.push_back({"memory", "F32", {0}, {}});
  this->write_parts(more, this->metadata_);
  this->expect_error("header: found tensor \"memory\", expected only the layer's weights");
}

TYPED_TEST(HostileSequenceFile, AcceptsTensorsInAnyOrder) {
  const auto before = load_layer<float, TypeParam>(this->path_).parameters;
  auto reversed = this->tensors_;
  std::ranges::reverse(reversed);
  this->write_parts(reversed, this->metadata_);
  EXPECT_TRUE(testing::same_bits(load_layer<float, TypeParam>(this->path_).parameters, before));
}

TYPED_TEST(HostileSequenceFile, ErrorsOfTheOtherTypeSayHowToLoadIt) {
  SavedLayer<double, TypeParam>(small_config<TypeParam>()).save(this->path_);
  EXPECT_EQ(this->load_error(),
            this->path_.string() + ": tensor \"" + this->tensors_[0].name +
                "\": found dtype F64, expected F32; load this file as double (float64)");
  EXPECT_EQ(layer_file_info(this->path_).dtype, "float64");
  // A file with both float and double is neither.
  for (auto& tensor : this->tensors_) {
    if (tensor.name == this->tensors_[0].name) continue;
    tensor.dtype = "F64";
    tensor.data.resize(2 * tensor.data.size());
  }
  this->write_parts(this->tensors_, this->metadata_);
  this->expect_error("found dtype F64, expected F32");
}

TYPED_TEST(HostileSequenceFile, AMissingFileOrAFolderIsAnError) {
  EXPECT_THROW(static_cast<void>(layer_file_info(this->folder_ / "none")), std::system_error);
  EXPECT_THROW(static_cast<void>(layer_file_info(this->folder_.path())), FormatError);
  const SavedLayer<float, TypeParam> layer(small_config<TypeParam>());
  EXPECT_THROW(layer.load(this->folder_ / "none"), std::system_error);
  EXPECT_THROW(layer.save(this->folder_ / "none/file"), std::system_error);
}

}  // namespace
}  // namespace memattn
