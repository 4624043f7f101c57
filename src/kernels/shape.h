// The sizes of an attention, and where its weights lie.
#pragma once

#include <cstdint>

namespace memattn::kernels {

// A multi-head attention, wherever its keys and values come from.
struct AttentionShape {
  std::int64_t num_heads = 0;     // H
  std::int64_t key_dim = 0;       // D, per head
  std::int64_t value_dim = 0;     // Dv, per head
  std::int64_t query_units = 0;   // Uq, the width of the tokens that read, and of the output
  std::int64_t source_units = 0;  // Us, the width of what keys and values are projected from
};

// Its eight weights; biases are null without use_bias. Value is `const T` or, for gradients, `T`.
template <typename Value>
struct AttentionWeights {
  Value* query_kernel = nullptr;   // (Uq, H, D)
  Value* query_bias = nullptr;     // (H, D)
  Value* key_kernel = nullptr;     // (Us, H, D)
  Value* key_bias = nullptr;       // (H, D)
  Value* value_kernel = nullptr;   // (Us, H, Dv)
  Value* value_bias = nullptr;     // (H, Dv)
  Value* output_kernel = nullptr;  // (H, Dv, Uq)
  Value* output_bias = nullptr;    // (Uq)
};

// The attention of the memory layer: tokens and memory slots are U wide.
struct Dims {
  std::int64_t units = 0;        // U
  std::int64_t memory_size = 0;  // S
  std::int64_t num_heads = 0;    // H
  std::int64_t key_dim = 0;      // D
  std::int64_t value_dim = 0;    // Dv

  AttentionShape attention() const noexcept {
    return {num_heads, key_dim, value_dim, units, units};
  }
};

// The weights of the memory layer.
template <typename Value>
struct WeightPointers : AttentionWeights<Value> {
  Value* memory = nullptr;  // (S, U)
};

}  // namespace memattn::kernels
