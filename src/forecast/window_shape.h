// The sizes of a window: how many values of a series it spans, and how many inputs it gives the
// network.
#pragma once

#include <algorithm>
#include <cstdint>

#include "memattn/panel_forecaster.h"

namespace memattn {

struct WindowShape {
  std::int64_t lookback = 0;  // L, the values that a window spans
  std::int64_t horizon = 0;   // steps ahead to forecast
  std::int64_t season = 1;
  PanelWindows windows = PanelWindows::kLastValues;

  bool past_seasons() const { return windows == PanelWindows::kPastSeasons; }
  // P, the whole seasons of a window of kPastSeasons; else 0.
  std::int64_t seasons() const { return past_seasons() ? lookback / season : 0; }

  // F, the inputs of the memory layers; last_values.h and past_seasons.h list them.
  std::int64_t features() const {
    if (past_seasons()) return seasons() + (std::min<std::int64_t>(seasons(), 2) + 1) * season;
    return lookback - 1 + (season > 1 ? season + 1 : 0) + 2;
  }
  // V, the inputs of the linear path.
  std::int64_t skip_features() const {
    if (past_seasons()) return seasons() + std::min<std::int64_t>(seasons(), 3) * season;
    return features();
  }
};

// A feature is cut off at +-kLargestFeature: beyond it a network only extrapolates.
inline constexpr double kLargestFeature = 10.0;

}  // namespace memattn
