// Checks of series and origins.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "forecast/panel.h"
#include "memattn/panel_forecaster.h"

namespace memattn {

// Throws std::invalid_argument if offsets are out of order, a value is not finite or too large, or
// covariates are not finite or not as many as the options say.
void check_series(std::string_view function, const SeriesView& series,
                  const PanelForecasterOptions& options);

// Origins to forecast from, with only the series that they need.
struct PanelAtOrigins {
  Panel panel;
  std::vector<Origin> origins;  // origins[i].series is an index in `panel`
};

// Checks series and origins. Throws like check_series, and if an origin is not inside its series.
void check_origins(std::string_view function, const SeriesView& series, const OriginsView& origins,
                   const PanelForecasterOptions& options);

// Prepares the series of checked origins. Calls `poll` regularly; an exception from it ends the
// call.
PanelAtOrigins prepare_origins(const SeriesView& series, const OriginsView& origins,
                               const PanelRules& rules, const std::function<void()>& poll);

}  // namespace memattn
