// Limits far beyond practical sizes: larger ones could overflow or exhaust memory.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>

namespace memattn {

// They keep every count and byte size far inside 64 bits: a dimension of at most 2^31 - 1, and at
// most 2^40 values (8 TiB of doubles) in any one array.
inline constexpr std::int64_t kMaxDimension = std::numeric_limits<std::int32_t>::max();
inline constexpr std::int64_t kMaxValues = std::int64_t{1} << 40;

// What a layer keeps beside its weights may be this many times its weights, or kFreeValues if that
// is more. Otherwise a file of one megabyte, with 50,000 heads and as many slots, would take 40 GB
// to load.
inline constexpr std::int64_t kMaxExpansion = 2048;
inline constexpr std::int64_t kFreeValues = std::int64_t{1} << 25;

// The product of positive factors, or a number above kMaxValues when it is above.
constexpr std::int64_t limited_product(std::initializer_list<std::int64_t> factors) noexcept {
  std::int64_t result = 1;
  for (const std::int64_t factor : factors) {
    if (result > kMaxValues / factor) return kMaxValues + 1;
    result *= factor;
  }
  return result;
}

// Whether a layer of so many weights may keep `kept` values made from them.
constexpr bool may_keep(std::int64_t kept, std::int64_t parameters) noexcept {
  return kept <= kFreeValues || kept / kMaxExpansion <= parameters;
}

}  // namespace memattn
