// The golden files: values, scores, gradients and training runs from Keras and fusionlab
// (tests/golden/generate.py).
#pragma once

#include <string>
#include <vector>

#include "layer/weights.h"
#include "memattn/memory_augmented_attention.h"
#include "testing/golden_file.h"

namespace memattn::testing {

inline const std::vector<std::string> kGoldenCases = {
    "docs_example",        "user_guide",      "narrow",          "single",      "mask_no_mask",
    "mask_attention_mask", "mask_query_mask", "mask_value_mask", "mask_causal", "mask_every_mask"};

class Golden : public GoldenFile {
 public:
  explicit Golden(const std::string& name)
      : GoldenFile(name),
        attention_mask_(mask("attention_mask")),
        query_mask_(mask("query_mask")),
        value_mask_(mask("value_mask")) {
    config_.units = shape("memory")[1];
    config_.memory_size = shape("memory")[0];
    config_.num_heads = shape("query.kernel")[1];
    config_.key_dim = shape("query.kernel")[2];
    config_.value_dim = shape("value.kernel")[2];
    batch_ = shape("x")[0];
    steps_ = shape("x")[1];
  }

  const MemoryAugmentedAttentionConfig& config() const { return config_; }
  std::int64_t batch() const { return batch_; }
  std::int64_t steps() const { return steps_; }

  // Returns all weights, named `prefix` + name, in the order of the flat buffer.
  template <typename T>
  std::vector<T> weights(const std::string& prefix = "") const {
    return arrays<T>(weight_infos(config_), prefix);
  }

  // Returns options with the masks of the case, which live as long as this object.
  CallOptions options() const {
    CallOptions options;
    if (!attention_mask_.empty()) {
      options.attention_mask = {attention_mask_, batch_, steps_, config_.memory_size};
    }
    options.query_mask = query_mask_;
    options.value_mask = value_mask_;
    options.use_causal_mask = use_causal_mask();
    return options;
  }

 private:
  MemoryAugmentedAttentionConfig config_;
  std::int64_t batch_ = 0, steps_ = 0;
  std::vector<std::uint8_t> attention_mask_, query_mask_, value_mask_;
};

}  // namespace memattn::testing
