// Which options of the panel forecaster can be.
#include <cmath>
#include <limits>
#include <string_view>

#include "check.h"
#include "memattn/panel_forecaster.h"

namespace memattn {
namespace {

constexpr std::string_view kFunction = "PanelForecasterOptions";
constexpr std::int64_t kLargestSize = std::numeric_limits<std::int32_t>::max();

void check_size(std::string_view argument, std::int64_t value, std::int64_t smallest,
                std::int64_t largest = kLargestSize) {
  if (value < smallest || value > largest) {
    fail_argument(kFunction, argument, value, concat("a number from ", smallest, " to ", largest));
  }
}

void check_positive(std::string_view argument, double value) {
  if (!(std::isfinite(value) && value > 0)) {
    fail_argument(kFunction, argument, value, "a finite positive number");
  }
}

void check_share(std::string_view argument, double value) {
  if (!(value >= 0 && value < 1)) fail_argument(kFunction, argument, value, "a number in [0, 1)");
}

// Of the largest member, counted in double, where options that are too large do not wrap around.
double count_params(const PanelForecasterOptions& options, std::int64_t lookback) {
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  const double units = number(options.units), projected = number(options.num_heads) * units;
  // More than there are in either kind of windows.
  const double features = number(lookback) + 4 * number(options.season) + 3;
  const double outputs = number(options.outputs()) * number(options.horizon);
  const double layer =
      number(options.memory_size) * units + 4 * projected * units + 3 * projected + 3 * units;
  return features * units + units + number(options.layers) * layer + (units + features) * outputs;
}

void check_quantiles(const PanelForecasterOptions& options) {
  const std::vector<double>& quantiles = options.quantiles;
  if (quantiles.empty() == (options.loss == PanelLoss::kPinball)) {
    fail_argument(kFunction, "quantiles", concat(quantiles.size(), " of them"),
                  "some with the pinball loss, none with another");
  }
  for (std::size_t i = 0; i < quantiles.size(); ++i) {
    const double lowest = i > 0 ? quantiles[i - 1] : 0.0;
    if (!(quantiles[i] > lowest && quantiles[i] < 1)) {
      fail_argument(kFunction, concat("quantiles[", i, "]"), quantiles[i],
                    concat("a number above ", lowest, " and below 1"));
    }
  }
}

}  // namespace

void PanelForecasterOptions::validate() const {
  check_size("horizon", horizon, 1);
  check_size("season", season, 1);
  if (lookbacks.empty()) fail_argument(kFunction, "lookbacks", "none", "at least one");
  for (std::size_t i = 0; i < lookbacks.size(); ++i) {
    check_size(concat("lookbacks[", i, "]"), lookbacks[i], 1);
  }
  if (windows == PanelWindows::kPastSeasons) {
    check_size("season", season, 2);
    for (std::size_t i = 0; i < lookbacks.size(); ++i) {
      if (lookbacks[i] % season != 0) {
        fail_argument(kFunction, concat("lookbacks[", i, "]"), lookbacks[i],
                      concat("a multiple of season = ", season, ", with windows of past seasons"));
      }
    }
  }
  check_size("seeds", seeds, 1);
  check_size("members", members(), 1, 10'000);
  check_size("min_history", min_history, 1);
  check_size("units", units, 1);
  check_size("memory_size", memory_size, 1);
  check_size("num_heads", num_heads, 1);
  check_size("layers", layers, 0, 1000);
  check_share("dropout", dropout);
  if (memory_initializer.kind == MemoryInitializer::Kind::kNormal) {
    check_positive("memory_initializer.stddev", memory_initializer.stddev);
  }
  check_positive("huber_delta", huber_delta);
  check_quantiles(*this);
  check_size("steps", steps, 1);
  check_size("batch_size", batch_size, 1);
  check_positive("learning_rate", learning_rate);
  check_size("warm_up", warm_up, 0);
  if (!(std::isfinite(weight_decay) && weight_decay >= 0)) {
    fail_argument(kFunction, "weight_decay", weight_decay, "a finite number, at least 0");
  }
  check_positive("clip_norm", clip_norm);
  check_share("average_decay", average_decay);
  for (const std::int64_t lookback : lookbacks) {
    const double params = count_params(*this, lookback);
    if (params > static_cast<double>(kLargestSize)) {
      fail_argument(kFunction, "sizes", concat(params, " weights a member"),
                    concat("at most ", kLargestSize));
    }
  }
}

}  // namespace memattn
