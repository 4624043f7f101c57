// The factors of the logits. The kernels compute logits to base 2, log2(e) times as large as those
// of docs/math.md: a power of 2 takes fewer operations than a power of e, and the factor is part of
// weights that are folded anyway. Members of Prepared that include it say so: keys_transposed,
// keys_packed, a, c. Gradients are natural, so the backward pass removes the factor again.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

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

// Removes log2(e) again.
template <typename T>
inline constexpr T kFromBase2 = std::numbers::ln2_v<T>;

}  // namespace memattn::kernels
