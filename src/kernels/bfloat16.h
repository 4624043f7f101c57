// bfloat16 numbers, which the kernels hold in pairs, since a product of bfloat16 numbers takes two
// steps of k at a time.
//
// Rounding is to nearest, ties to even. Numbers that are subnormal as floats become 0 with their
// sign, and NaN stays a quiet NaN. AVX512-BF16 rounds in this way, so a pair never holds a
// subnormal.
#pragma once

#include <bit>
#include <cstdint>
#include <new>

#include "kernels/carver.h"

namespace memattn::kernels {

// Elements 2p and 2p + 1 of a row or column, the first one in the lower 16 bits. An odd length is
// padded with 0.
using Pair = std::uint32_t;

// Returns the number of pairs that hold `size` values.
constexpr std::int64_t pairs_of(std::int64_t size) noexcept { return (size + 1) / 2; }

inline std::uint16_t round_to_bfloat16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  if (magnitude < 0x00800000u) return static_cast<std::uint16_t>(bits >> 16 & 0x8000u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

inline float from_bfloat16(std::uint16_t bits) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

inline Pair make_pair_of(float first, float second) noexcept {
  return static_cast<Pair>(round_to_bfloat16(second)) << 16 | round_to_bfloat16(first);
}

// Takes room for pairs from a workspace of floats.
inline Pair* take_pairs(Carver<float>& carver, std::int64_t count) {
  float* const place = carver.take(count);
  return place ? new (static_cast<void*>(place)) Pair[static_cast<std::size_t>(count)] : nullptr;
}

}  // namespace memattn::kernels
