// Forecasts the series of a file that Python's Forecaster.save wrote, with intervals:
//
//   forecaster = memattn.forecast.Forecaster(12).fit("sales.csv")
//   forecaster.save("sales.safetensors")
//
//   example_saved_forecast sales.safetensors
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <vector>

#include "memattn/saved_forecaster.h"

namespace {

constexpr std::int64_t kShown = 3;  // series

void run(const char* path) {
  // Load it once at program start; any number of threads may use it.
  const auto forecaster = memattn::SavedForecaster::load(path);

  std::vector<double> levels(forecaster.levels().begin(), forecaster.levels().end());
  if (forecaster.has_intervals() && levels.empty()) levels = {80};  // any level is available
  const auto horizon = static_cast<std::size_t>(forecaster.horizon());
  std::vector<double> forecasts(horizon), bounds(levels.size() * 2 * horizon);
  const auto count = static_cast<std::int64_t>(forecaster.ids().size());
  for (std::int64_t series = 0; series < std::min(count, kShown); ++series) {
    forecaster.forecast_series(series, forecasts, levels, bounds);
    std::printf("%s: next %g", forecaster.ids()[static_cast<std::size_t>(series)].c_str(),
                forecasts.front());
    for (std::size_t i = 0; i < levels.size(); ++i) {
      std::printf(", %g %% between %g and %g", levels[i], bounds[2 * i * horizon],
                  bounds[(2 * i + 1) * horizon]);
    }
    std::printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FILE_FROM_FORECASTER_SAVE\n", argv[0]);
    return 2;
  }
  try {
    run(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
