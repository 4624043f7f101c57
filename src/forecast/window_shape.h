// The sizes of a window: how many values of a series it spans, and how many inputs it provides.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "memattn/panel_forecaster.h"

namespace memattn {

struct WindowShape {
  std::int64_t lookback = 0;  // L, the values that a window spans
  std::int64_t horizon = 0;   // steps ahead to forecast
  std::int64_t season = 1;
  PanelWindows windows = PanelWindows::kLastValues;
  std::int64_t covariates = 0;  // columns of the table of covariates
  std::vector<CovariateBlock> blocks = {};
  std::int64_t long_season = 0;  // 0: none

  bool past_seasons() const { return windows == PanelWindows::kPastSeasons; }
  // Returns P, the whole seasons of a window of kPastSeasons; else 0.
  std::int64_t seasons() const { return past_seasons() ? lookback / season : 0; }

  // Returns the number of inputs from blocks of covariates: block after block, row after row.
  std::int64_t covariate_features() const {
    std::int64_t sum = 0;
    for (const CovariateBlock& block : blocks) sum += block.columns * block.rows;
    return sum;
  }
  // Returns F, the inputs of the memory layers: those listed in last_values.h or past_seasons.h,
  // then the covariates.
  std::int64_t features() const {
    const std::int64_t of_values =
        past_seasons()
            ? seasons() + (std::min<std::int64_t>(seasons(), 2) + 1) * season
            : lookback - 1 + (season > 1 ? season + 1 : 0) + (long_season > 0 ? 3 : 0) + 2;
    return of_values + covariate_features();
  }
  // Returns V, the inputs of the linear path, in the same order.
  std::int64_t skip_features() const {
    if (!past_seasons()) return features();
    return seasons() + std::min<std::int64_t>(seasons(), 3) * season + covariate_features();
  }
};

// Features are clipped to +-kLargestFeature: beyond that a network only extrapolates.
inline constexpr double kLargestFeature = 10.0;

}  // namespace memattn
