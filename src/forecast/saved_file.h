// Reads files that Python's Forecaster.save wrote: docs/format.md, "The file of a forecaster".
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "forecast/conformal.h"
#include "io/safetensors.h"
#include "memattn/panel_forecaster.h"

namespace memattn {

// The largest magnitude of a value, so that squares and their sums do not overflow.
inline constexpr double kLargestValue = 1e100;

// The errors that intervals are calibrated on; see Errors.
struct SavedErrors {
  std::vector<double> values;  // (n, places, horizon)
  std::vector<WindowDomain> domains;
  std::vector<std::int64_t> ages;

  // Returns the errors at index `place`, for forecasts of series with this season.
  Errors at(std::int64_t place, std::int64_t places, std::int64_t horizon,
            std::int64_t season) const;
};

// The content of a file of a forecaster without covariates.
struct SavedNetworks {
  SavedNetworks(PanelForecaster networks, std::vector<double> trained_levels)
      : forecaster(std::move(networks)), levels(std::move(trained_levels)) {}

  PanelForecaster forecaster;
  std::int64_t horizon = 1;           // steps ahead of a forecast, at most the networks' horizon
  std::vector<double> levels;         // trained, in percent, ascending; none without quantiles
  std::int64_t rows_seen = 0;         // how many last rows of a series count; 0: all
  bool uses_prior = false;            // the networks are, or started from, those of other series
  bool trained = false;               // on these series
  std::int64_t season = 1;            // of the series
  std::vector<double> values;         // of all series, NaN in holes
  std::vector<std::int64_t> offsets;  // (N + 1)
  std::vector<std::string> ids;       // (N), numbers as text
  std::optional<SavedErrors> errors;
};

// Reads such a file. Throws FormatError for anything but a forecaster without covariates.
SavedNetworks read_saved(const SafetensorsReader& reader);
// Reads networks with trained quantiles that forecast other series, as Forecaster.pretrain makes
// them. Throws FormatError for anything else.
SavedNetworks read_prior(const SafetensorsReader& reader);

}  // namespace memattn
