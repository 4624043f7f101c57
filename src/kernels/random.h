// Counter-based random numbers: a value depends on its purpose (a seed and counters) and not on how
// many were drawn before, so any thread can draw any of them, in any order.
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

// Derives a key from a key and a counter; nest it for more counters.
constexpr std::uint64_t mix(std::uint64_t key, std::uint64_t counter) noexcept {
  return mix(mix(key) ^ counter);
}

// Returns 32 random bits for item `index` of a row with a 64-bit key. The multipliers are those of
// Wellons' lowbias32, with half of the key before each. It uses only 32-bit operations, so a kernel
// can draw as many items at once as it has lanes.
inline constexpr std::uint32_t kMixIndex = 0x9E3779B9u;
inline constexpr std::uint32_t kMixFirst = 0x21F0AAADu;
inline constexpr std::uint32_t kMixSecond = 0x735A2D97u;
constexpr std::uint32_t mix32(std::uint64_t key, std::uint32_t index) noexcept {
  std::uint32_t z = (index * kMixIndex) ^ static_cast<std::uint32_t>(key);
  z = (z ^ (z >> 16)) * kMixFirst + static_cast<std::uint32_t>(key >> 32);
  z = (z ^ (z >> 15)) * kMixSecond;
  return z ^ (z >> 15);
}

// Returns a uniform number in [0, 1) with 53 random bits.
constexpr double uniform(std::uint64_t bits) noexcept {
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

// Returns standard normal number `index` of stream `key`, by the Box-Muller transform.
inline double standard_normal(std::uint64_t key, std::uint64_t index) noexcept {
  const double radius = std::sqrt(-2.0 * std::log1p(-uniform(mix(key, 2 * index))));
  return radius * std::cos(2.0 * std::numbers::pi * uniform(mix(key, 2 * index + 1)));
}

}  // namespace memattn::kernels
