// The golden files of CrossAttention and HierarchicalAttention: values, scores, gradients and
// training runs from Keras and fusionlab (tests/golden/siblings/generate.py).
#pragma once

#include <string>
#include <vector>

#include "layer/weights.h"
#include "memattn/config.h"
#include "testing/golden_file.h"
#include "testing/sequence_problem.h"

namespace memattn::testing {

// Values, scores and gradients in float64.
inline const std::vector<std::string> kCrossGoldenCases = {"cross_user_guide",
                                                           "cross_uneven",
                                                           "cross_one_query",
                                                           "cross_one_key",
                                                           "cross_wide_inputs",
                                                           "cross_one_head",
                                                           "cross_single",
                                                           "cross_xtft",
                                                           "mask_cross_no_mask",
                                                           "mask_cross_causal",
                                                           "mask_cross_attention_mask",
                                                           "mask_cross_query_mask",
                                                           "mask_cross_value_mask",
                                                           "mask_cross_every_mask"};
inline const std::vector<std::string> kHierarchicalGoldenCases = {
    "hierarchical_xtft_half",
    "hierarchical_uneven",
    "hierarchical_one_step",
    "hierarchical_one_head",
    "hierarchical_wide_inputs",
    "hierarchical_single",
    "mask_hierarchical_no_mask",
    "mask_hierarchical_causal",
    "mask_hierarchical_attention_mask",
    "mask_hierarchical_short_mask",
    "mask_hierarchical_long_mask",
    "mask_hierarchical_every_mask"};

// The file in which some rows have nothing to read, from Keras 2: float32 and
// FullyMasked::kUniform. Its gradients by the logits of these rows differ from this library's.
inline const std::string kCrossGoldenUniform = "uniform_cross";
inline const std::string kHierarchicalGoldenUniform = "uniform_hierarchical";

template <typename Config>
class SequenceGolden : public GoldenFile {
 public:
  explicit SequenceGolden(const std::string& name) : GoldenFile("siblings/" + name) {
    constexpr bool cross = std::is_same_v<Config, CrossAttentionConfig>;
    const auto query = shape(cross ? "query.kernel" : "short.query.kernel");
    config_.units = query[0];
    config_.num_heads = query[1];
    config_.key_dim = query[2];
    config_.value_dim = shape(cross ? "value.kernel" : "short.value.kernel")[2];
    if constexpr (cross) {
      config_.source1_units = shape("x1")[2];
      config_.source2_units = shape("x2")[2];
    } else {
      config_.short_units = shape("x1")[2];
      config_.long_units = shape("x2")[2];
    }
    if (name.starts_with("uniform")) config_.fully_masked = FullyMasked::kUniform;
  }

  const Config& config() const { return config_; }

  // Returns all weights, named `prefix` + name, in the order of the flat buffer.
  template <typename T>
  std::vector<T> weights(const std::string& prefix = "") const {
    return arrays<T>(weight_infos(config_), prefix);
  }

  // Returns the call of the case. `g` is empty for a training run.
  SequenceProblem<Config> problem() const {
    constexpr bool cross = std::is_same_v<Config, CrossAttentionConfig>;
    SequenceProblem<Config> problem;
    problem.config = config_;
    problem.batch = shape("x1")[0];
    problem.steps1 = shape("x1")[1];
    problem.steps2 = shape("x2")[1];
    problem.attention_mask = mask("attention_mask");
    problem.attention_shape = {problem.batch, problem.steps1, problem.steps2};
    problem.mask1 = mask(cross ? "query_mask" : "short_mask");
    problem.mask2 = mask(cross ? "value_mask" : "long_mask");
    problem.options.use_causal_mask = use_causal_mask();
    problem.weights = weights<double>();
    problem.x1 = array<double>("x1");
    problem.x2 = array<double>("x2");
    if (has("g")) problem.g = array<double>("g");
    return problem;
  }

  // Returns the scores of attention number `part`.
  std::vector<double> scores(std::size_t part) const {
    return array<double>(has("scores") ? "scores" : part == 0 ? "scores1" : "scores2");
  }

 private:
  Config config_;
};

}  // namespace memattn::testing
