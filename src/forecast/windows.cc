// Windows of series: how they are numbered, normalised, and forecast by seasonal-naive.
#include "forecast/windows.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace memattn {

double normalize_window(std::span<const double> window, std::span<float> normalized) {
  // Distances from the first value: exactly 0 in a constant window, where a mean may be off by a
  // rounding. Divided by the largest of them, so that no square over- or underflows.
  const double origin = window[0];
  double largest = 0;
  for (const double value : window) {
    const double distance = std::abs(value - origin);
    if (std::isnan(distance) || distance > largest) largest = distance;
  }
  if (largest == 0) {
    std::fill(normalized.begin(), normalized.end(), 0.0f);
    return 0;
  }
  const auto count = static_cast<double>(window.size());
  double mean = 0;
  for (const double value : window) mean += (value - origin) / largest;
  mean /= count;
  double variance = 0;
  for (const double value : window) {
    const double distance = (value - origin) / largest - mean;
    variance += distance * distance;
  }
  const double deviation = std::sqrt(variance / count);
  for (std::size_t i = 0; i < window.size(); ++i) {
    normalized[i] = static_cast<float>(((window[i] - origin) / largest - mean) / deviation);
  }
  return deviation * largest;
}

WindowSet::WindowSet(std::span<const std::span<const double>> series, std::int64_t length)
    : series_(series), length_(length), first_{0} {
  for (const auto& values : series) {
    const auto size = static_cast<std::int64_t>(values.size());
    first_.push_back(first_.back() + std::max<std::int64_t>(0, size - length + 1));
  }
}

std::span<const double> WindowSet::operator[](std::int64_t window) const {
  const auto owner = std::upper_bound(first_.begin(), first_.end(), window) - first_.begin() - 1;
  const auto index = static_cast<std::size_t>(owner);
  return series_[index].subspan(static_cast<std::size_t>(window - first_[index]),
                                static_cast<std::size_t>(length_));
}

}  // namespace memattn
