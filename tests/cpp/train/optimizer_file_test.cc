// Saving and loading optimizers, and files that try to break loading.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "io/peak_memory.h"
#include "io/safetensors.h"
#include "io/temporary_folder.h"
#include "memattn/errors.h"
#include "memattn/optimizers.h"
#include "testing/hostile_file.h"

namespace memattn {
namespace {

namespace fs = std::filesystem;
using testing::read_all;
using testing::TemporaryFolder;

// Returns an optimizer after two steps over three parameters, with its own learning rate.
template <typename T, typename Kind>
Kind stepped(Kind optimizer) {
  std::vector<T> w = {1, 2, 3};
  optimizer.step(w, std::vector<T>{1, -0.5, 0.25});
  optimizer.set_learning_rate(0.1);
  optimizer.step(w, std::vector<T>{0.1f, 7, 0});
  return optimizer;
}

TEST(OptimizerFileBytes, FollowTheSpecification) {
  const TemporaryFolder folder;
  Sgd<float> sgd({.learning_rate = 0.5, .momentum = 0.25});
  std::vector<float> w = {0, 0};
  sgd.step(w, std::vector<float>{-2, 4});
  sgd.save(folder / "tiny");
  std::string header =
      R"({"__metadata__":{"dtype":"float32","format":"memattn.Optimizer","format_version":"1",)"
      R"("iterations":"1","kind":"SGD","learning_rate":"0.5","momentum":"0.25",)"
      R"("nesterov":"false","parameters":"2"},)"
      R"("velocity":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const std::string_view data("\x00\x00\x80\x3f\x00\x00\x00\xc0", 8);  // 1 and -2
  EXPECT_EQ(read_all(folder / "tiny"), testing::safetensors_bytes(header, data));
}

template <typename T>
class OptimizerFile : public ::testing::Test {
 protected:
  template <typename Kind>
  void expect_round_trip(const Kind& optimizer) {
    const fs::path path = folder_ / "optimizer";
    optimizer.save(path);
    Kind loaded = Kind::load(path);
    EXPECT_EQ(loaded.state(), optimizer.state());
    EXPECT_EQ(optimizer_file_dtype(path), sizeof(T) == 4 ? "float32" : "float64");
    const std::string bytes = read_all(path);
    loaded.save(path);
    EXPECT_EQ(read_all(path), bytes) << "the same optimizer must give the same bytes";
    // The options are the same too, which the next step shows.
    Kind original = optimizer;
    std::vector<T> w = {4, 5, 6}, w_loaded = w;
    const std::vector<T> g = {0.3f, -2, 1};
    original.step(w, g);
    loaded.step(w_loaded, g);
    EXPECT_EQ(w_loaded, w);
    EXPECT_EQ(folder_.names(), std::vector<std::string>{"optimizer"});
  }

