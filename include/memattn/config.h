// The options of the layer: what it is, not what it has learned.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "memattn/export.h"

namespace memattn {

// How the memory M (S, U) starts. Kernels start as glorot uniform and biases as zeros, as in Keras.
struct MEMATTN_EXPORT MemoryInitializer {
  enum class Kind {
    kNormal,         // N(0, stddev^2)
    kGlorotUniform,  // U(-l, l) with l = sqrt(6 / (S + U))
    kZeros,          // all slots equal, for ever: see warnings() below
  };
  Kind kind = Kind::kNormal;
  double stddev = 1.0;  // of kNormal only; positive

  bool operator==(const MemoryInitializer&) const = default;
};

// What a token reads when every slot is masked for it.
enum class FullyMasked {
  kZero,     // nothing: scores are 0, the output is x + output.bias (Keras 3, PyTorch)
  kUniform,  // all slots alike, 1/S each, masked ones too (the published layer, on Keras 2)
};

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
  std::uint64_t seed = 0;  // of the initial weights and of dropout

  std::int64_t resolved_key_dim() const { return key_dim.value_or(units); }
  std::int64_t resolved_value_dim() const { return value_dim.value_or(resolved_key_dim()); }

  // Throws std::invalid_argument naming the first invalid option. Each constructor of a layer calls
  // it before anything else.
  void validate() const;

  // Choices that are allowed and that a user should hear of, one sentence each; empty when all is
  // well.
  [[nodiscard]] std::vector<std::string> warnings() const;

  bool operator==(const MemoryAugmentedAttentionConfig&) const = default;
};

using Config [[deprecated("renamed MemoryAugmentedAttentionConfig; removed in version 0.3")]] =
    MemoryAugmentedAttentionConfig;

// The config as one JSON object, keys in the order above; the same config gives the same text.
[[nodiscard]] MEMATTN_EXPORT std::string to_json(const MemoryAugmentedAttentionConfig& config);

// The inverse. units, memory_size and num_heads must be there, the rest has the defaults above.
// Throws std::invalid_argument on malformed JSON, duplicate or unknown keys, and wrong types or
// values.
[[nodiscard]] MEMATTN_EXPORT MemoryAugmentedAttentionConfig config_from_json(std::string_view json);

}  // namespace memattn
