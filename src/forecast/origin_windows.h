// What the network sees of a series at an origin, and what it should have said.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "forecast/memory_network.h"
#include "forecast/panel.h"
#include "memattn/panel_forecaster.h"

namespace memattn {

struct WindowShape {
  std::int64_t lookback = 0;  // L: values that the network sees
  std::int64_t horizon = 0;
  std::int64_t season = 1;
  PanelWindows windows = PanelWindows::kLastValues;

  bool past_seasons() const { return windows == PanelWindows::kPastSeasons; }
  // P: whole seasons in the window, of kPastSeasons.
  std::int64_t seasons() const { return past_seasons() ? lookback / season : 0; }

  // Of kLastValues: L - 1 differences from the level; the season ahead and whether there is one,
  // when there can be; how rough the window is and how long the history.
  // Of kPastSeasons: the mean of each season, oldest first; the last two of them, value by value;
  // the mean season.
  std::int64_t features() const {
    if (past_seasons()) return seasons() + (std::min<std::int64_t>(seasons(), 2) + 1) * season;
    return lookback - 1 + (season > 1 ? season + 1 : 0) + 2;
  }
  // Of the linear path. kPastSeasons: the mean of each season and the last three, value by value;
  // kLastValues: the features.
  std::int64_t skip_features() const {
    if (past_seasons()) return seasons() + std::min<std::int64_t>(seasons(), 3) * season;
    return features();
  }
};

// Windows at N origins. In the domain of its series a forecast k steps ahead is
// baseline[k] + scale * output[k]; baseline alone is Naive2, or the average of past seasons.
template <typename T>
struct OriginWindows {
  std::vector<T> features;       // (N, features)
  std::vector<T> skip;           // (N, skip features); empty where they are the features
  std::vector<T> seasons;        // (N, P, season): the window; empty but for kPastSeasons
  std::vector<double> baseline;  // (N, horizon)
  std::vector<double> scale;     // (N), 0 for a window that stands still
  std::vector<double> unit;      // (N), what an error counts in; 0: nothing
};

// What of them goes into the network.
template <typename T>
MemoryNetworkInputs<T> inputs_of(const OriginWindows<T>& windows) {
  return {windows.features, windows.skip.empty() ? windows.features : windows.skip,
          windows.seasons};
}

// Fills `windows` from the values before each origin alone. The panel must have been made for the
// kind of windows.
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
