// Reading the networks of a saved forecaster: docs/format.md, "The file of a forecaster".
#pragma once

#include <cstdint>
#include <vector>

#include "io/safetensors.h"
#include "memattn/panel_forecaster.h"

namespace memattn {

// Networks with trained quantiles, and what is needed to use them.
struct PriorNetworks {
  PanelForecaster forecaster;
  std::vector<double> levels;  // in percent, ascending
  std::int64_t rows_seen = 0;  // the last rows of a series that count; 0: all
};

// Throws FormatError for anything but such networks, without covariates.
PriorNetworks read_prior(const SafetensorsReader& reader);

}  // namespace memattn
