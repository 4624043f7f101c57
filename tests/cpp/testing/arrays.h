// Reproducible random arrays for tests, and the distance between two arrays.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/random.h"

namespace memattn::testing {

// A wider type for expected values. Not long double for float: on 64-bit Arm it is emulated.
template <typename T>
using Wide = std::conditional_t<std::is_same_v<T, float>, double, long double>;

template <typename T>
std::vector<T> normal_array(std::int64_t size, std::uint64_t seed, double scale = 1.0) {
  std::vector<T> values(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<T>(scale * kernels::standard_normal(kernels::mix(seed), i));
  }
  return values;
}

// Returns zeros and ones, with a share of `share` ones.
inline std::vector<std::uint8_t> random_mask(std::int64_t size, std::uint64_t seed,
                                             double share = 0.6) {
  std::vector<std::uint8_t> keep(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < keep.size(); ++i) {
    keep[i] = kernels::uniform(kernels::mix(seed, i)) < share;
  }
  return keep;
}

template <typename To, typename From>
std::vector<To> converted(std::span<const From> values) {
  std::vector<To> result;
  for (const From& value : values) result.push_back(static_cast<To>(value));
  return result;
}
template <typename To, typename From>
std::vector<To> converted(const std::vector<From>& values) {
  return converted<To>(std::span<const From>(values));
}

template <typename Values>
double largest_magnitude(const Values& values) {
  double largest = 0;
  for (const auto value : values)
    largest = std::max(largest, std::fabs(static_cast<double>(value)));
  return largest;
}

// Returns the largest difference relative to the largest value of `expected`, or to `floor` if that
// is larger. It is infinite if there is a NaN or Inf, so that no comparison passes.
template <typename Found, typename Expected>
double relative_error(const Found& found, const Expected& expected, double floor = 0) {
  double difference = 0;
  if (found.size() != expected.size()) return std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto here = static_cast<double>(found[i]), there = static_cast<double>(expected[i]);
    if (!std::isfinite(here) || !std::isfinite(there)) {
      return std::numeric_limits<double>::infinity();
    }
    difference = std::max(difference, std::fabs(here - there));
  }
  return difference == 0 ? 0 : difference / std::max(floor, largest_magnitude(expected));
}

// Returns whether both have the same values, bit by bit: a NaN equals itself, and 0 differs from
// -0.
template <typename A, typename B>
bool same_bits(const A& a, const B& b) {
  const auto x = std::as_bytes(std::span(a)), y = std::as_bytes(std::span(b));
  return std::ranges::equal(x, y);
}

// Runs `call` and returns the message of the std::invalid_argument that it throws.
template <typename Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace memattn::testing
