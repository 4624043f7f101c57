// The sizes of an attention, and pointers to its weights.
#pragma once

#include <cstdint>

namespace memattn::kernels {

// A multi-head attention, whatever the source of its keys and values.
struct AttentionShape {
  std::int64_t num_heads = 0;     // H
  std::int64_t key_dim = 0;       // D, per head
  std::int64_t value_dim = 0;     // Dv, per head
  std::int64_t query_units = 0;   // Uq, the width of the query tokens and of the output
  std::int64_t source_units = 0;  // Us, the width of the source of keys and values
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

// An attention between two inputs with a Dense each: CrossAttention. A side of
// HierarchicalAttention is self-attention: both inputs are the same, through one Dense.
struct SequenceDims {
  std::int64_t units = 0;          // U, the width of the output and of both Denses
  std::int64_t source1_units = 0;  // F1, the width of the query tokens
  std::int64_t source2_units = 0;  // F2, the width of the tokens that are read
  std::int64_t num_heads = 0;      // H
  std::int64_t key_dim = 0;        // D, per head
  std::int64_t value_dim = 0;      // Dv, per head
  bool one_source = false;         // self-attention: F1 = F2

  AttentionShape attention() const noexcept {
    return {num_heads, key_dim, value_dim, units, units};
  }
};

// Its weights; in self-attention the pointers of source2 are those of source1.
template <typename Value>
struct SequenceWeights : AttentionWeights<Value> {
  Value* source1_kernel = nullptr;  // (F1, U)
  Value* source1_bias = nullptr;    // (U)
  Value* source2_kernel = nullptr;  // (F2, U)
  Value* source2_bias = nullptr;    // (U)
};

}  // namespace memattn::kernels
