// The windows of series with many long seasons: each season a row, each phase a column.
#pragma once

#include <cstdint>
#include <vector>

#include "forecast/origin_windows.h"

namespace memattn {

// Where one of them goes; see OriginWindows.
template <typename T>
struct PastSeasonsRow {
  T* features;
  T* skip;
  T* seasons;
  double* baseline;
  double& scale;
  double& unit;
};

// Fills a row from the first `time` values, at least 1. A history that is shorter than the window
// repeats its first season before it begins, as far as that is known. `window` is space.
template <typename T>
void make_past_seasons(const PanelSeries& series, const WindowShape& shape, std::int64_t time,
                       std::vector<double>& window, const PastSeasonsRow<T>& row);

}  // namespace memattn
