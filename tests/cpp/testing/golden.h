// The golden files: values, scores, gradients and training runs that Keras and fusionlab computed
// (tests/golden/generate.py).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "layer/weights.h"
#include "memattn/memory_augmented_attention.h"
#include "testing/arrays.h"

namespace memattn::testing {

inline const std::vector<std::string> kGoldenCases = {
    "docs_example",        "user_guide",      "narrow",          "single",      "mask_no_mask",
    "mask_attention_mask", "mask_query_mask", "mask_value_mask", "mask_causal", "mask_every_mask"};

class Golden {
 public:
  explicit Golden(const std::string& name)
      : file_(std::string(MEMATTN_GOLDEN_DIR) + "/" + name + ".safetensors") {
    const auto& memory = file_.find("memory")->shape;
    const auto& query = file_.find("query.kernel")->shape;
    config_.units = memory[1];
    config_.memory_size = memory[0];
    config_.num_heads = query[1];
    config_.key_dim = query[2];
    config_.value_dim = file_.find("value.kernel")->shape[2];
    batch_ = file_.find("x")->shape[0];
    steps_ = file_.find("x")->shape[1];
    for (const char* mask : {"attention_mask", "query_mask", "value_mask"}) {
      masks_.push_back(has(mask) ? bytes(mask) : std::vector<std::uint8_t>());
    }
  }

  const MemoryAugmentedAttentionConfig& config() const { return config_; }
  std::int64_t batch() const { return batch_; }
  std::int64_t steps() const { return steps_; }
  bool has(const std::string& name) const { return file_.find(name) != nullptr; }

  // An array of the file, of either type, as T.
  template <typename T>
  std::vector<T> array(const std::string& name) const {
    const TensorInfo& tensor = *file_.find(name);
    return tensor.dtype == "F32" ? read<float, T>(tensor) : read<double, T>(tensor);
  }

  // All weights, as `prefix` + name, in the order of the flat buffer.
  template <typename T>
  std::vector<T> weights(const std::string& prefix = "") const {
    std::vector<T> all;
    for (const WeightInfo& info : weight_infos(config_)) {
      for (const T value : array<T>(prefix + info.name)) all.push_back(value);
    }
    return all;
  }

  // The masks of the case; they live as long as this object.
  CallOptions options() const {
    CallOptions options;
    if (!masks_[0].empty()) {
      options.attention_mask = {masks_[0], batch_, steps_, config_.memory_size};
    }
    options.query_mask = masks_[1];
    options.value_mask = masks_[2];
    options.use_causal_mask =
        file_.metadata().at("config").find("\"use_causal_mask\": true") != std::string::npos;
    return options;
  }

 private:
  std::vector<std::uint8_t> bytes(const std::string& name) const {
    const TensorInfo& tensor = *file_.find(name);
    std::vector<std::uint8_t> values(tensor.end - tensor.begin);
    file_.read(tensor, std::as_writable_bytes(std::span(values)));
    return values;
  }
  template <typename Stored, typename T>
  std::vector<T> read(const TensorInfo& tensor) const {
    std::vector<Stored> values((tensor.end - tensor.begin) / sizeof(Stored));
    file_.read(tensor, std::span(values));
    return converted<T>(values);
  }

  SafetensorsReader file_;
  MemoryAugmentedAttentionConfig config_;
  std::int64_t batch_ = 0, steps_ = 0;
  std::vector<std::vector<std::uint8_t>> masks_;
};

}  // namespace memattn::testing
