// A fixture for tests that load damaged files: a valid safetensors file that tests damage in parts.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/safetensors.h"
#include "io/temporary_folder.h"
#include "memattn/errors.h"

namespace memattn::testing {

// Loaded is the class that saves the valid file and loads the damaged ones.
template <typename Loaded>
class HostileFile : public ::testing::Test {
 protected:
  struct Tensor {
    std::string name, dtype;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> data;
  };
  using Metadata = std::map<std::string, std::string>;

  explicit HostileFile(const Loaded& good) {
    good.save(path_);
    good_ = read_all(path_);
    const SafetensorsReader reader(path_);
    metadata_ = reader.metadata();
    for (const TensorInfo& info : reader.tensors()) {
      Tensor tensor{info.name, info.dtype, info.shape, {}};
      tensor.data.resize(info.end - info.begin);
      reader.read(info, tensor.data);
      tensors_.push_back(std::move(tensor));
    }
  }

  void write_parts(const std::vector<Tensor>& tensors, const Metadata& metadata) const {
    std::vector<TensorView> views;
    for (const Tensor& t : tensors) views.push_back({t.name, t.dtype, t.shape, t.data});
    write_safetensors(path_, views, metadata);
  }

  // Writes the valid file with one metadata entry replaced or added.
  void write_metadata(const std::string& key, const std::string& value) const {
    Metadata metadata = metadata_;
    metadata[key] = value;
    write_parts(tensors_, metadata);
  }

  // Returns the message of the FormatError from loading, or "" if it loads. Any other exception
  // fails the test.
  template <typename Kind = Loaded>
  std::string load_error() const {
    try {
      static_cast<void>(Kind::load(path_));
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  }

  // Expects a message of load_error() that names the file and contains `what`.
  void expect_message(const std::string& message, const std::string& what) const {
    EXPECT_TRUE(message.starts_with(path_.string() + ": ")) << message << "\nexpected: " << what;
    EXPECT_NE(message.find(what), std::string::npos) << message << "\nexpected: " << what;
  }

  // Expects an error for the file cut off after each of its bytes.
  void expect_truncations_refused() const {
    for (std::size_t size = 0; size < good_.size(); ++size) {
      write_all(path_, std::string_view(good_).substr(0, size));
      EXPECT_NE(load_error(), "") << size;
    }
  }

  // Flips each of `bits` in each byte of the header. A flip may give another valid number or flag,
  // so a few files load: at most one for every `ratio` that are refused.
  void expect_flips_refused(std::initializer_list<int> bits, std::size_t ratio) const {
    std::uint64_t header_size = 0;
    std::memcpy(&header_size, good_.data(), 8);
    std::size_t refused = 0, loaded = 0;
    for (std::size_t at = 0; at < 8 + header_size; ++at) {
      for (const int bit : bits) {
        std::string bad = good_;
        bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
        write_all(path_, bad);
        (load_error().empty() ? loaded : refused) += 1;
      }
    }
    EXPECT_GT(refused, ratio * loaded);
  }

  const TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_ / "hostile.safetensors";
  std::string good_;
  std::vector<Tensor> tensors_;
  Metadata metadata_;
};

}  // namespace memattn::testing
