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

// Throws std::invalid_argument when offsets are not in order, a value is not finite or too large,
// or covariates are not as many as the options say, or not finite.
void check_series(std::string_view function, const SeriesView& series,
                  const PanelForecasterOptions& options);

// Origins to forecast from, with the series that they need and no others.
struct PanelAtOrigins {
  Panel panel;
  std::vector<Origin> origins;  // origins[i].series is a place in `panel`
};

// Checks series and origins, throwing as check_series and when an origin is not inside its series.
void check_origins(std::string_view function, const SeriesView& series, const OriginsView& origins,
                   const PanelForecasterOptions& options);

// Prepares the series of checked origins. Calls `poll` now and then; what it throws ends the call.
PanelAtOrigins prepare_origins(const SeriesView& series, const OriginsView& origins,
                               const PanelRules& rules, const std::function<void()>& poll);

}  // namespace memattn
