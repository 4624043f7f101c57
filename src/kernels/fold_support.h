// What the fold needs besides products, compiled once for all instruction sets (fold_support.cc).
#pragma once

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

// Gives every buffer of `prepared` its size for one of the two paths; c becomes 0.
template <typename T>
void resize_prepared(const Dims& dims, bool folded, Prepared<T>& prepared);

// The rows of `a` (S, width), those of unused slots as zeros: a gradient of exactly 0 must stay 0
// when it meets a NaN that nobody read. Copies only when there is such a NaN to fear.
template <typename T>
const T* used_rows(bool finite, std::int64_t slots, std::int64_t width, const T* a, const T* used,
                   T* copy) noexcept;

}  // namespace memattn::kernels
