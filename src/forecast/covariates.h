// The covariates of a window at an origin.
#pragma once

#include <cstdint>

#include "forecast/panel.h"
#include "forecast/window_shape.h"

namespace memattn {

// Writes the covariates that shape.blocks select at the origin `time`, covariate_features() values:
// block after block, row by row, clipped to +-kLargestFeature. A block that begins before the
// series repeats the first row, as a window repeats the first value.
template <typename T>
void put_covariates(const PanelSeries& series, const WindowShape& shape, std::int64_t time, T* out);

}  // namespace memattn
