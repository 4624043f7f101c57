// The error of a result in bfloat16.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace memattn::testing {

// sqrt(Σ (found - expected)² / Σ (expected - base)²); infinite if a value is not finite.
inline double relative_l2(const std::vector<float>& found, const std::vector<double>& expected,
                          const std::vector<double>& base = {}) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    error += std::pow(static_cast<double>(found[i]) - expected[i], 2);
    size += std::pow(expected[i] - (base.empty() ? 0 : base[i]), 2);
  }
  if (!std::isfinite(error)) return std::numeric_limits<double>::infinity();
  return error == 0 ? 0 : std::sqrt(error / size);
}

}  // namespace memattn::testing
