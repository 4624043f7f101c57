// Windows of whole past seasons, for series with many long seasons. Each season is a row of the
// window, each phase a column.
#pragma once

#include <cstdint>
#include <vector>

#include "forecast/panel.h"
#include "forecast/window_shape.h"

namespace memattn {

// The output arrays for one window; see OriginWindows.
template <typename T>
struct PastSeasonsRow {
  T* features;
  T* skip;
  T* seasons;
  double* baseline;
  double& scale;
  double& unit;
};

// Fills a row from the first `time` values, at least 1. All inputs are relative to the level, the
// mean of the last season, and in units of the scale, the standard deviation up to the origin:
//
//   features   the mean of each season, oldest first; the last two seasons; the mean season
//   skip       the mean of each season, oldest first; the last three seasons
//   seasons    all P seasons
//
// A history shorter than the window repeats its first season, as far as it is known. `window` is
// scratch.
template <typename T>
void make_past_seasons(const PanelSeries& series, const WindowShape& shape, std::int64_t time,
                       std::vector<double>& window, const PastSeasonsRow<T>& row);

}  // namespace memattn
