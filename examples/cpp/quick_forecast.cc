// Forecasts one short series in a C++ program, without Python and without training. The networks
// come from a file of the Python package, in memattn/forecast/prior:
//
//   example_quick_forecast season-12.safetensors
#include <cstddef>
#include <cstdio>
#include <exception>
#include <vector>

#include "memattn/quick_forecaster.h"

namespace {

// Sales of 30 months, oldest first.
const std::vector<double> kSales = {112, 118, 132, 129, 121, 135, 148, 148, 136, 119,
                                    104, 118, 115, 126, 141, 135, 125, 149, 170, 170,
                                    158, 133, 114, 140, 145, 150, 178, 163, 172, 178};
constexpr std::size_t kMonths = 6;

void run(const char* path) {
  // Load it once at program start; any number of threads may use it.
  const auto forecaster = memattn::QuickForecaster::load(path);

  const std::vector<double> levels = {80};
  std::vector<double> forecasts(kMonths), bounds(levels.size() * 2 * kMonths);
  forecaster.forecast(kSales, forecasts, levels, bounds);
  std::printf("month  forecast  80 %% between\n");
  for (std::size_t k = 0; k < kMonths; ++k) {
    std::printf("%5zu  %8.0f  %6.0f and %.0f\n", k + 1, forecasts[k], bounds[k],
                bounds[kMonths + k]);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s season-12.safetensors\n", argv[0]);
    return 2;
  }
  try {
    run(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
