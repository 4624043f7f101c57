// Checks of the forecaster's options, and the sizes that follow from them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "forecast/memory_network_options.h"
#include "forecast/panel.h"
#include "forecast/window_shape.h"
#include "memattn/panel_forecaster.h"
#include "train/trainer.h"

namespace memattn {

// Returns the window shape of the members of lookbacks[place].
WindowShape window_shape(const PanelForecasterOptions& options, std::size_t place);
MemoryNetworkOptions network_options(const PanelForecasterOptions& options, std::size_t place,
                                     std::uint64_t seed);

TrainerOptions trainer_options(const PanelForecasterOptions& options);

PanelRules panel_rules(const PanelForecasterOptions& options);

}  // namespace memattn
