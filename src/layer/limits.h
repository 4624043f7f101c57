// Limits far above practical sizes: larger sizes could overflow or exhaust memory.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>

namespace memattn {

// With these limits, every count and byte size is far below 2^63: a dimension is at most 2^31 - 1,
// and an array has at most 2^40 values (8 TiB of doubles).
inline constexpr std::int64_t kMaxDimension = std::numeric_limits<std::int32_t>::max();
inline constexpr std::int64_t kMaxValues = std::int64_t{1} << 40;

// A layer may keep this many times as many values as it has weights, or kFreeValues if that is
// more. Without this limit, a file of one megabyte, with 50,000 heads and as many slots, would take
// 40 GB to load.
inline constexpr std::int64_t kMaxExpansion = 2048;
inline constexpr std::int64_t kFreeValues = std::int64_t{1} << 25;

// Returns the product of positive factors, or a number above kMaxValues if the product is above it.
constexpr std::int64_t limited_product(std::initializer_list<std::int64_t> factors) noexcept {
  std::int64_t result = 1;
  for (const std::int64_t factor : factors) {
    if (result > kMaxValues / factor) return kMaxValues + 1;
    result *= factor;
  }
  return result;
}

// Returns whether a layer with `parameters` weights may keep `kept` values computed from them.
constexpr bool may_keep(std::int64_t kept, std::int64_t parameters) noexcept {
  return kept <= kFreeValues || kept / kMaxExpansion <= parameters;
}

}  // namespace memattn