  const TemporaryFolder folder_;
};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(OptimizerFile, Types);

TYPED_TEST(OptimizerFile, ReadsBackEveryKind) {
  using T = TypeParam;
  for (const Sgd<T>& sgd :
       {Sgd<T>(), Sgd<T>({.learning_rate = 0.3}), Sgd<T>({.momentum = 0.7}),
        Sgd<T>({.momentum = 1.0 / 3, .nesterov = true}), Sgd<T>({.nesterov = true})}) {
    this->expect_round_trip(sgd);
    this->expect_round_trip(stepped<T>(sgd));
  }
  const AdamOptions options{.learning_rate = 1e-300,
                            .beta_1 = 0.1,
                            .beta_2 = 2.0 / 3,
                            .epsilon = 1e-5,
                            .weight_decay = 0.05};
  for (const Adam<T>& adam : {Adam<T>(), Adam<T>(options)}) {
    this->expect_round_trip(adam);
    this->expect_round_trip(stepped<T>(adam));
  }
  for (const AdamW<T>& adamw : {AdamW<T>(), AdamW<T>({.beta_1 = 0.1, .weight_decay = 0})}) {
    this->expect_round_trip(adamw);
    this->expect_round_trip(stepped<T>(adamw));
  }
}

TYPED_TEST(OptimizerFile, KeepsOptionsToTheBit) {
  using T = TypeParam;
  const fs::path path = this->folder_ / "optimizer";
  const AdamWOptions options{.learning_rate = 0.1,
                             .beta_1 = 1.0 / 3,
                             .beta_2 = 0.9999999999999999,
                             .epsilon = 1.1754943508222875e-38,
                             .weight_decay = 5e-324};
  AdamW<T>(options).save(path);
  const AdamWOptions found = AdamW<T>::load(path).options();
  EXPECT_EQ(found.learning_rate, options.learning_rate);
  EXPECT_EQ(found.beta_1, options.beta_1);
  EXPECT_EQ(found.beta_2, options.beta_2);
  EXPECT_EQ(found.epsilon, options.epsilon);
  EXPECT_EQ(found.weight_decay, options.weight_decay);
}

// A run that diverged can be saved and loaded like any other.
TYPED_TEST(OptimizerFile, KeepsValuesThatAreNotFinite) {
  using T = TypeParam;
  const fs::path path = this->folder_ / "optimizer";
  Adam<T> adam;
  std::vector<T> w = {1, 2};
  adam.step(w, std::vector<T>{std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::max()});
  adam.save(path);
  const Adam<T> loaded = Adam<T>::load(path);
  const auto bits = [](std::span<const T> values) {
    return std::string(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  };
  EXPECT_EQ(bits(loaded.mean()), bits(adam.mean()));
  EXPECT_EQ(bits(loaded.square()), bits(adam.square()));
}

class HostileOptimizerFile : public testing::HostileFile<Adam<float>> {
 protected:
  HostileOptimizerFile() : HostileFile(stepped<float>(Adam<float>())) {}

  template <typename Kind = Adam<float>>
  void refuse_metadata(const std::string& key, const std::string& value,
                       const std::string& what) const {
    write_metadata(key, value);
    expect_message(load_error<Kind>(), what);
  }
};

TEST_F(HostileOptimizerFile, RefusesTruncationAtEveryByte) { expect_truncations_refused(); }

TEST_F(HostileOptimizerFile, RefusesMostFlippedBitsOfTheHeader) {
  expect_flips_refused({0, 1, 2, 3, 4, 5, 6, 7}, 10);
}

TEST_F(HostileOptimizerFile, RefusesOtherFormatsVersionsAndKinds) {
  refuse_metadata("format", "memattn.MemoryAugmentedAttention",
                  "__metadata__: format: found \"memattn.MemoryAugmentedAttention\", expected "
                  "memattn.Optimizer");
  refuse_metadata("format_version", "2", "needs a newer memattn");
  refuse_metadata("dtype", "float16", "dtype: found \"float16\", expected float32 or float64");
  refuse_metadata("kind", "Lion", "__metadata__: kind: found \"Lion\", expected Adam");
  refuse_metadata("kind", std::string(100000, 'x') + '\n', "kind: found \"xxx");
  refuse_metadata("amsgrad", "true",
                  "__metadata__: found key \"amsgrad\", expected only the keys of Adam");
  refuse_metadata("momentum", "0.5",
                  "__metadata__: found key \"momentum\", expected only the keys");
  for (const auto& [key, value] : metadata_) {
    auto metadata = metadata_;
    metadata.erase(key);
    write_parts(tensors_, metadata);
    expect_message(load_error(), "__metadata__: found no key " + key);
  }
  write_parts(tensors_, {});
  expect_message(load_error(), "__metadata__: found no key format");
  EXPECT_THROW(static_cast<void>(optimizer_file_dtype(path_)), FormatError);
}

TEST_F(HostileOptimizerFile, RefusesInvalidNumbers) {
  for (const char* key : {"learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay"}) {
    for (const char* text : {"", " 0.5", "0.5 ", "+0.5", "0,5", "0x1p-1", "a", "0.5.5", "1e999"}) {
      refuse_metadata(
          key, text,
          std::string("__metadata__: ") + key + ": found \"" + text + "\", expected a number");
    }
    for (const char* text : {"nan", "inf", "-inf", "-1"}) {
      refuse_metadata(key, text, std::string("Adam: ") + key + ": found " + text + ", expected a");
    }
  }
  for (const char* key : {"iterations", "parameters"}) {
    for (const char* text : {"", " 2", "2.0", "2e0", "0x2", "9223372036854775808", "nan"}) {
      refuse_metadata(
          key, text,
          std::string("__metadata__: ") + key + ": found \"" + text + "\", expected an integer");
    }
  }
  refuse_metadata("iterations", "-1", "Adam::restore: iterations: found -1");
  refuse_metadata("iterations", "9223372036854775807",
                  "Adam::restore: iterations: found 9223372036854775807, expected a number from 0");
  refuse_metadata("iterations", "0", "Adam::restore: parameters: found 3 after 0 iterations");
  refuse_metadata("parameters", "4", "tensor \"mean\": found shape (3,), expected (4,)");
  refuse_metadata("parameters", "-3", "tensor \"mean\": found shape (3,), expected (-3,)");
}

TEST_F(HostileOptimizerFile, RefusesInvalidOptionsOfSgd) {
  stepped<float>(Sgd<float>({.momentum = 0.5})).save(path_);
  metadata_ = SafetensorsReader(path_).metadata();
  tensors_.resize(1);
  tensors_[0].name = "velocity";
  for (const char* text : {"", "1", "True", "yes", " true"}) {
    refuse_metadata<Sgd<float>>(
        "nesterov", text, std::string("nesterov: found \"") + text + "\", expected true or false");
  }
  refuse_metadata<Sgd<float>>("momentum", "1.5",
                              "Sgd: momentum: found 1.5, expected a number in [0, 1]");
  refuse_metadata<Sgd<float>>(
      "momentum", "0", "header: found tensor \"velocity\", expected only the optimizer's tensors");
  // Without momentum no tensor shows the number of parameters, and no memory is allocated for them.
  metadata_["momentum"] = "0";
  metadata_["parameters"] = "9223372036854775807";
  write_parts({}, metadata_);
  EXPECT_EQ(load_error<Sgd<float>>(), "");
  metadata_["parameters"] = "0";
  write_parts({}, metadata_);
  expect_message(load_error<Sgd<float>>(), "Sgd::restore: parameters: found 0 after 2 iterations");
}

TEST_F(HostileOptimizerFile, RefusesMissingAndWrongTensors) {
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const std::string place = "tensor \"" + tensors_[i].name + "\"";

    auto changed = tensors_;
    changed.erase(changed.begin() + static_cast<std::ptrdiff_t>(i));
    write_parts(changed, metadata_);
    expect_message(load_error(), "header: found no " + place + ", expected one of shape (3,)");

    changed = tensors_;
    changed[i].shape = {3, 1};
    write_parts(changed, metadata_);
    expect_message(load_error(), place + ": found shape (3, 1), expected (3,)");

    changed = tensors_;
    changed[i].dtype = "I32";
    write_parts(changed, metadata_);
    expect_message(load_error(), place + ": found dtype I32, expected F32");
  }
  auto more = tensors_;
  more.push_back({"velocity", "F32", {0}, {}});
  write_parts(more, metadata_);
  expect_message(load_error(),
                 "header: found tensor \"velocity\", expected only the optimizer's tensors");

  auto negative = tensors_;
  const float minus_one = -1;
  std::memcpy(negative[1].data.data() + sizeof(float), &minus_one, sizeof(float));
  ASSERT_EQ(negative[1].name, "square");
  write_parts(negative, metadata_);
  expect_message(load_error(), "Adam::restore: square[1]: found -1, expected at least 0");
}

// A small file that claims terabytes is refused after its header.
TEST_F(HostileOptimizerFile, RefusesAnEnormousNumberOfParameters) {
  metadata_["parameters"] = "1000000000000";
  write_parts(tensors_, metadata_);
  std::string message;
  EXPECT_LT(testing::peak_memory_of([&] { message = load_error(); }), 1u << 20);
  expect_message(message, "found shape (3,), expected (1000000000000,)");
}

TEST_F(HostileOptimizerFile, ErrorsOfAnotherTypeOrKindSayHowToLoadIt) {
  expect_message(load_error<Adam<double>>(),
                 "dtype: found \"float32\", expected float64; load this file as float (float32)");
  expect_message(load_error<AdamW<float>>(),
                 "kind: found \"Adam\", expected AdamW; load this file");
  expect_message(load_error<Sgd<float>>(), "kind: found \"Adam\", expected SGD; load this file");
  AdamW<double>().save(path_);
  expect_message(load_error<AdamW<float>>(),
                 "dtype: found \"float64\", expected float32; load this file as double (float64)");
  expect_message(load_error<Adam<double>>(), "kind: found \"AdamW\", expected Adam");
}

TEST_F(HostileOptimizerFile, AMissingFileOrAFolderIsAnError) {
  EXPECT_THROW(static_cast<void>(Adam<float>::load(folder_ / "none")), std::system_error);
  EXPECT_THROW(static_cast<void>(Adam<float>::load(folder_.path())), FormatError);
  EXPECT_THROW(static_cast<void>(optimizer_file_dtype(folder_ / "none")), std::system_error);
  const Adam<float> adam;
  EXPECT_THROW(adam.save(folder_ / "none/file"), std::system_error);
  EXPECT_THROW(adam.save(folder_.path()), std::system_error);
}

}  // namespace
}  // namespace memattn
