// A golden file: the arrays and settings of a run of other software.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "testing/arrays.h"

namespace memattn::testing {

class GoldenFile {
 public:
  // `name` is the path in tests/golden, without the suffix.
  explicit GoldenFile(const std::string& name)
      : file_(std::string(MEMATTN_GOLDEN_DIR) + "/" + name + ".safetensors") {}

  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  const std::vector<std::int64_t>& shape(const std::string& name) const {
    return file_.find(name)->shape;
  }

  // Returns an array of the file, stored in either type, as T.
  template <typename T>
  std::vector<T> array(const std::string& name) const {
    const TensorInfo& tensor = *file_.find(name);
    return tensor.dtype == "F32" ? read<float, T>(tensor) : read<double, T>(tensor);
  }

  // Returns the weights listed in `infos`, named `prefix` + name, in the order of the flat buffer.
  template <typename T, typename Infos>
  std::vector<T> arrays(const Infos& infos, const std::string& prefix) const {
    std::vector<T> all;
    for (const auto& info : infos) {
      for (const T value : array<T>(prefix + info.name)) all.push_back(value);
    }
    return all;
  }

  // Returns a mask; empty if the file has none of that name.
  std::vector<std::uint8_t> mask(const std::string& name) const {
    if (!has(name)) return {};
    const TensorInfo& tensor = *file_.find(name);
    std::vector<std::uint8_t> values(tensor.end - tensor.begin);
    file_.read(tensor, std::as_writable_bytes(std::span(values)));
    return values;
  }
  bool use_causal_mask() const {
    return file_.metadata().at("config").find("\"use_causal_mask\": true") != std::string::npos;
  }

 private:
  template <typename Stored, typename T>
  std::vector<T> read(const TensorInfo& tensor) const {
    std::vector<Stored> values((tensor.end - tensor.begin) / sizeof(Stored));
    file_.read(tensor, std::span(values));
    return converted<T>(values);
  }

  SafetensorsReader file_;
};

}  // namespace memattn::testing
