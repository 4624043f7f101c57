// The options of the layers and their JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "memattn/export.h"

namespace memattn {

// The initial values of the memory M (S, U). Kernels are initialised as glorot uniform and biases
// as zeros, as in Keras.
struct MEMATTN_EXPORT MemoryInitializer {
  enum class Kind {
    kNormal,         // N(0, stddev^2)
    kGlorotUniform,  // U(-l, l) with l = sqrt(6 / (S + U))
    kZeros,          // all slots stay equal: see warnings() below
  };
  Kind kind = Kind::kNormal;
  double stddev = 1.0;  // for kNormal only; positive

  bool operator==(const MemoryInitializer&) const = default;
};

// The result of a token for which every slot, or every step of the other input, is masked.
enum class FullyMasked {
  kZero,     // scores are 0, the output is x + output.bias (Keras 3, PyTorch)
  kUniform,  // scores are 1/S for all slots, masked or not (the published layers on Keras 2)
};

// The precision of products in the forward pass of a float layer. kBFloat16 rounds tokens, scores
// and folded weights to bfloat16 and sums the products in float32. Softmax, biases and residual
// stay float32, and so do training calls, calls with a ScoresCache, and backward. A double layer
// takes kFloat32 only, and computes in double.
enum class Precision { kFloat32, kBFloat16 };

struct MEMATTN_EXPORT MemoryAugmentedAttentionConfig {
  std::int64_t units = 0;                      // U, the width of x and of a memory slot; at least 1
  std::int64_t memory_size = 0;                // S, the number of slots; at least 1
  std::int64_t num_heads = 0;                  // H; at least 1
  std::optional<std::int64_t> key_dim = {};    // D per head; unset: units
  std::optional<std::int64_t> value_dim = {};  // Dv per head; unset: key_dim
  bool use_bias = true;                        // query, key, value and output biases
  bool residual = true;                        // Z = X + attention; false: attention alone
  double dropout = 0.0;                        // on the scores, in training only; in [0, 1)
  FullyMasked fully_masked = FullyMasked::kZero;
  MemoryInitializer memory_initializer = {};
  std::uint64_t seed = 0;  // seed of the initial weights and of dropout
  Precision precision = Precision::kFloat32;

  std::int64_t resolved_key_dim() const { return key_dim.value_or(units); }
  std::int64_t resolved_value_dim() const { return value_dim.value_or(resolved_key_dim()); }

  // Throws std::invalid_argument naming the first invalid option. Each constructor of a layer calls
  // it before anything else.
  void validate() const;

  // Returns warnings about valid but unwise options, one sentence each.
  [[nodiscard]] std::vector<std::string> warnings() const;

  bool operator==(const MemoryAugmentedAttentionConfig&) const = default;
};

using Config [[deprecated("renamed MemoryAugmentedAttentionConfig; removed in version 0.3")]] =
    MemoryAugmentedAttentionConfig;

// The options of CrossAttention, where the tokens of source1 read those of source2:
// Z = MultiHeadAttention(source1.Dense(X1), source2.Dense(X2)).
struct MEMATTN_EXPORT CrossAttentionConfig {
  std::int64_t units = 0;      // U, the width of the output and of both Denses; at least 1
  std::int64_t num_heads = 0;  // H; at least 1
  std::optional<std::int64_t> source1_units = {};  // F1, the width of X1; unset: units
  std::optional<std::int64_t> source2_units = {};  // F2, the width of X2; unset: units
  std::optional<std::int64_t> key_dim = {};        // D per head; unset: units
  std::optional<std::int64_t> value_dim = {};      // Dv per head; unset: key_dim
  bool use_bias = true;  // all six biases, those of the Denses too; false: none of them
  double dropout = 0.0;  // on the scores, in training only; in [0, 1)
  FullyMasked fully_masked = FullyMasked::kZero;
  std::uint64_t seed = 0;  // seed of the initial weights and of dropout
  Precision precision = Precision::kFloat32;

  std::int64_t resolved_source1_units() const { return source1_units.value_or(units); }
  std::int64_t resolved_source2_units() const { return source2_units.value_or(units); }
  std::int64_t resolved_key_dim() const { return key_dim.value_or(units); }
  std::int64_t resolved_value_dim() const { return value_dim.value_or(resolved_key_dim()); }

  // Throws std::invalid_argument naming the first invalid option. Each constructor of a layer calls
  // it before anything else.
  void validate() const;

  bool operator==(const CrossAttentionConfig&) const = default;
};

// The options of HierarchicalAttention, the sum of two independent self-attentions, one over the
// short-term input and one over the long-term input. They share all options except the width of
// their input.
struct MEMATTN_EXPORT HierarchicalAttentionConfig {
  std::int64_t units = 0;      // U, the width of the output and of both Denses; at least 1
  std::int64_t num_heads = 0;  // H of each attention; at least 1
  std::optional<std::int64_t> short_units = {};  // the width of the short-term input; unset: units
  std::optional<std::int64_t> long_units = {};   // the width of the long-term input; unset: units
  std::optional<std::int64_t> key_dim = {};      // D per head; unset: units
  std::optional<std::int64_t> value_dim = {};    // Dv per head; unset: key_dim
  bool use_bias = true;  // all ten biases, those of the Denses too; false: none of them
  double dropout = 0.0;  // on the scores, in training only; in [0, 1)
  FullyMasked fully_masked = FullyMasked::kZero;
  std::uint64_t seed = 0;  // seed of the initial weights and of dropout
  Precision precision = Precision::kFloat32;

  std::int64_t resolved_short_units() const { return short_units.value_or(units); }
  std::int64_t resolved_long_units() const { return long_units.value_or(units); }
  std::int64_t resolved_key_dim() const { return key_dim.value_or(units); }
  std::int64_t resolved_value_dim() const { return value_dim.value_or(resolved_key_dim()); }

  // Throws std::invalid_argument naming the first invalid option. Each constructor of a layer calls
  // it before anything else.
  void validate() const;

  bool operator==(const HierarchicalAttentionConfig&) const = default;
};

// Returns a config as a JSON object with keys in the order of the fields above, and "precision"
// only if it is not kFloat32. Equal configs give equal texts. Throws std::invalid_argument for an
// invalid value of an enumeration.
[[nodiscard]] MEMATTN_EXPORT std::string to_json(const MemoryAugmentedAttentionConfig& config);
[[nodiscard]] MEMATTN_EXPORT std::string to_json(const CrossAttentionConfig& config);
[[nodiscard]] MEMATTN_EXPORT std::string to_json(const HierarchicalAttentionConfig& config);

// Parse such JSON. units, num_heads and the memory layer's memory_size are required; the other keys
// have the defaults above. They throw std::invalid_argument for malformed JSON, duplicate or
// unknown keys, and invalid types or values.
[[nodiscard]] MEMATTN_EXPORT MemoryAugmentedAttentionConfig config_from_json(std::string_view json);
[[nodiscard]] MEMATTN_EXPORT CrossAttentionConfig
cross_attention_config_from_json(std::string_view json);
[[nodiscard]] MEMATTN_EXPORT HierarchicalAttentionConfig
hierarchical_attention_config_from_json(std::string_view json);

}  // namespace memattn
