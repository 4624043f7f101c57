// The network's inputs at many origins, and its training targets.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "forecast/memory_network.h"
#include "forecast/panel.h"
#include "forecast/window_shape.h"

namespace memattn {

// The windows at N origins. In the domain of the series, the forecast k steps ahead is baseline[k]
// + scale * output[k]. The baseline alone is Naive2 with kLastValues, and the average of past
// values of the same phase with kPastSeasons.
template <typename T>
struct OriginWindows {
  std::vector<T> features;       // (N, F)
  std::vector<T> skip;           // (N, V); empty if the linear path uses the features
  std::vector<T> seasons;        // (N, P, season); empty without past seasons
  std::vector<double> baseline;  // (N, horizon)
  std::vector<double> scale;     // (N), 0 for a constant window
  std::vector<double> unit;      // (N), the unit of errors; 0 for a constant series
};

// Returns the arrays that go into the network.
template <typename T>
MemoryNetworkInputs<T> inputs_of(const OriginWindows<T>& windows) {
  return {windows.features, windows.skip.empty() ? windows.features : windows.skip,
          windows.seasons};
}

// Fills `windows` using only the values before each origin. The panel must have been prepared for
// the same kind of windows.
template <typename T>
void make_windows(const Panel& panel, const WindowShape& shape, std::span<const Origin> origins,
                  OriginWindows<T>& windows);

// Training targets for the network's output, in units of an error: error = output * slope[n] -
// target, with slope[n] = scale / unit. A target does not count if it lies past the end of its
// series or its window has no unit. Targets are clipped to +-kLargestTarget.
template <typename T>
struct OriginTargets {
  std::vector<T> targets;            // (N, horizon)
  std::vector<T> slope;              // (N)
  std::vector<std::uint8_t> counts;  // (N, horizon), 0 or 1
};

// A truth this many units from the baseline is as good as infinitely far away. The limit keeps
// errors, and losses with a huber_delta of up to the same size, finite in float for any series.
inline constexpr double kLargestTarget = 1e18;

template <typename T>
void make_targets(const Panel& panel, std::int64_t horizon, std::span<const Origin> origins,
                  const OriginWindows<T>& windows, OriginTargets<T>& targets);

}  // namespace memattn
