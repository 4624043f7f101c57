// What the fold needs besides products, compiled once for all instruction sets (fold_support.cc).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "kernels/attention.h"

namespace memattn::kernels {

// 1 / √D, the factor of the logits.
template <typename T>
T inverse_sqrt(std::int64_t key_dim) noexcept {
  return static_cast<T>(1.0 / std::sqrt(static_cast<double>(key_dim)));
}

// log2(e) / √D, the factor of the logits to base 2.
template <typename T>
T scale_to_base_2(std::int64_t key_dim) noexcept {
  return static_cast<T>(std::numbers::log2e / std::sqrt(static_cast<double>(key_dim)));
}

// dK and dV, on the way from the sums over tokens to the gradients of the weights.
template <typename T>
struct FinishBuffers {
  FinishBuffers(const Dims& dims, T* base)
      : d_keys(base), d_values(base + dims.num_heads * dims.memory_size * dims.key_dim) {}
  static std::int64_t size(const Dims& dims) noexcept {
    return dims.num_heads * dims.memory_size * (dims.key_dim + dims.value_dim);
  }

  T* d_keys;    // dK_h (H, S, D)
  T* d_values;  // dV_h (H, S, Dv)
};

// Values of workspace for each thread that runs finish_heads or finish_memory.
inline std::int64_t finish_workspace(const Dims& dims) noexcept {
  const std::int64_t width = std::max(dims.key_dim, dims.value_dim);
  return std::max({dims.units * width, dims.memory_size * width, dims.memory_size * dims.units});
}

// Gives every buffer of `prepared` its size for one of the two paths.
template <typename T>
void resize_prepared(const Dims& dims, bool folded, Prepared<T>& prepared);

// The rows of `a` (S, width), those of unused slots as zeros: a gradient of exactly 0 must stay 0
// when it meets a NaN that nobody read. Copies only when there is such a NaN to fear.
template <typename T>
const T* used_rows(bool finite, std::int64_t slots, std::int64_t width, const T* a, const T* used,
                   T* copy) noexcept;

}  // namespace memattn::kernels
