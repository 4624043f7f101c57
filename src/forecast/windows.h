// The windows of one or several series: which there are, how one is normalised, and the
// seasonal-naive forecast from one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace memattn {

// Brings a window (L) to mean 0 and standard deviation 1, and returns the deviation it had. One
// that does not move comes out as zeros with deviation 0, exactly. Finite values up to 1e300 in
// size are safe, however small or large; others give NaN.
double normalize_window(std::span<const double> window, std::span<float> normalized);

// The value one season before step `step` (0: the first after the window), again and again.
inline double seasonal_naive(std::span<const double> window, std::int64_t season,
                             std::int64_t step) {
  return window[window.size() - static_cast<std::size_t>(season - step % season)];
}

// Every run of `length` neighbouring values in several series, numbered 0 .. size() - 1 in the
// order of the series. The spans must outlive it.
class WindowSet {
 public:
  WindowSet(std::span<const std::span<const double>> series, std::int64_t length);

  std::int64_t size() const { return first_.back(); }
  std::span<const double> operator[](std::int64_t window) const;

 private:
  std::span<const std::span<const double>> series_;
  std::int64_t length_;
  std::vector<std::int64_t> first_;  // (series + 1): the number of each series' first window
};

}  // namespace memattn
