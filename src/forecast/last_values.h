// Windows of the last values of a series, seasonally adjusted.
#pragma once

#include <cstdint>
#include <vector>

#include "forecast/panel.h"
#include "forecast/window_shape.h"

namespace memattn {

// The output arrays for one window; see OriginWindows.
template <typename T>
struct LastValuesRow {
  T* features;
  double* baseline;
  double& scale;
  double& unit;
};

// Scratch that is reused from window to window.
struct LastValuesScratch {
  std::vector<double> index;     // the seasonal index, by phase
  std::vector<double> adjusted;  // the seasonally adjusted values of the window
};

// Fills a row from the first `time` values, at least 1. The features, in units of the scale:
//
//   L - 1             the values less their season, relative to the last of them (the level)
//   season + 1        the season of the next steps, and whether there is one; only if season > 1
//   2                 log of the scale, log of `time`
//
// The scale is the mean |difference| of the window plus a tenth of the series' spread. A history
// shorter than the window repeats its first value.
//
// With a long season, the season comes from TwoSeasons. The scale uses differences over a season
// once three seasons are known. The season + 1 features are replaced by:
//
//   season            the season of the next steps, in units of its own mean size
//   1                 log(1 + that size / scale)
//   3                 what the index was made of: TwoSeasons::Found
template <typename T>
void make_last_values(const PanelSeries& series, const WindowShape& shape, std::int64_t time,
                      LastValuesScratch& scratch, const LastValuesRow<T>& row);

}  // namespace memattn
