// The sums over tokens of the backward pass, and the gradients computed from them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/carver.h"
#include "kernels/shape.h"

namespace memattn::kernels {

// Sums over tokens from which the gradients of the weights are computed: the part that both routes
// have at the front of their buffers. With a null `base`, only `size`, the number of values, is
// valid.
template <typename T>
struct TokenSums {
  TokenSums(const Dims& dims, Carver<T>& parts)
      : used(parts.take(dims.memory_size)), output_bias(parts.take(dims.units)) {}

  T* used;         // (S): not 0 if a token could read the slot
  T* output_bias;  // dbo (U)
};

template <typename T>
struct FoldedSums : TokenSums<T> {
  FoldedSums(const Dims& dims, T* base) : FoldedSums(dims, Carver<T>(base, 1)) {}

  T* a_transposed;    // dA_hᵀ (H, S, U)
  T* c;               // dc_h (H, S)
  T* b;               // dB_h (H, S, U)
  std::int64_t size;  // values in all

 private:
  FoldedSums(const Dims& dims, Carver<T> parts)
      : TokenSums<T>(dims, parts),
        a_transposed(parts.take(dims.num_heads * dims.memory_size * dims.units)),
        c(parts.take(dims.num_heads * dims.memory_size)),
        b(parts.take(dims.num_heads * dims.memory_size * dims.units)),
        size(parts.taken()) {}
};

template <typename T>
struct ProjectedSums : TokenSums<T> {
  ProjectedSums(const Dims& dims, T* base) : ProjectedSums(dims, Carver<T>(base, 1)) {}

  T* query_kernel;    // dWq·√D (U, H, D)
  T* query_bias;      // dbq·√D (H, D)
  T* output_kernel;   // dWo (H, Dv, U)
  T* keys;            // dK·√D (S, H, D)
  T* values;          // dV (S, H, Dv)
  std::int64_t size;  // values in all

 private:
  ProjectedSums(const Dims& dims, Carver<T> parts)
      : TokenSums<T>(dims, parts),
        query_kernel(parts.take(dims.units * dims.num_heads * dims.key_dim)),
        query_bias(parts.take(dims.num_heads * dims.key_dim)),
        output_kernel(parts.take(dims.num_heads * dims.value_dim * dims.units)),
        keys(parts.take(dims.memory_size * dims.num_heads * dims.key_dim)),
        values(parts.take(dims.memory_size * dims.num_heads * dims.value_dim)),
        size(parts.taken()) {}
};

// Returns the number of values in the sums of one route.
template <typename T>
std::int64_t token_sums_size(const Dims& dims, bool folded) noexcept {
  return folded ? FoldedSums<T>(dims, nullptr).size : ProjectedSums<T>(dims, nullptr).size;
}

// dK and dV, between the sums over tokens and the gradients of the weights.
template <typename T>
struct KeysValuesGradients {
  KeysValuesGradients(const Dims& dims, T* base)
      : keys(base), values(base + dims.num_heads * dims.memory_size * dims.key_dim) {}
  static std::int64_t size(const Dims& dims) noexcept {
    return dims.num_heads * dims.memory_size * (dims.key_dim + dims.value_dim);
  }

  T* keys;    // dK_h (H, S, D)
  T* values;  // dV_h (H, S, Dv)
};

// Returns the values of workspace for each thread that runs finish_heads or finish_memory.
inline std::int64_t finish_workspace(const Dims& dims) noexcept {
  const std::int64_t width = std::max(dims.key_dim, dims.value_dim);
  return std::max({dims.units * width, dims.memory_size * width, dims.memory_size * dims.units});
}

}  // namespace memattn::kernels
