// Counter-based random numbers: a value depends on what it is for (a seed and counters) and not on
// how many were drawn before, so any thread can draw any of them, in any order.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace memattn::kernels {

// The finalizer of SplitMix64 (Steele, Lea and Flood 2014, with Stafford's variant 13 constants):
// a bijection in which each input bit flips each output bit with probability close to 1/2.
constexpr std::uint64_t mix(std::uint64_t z) noexcept {
  z += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// One key out of a seed and a counter; nest it for more counters.
constexpr std::uint64_t mix(std::uint64_t key, std::uint64_t counter) noexcept {
  return mix(mix(key) ^ counter);
}

// 32 random bits for item `index` of a row with a key of 64: the multipliers are those of Wellons'
// lowbias32, with half of the key before each. Only 32-bit operations an item, so that a kernel can
// draw as many at once as it has lanes.
inline constexpr std::uint32_t kMixIndex = 0x9E3779B9u;
inline constexpr std::uint32_t kMixFirst = 0x21F0AAADu;
inline constexpr std::uint32_t kMixSecond = 0x735A2D97u;
constexpr std::uint32_t mix32(std::uint64_t key, std::uint32_t index) noexcept {
  std::uint32_t z = (index * kMixIndex) ^ static_cast<std::uint32_t>(key);
  z = (z ^ (z >> 16)) * kMixFirst + static_cast<std::uint32_t>(key >> 32);
  z = (z ^ (z >> 15)) * kMixSecond;
  return z ^ (z >> 15);
}

// Uniform in [0, 1) with 53 bits.
constexpr double uniform(std::uint64_t bits) noexcept {
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

// Standard normal number `index` of stream `key`, by Box and Muller.
inline double standard_normal(std::uint64_t key, std::uint64_t index) noexcept {
  const double radius = std::sqrt(-2.0 * std::log1p(-uniform(mix(key, 2 * index))));
  return radius * std::cos(2.0 * std::numbers::pi * uniform(mix(key, 2 * index + 1)));
}

}  // namespace memattn::kernels
