// What the network sees of a series at an origin, and what it should have said.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "forecast/panel.h"

namespace memattn {

struct WindowShape {
  std::int64_t lookback = 0;  // L: values that the network sees
  std::int64_t horizon = 0;
  std::int64_t season = 1;

  // L - 1 differences from the level; the season ahead and whether there is one, when there can be;
  // how rough the window is and how long the history.
  std::int64_t features() const { return lookback - 1 + (season > 1 ? season + 1 : 0) + 2; }
};

// Windows at N origins. In the domain of its series a forecast k steps ahead is
// baseline[k] + scale * output[k]; baseline alone is Naive2.
template <typename T>
struct OriginWindows {
  std::vector<T> features;       // (N, features)
  std::vector<double> baseline;  // (N, horizon): level + seasonal index
  std::vector<double> scale;     // (N), 0 for a window that stands still
  std::vector<double> unit;      // (N), what an error counts in; 0: nothing
};

// Fills `windows` from the values before each origin alone.
template <typename T>
void make_windows(const Panel& panel, const WindowShape& shape, std::span<const Origin> origins,
                  OriginWindows<T>& windows);

// What the network's output should have been, in units of an error:
// error = output * slope[n] - target, with slope[n] = scale / unit. Targets past the end of a
// series and those of windows without a unit do not count.
template <typename T>
struct OriginTargets {
  std::vector<T> targets;            // (N, horizon)
  std::vector<T> slope;              // (N)
  std::vector<std::uint8_t> counts;  // (N, horizon), 0 or 1
};

template <typename T>
void make_targets(const Panel& panel, std::int64_t horizon, std::span<const Origin> origins,
                  const OriginWindows<T>& windows, OriginTargets<T>& targets);

}  // namespace memattn
