// Series and options of the panel forecaster that are small enough for tests.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <optional>
#include <vector>

#include "memattn/panel_forecaster.h"
#include "testing/arrays.h"

namespace memattn {

struct Data {
  std::vector<double> values;
  std::vector<std::int64_t> offsets = {0};
  std::vector<float> covariates = {};

  void add(const std::vector<double>& series) {
    values.insert(values.end(), series.begin(), series.end());
    offsets.push_back(static_cast<std::int64_t>(values.size()));
  }
  SeriesView view() const { return {values, offsets, covariates}; }
};

// Returns positive series of 30 to 41 values with a season of 4.
inline Data data() {
  Data result;
  for (std::int64_t i = 0; i < 12; ++i) {
    const auto noise = testing::normal_array<double>(30 + i, static_cast<std::uint64_t>(i));
    std::vector<double> series;
    for (std::int64_t t = 0; t < 30 + i; ++t) {
      const double level = 3 + 0.02 * static_cast<double>(t * (i % 3));
      const double season = 0.3 * std::sin(std::numbers::pi / 2 * static_cast<double>(t + i));
      series.push_back(std::exp(level + season + 0.05 * noise[static_cast<std::size_t>(t)]));
    }
    result.add(series);
  }
  return result;
}

// Returns the same series with a table of `columns` random covariates, for this horizon.
inline Data data_with_covariates(std::int64_t columns, std::int64_t horizon) {
  Data result = data();
  const std::int64_t rows = result.offsets.back() + 12 * horizon;
  result.covariates = testing::normal_array<float>(rows * columns, 17);
  return result;
}

inline PanelForecasterOptions options() {
  PanelForecasterOptions result;
  result.horizon = 5;
  result.season = 4;
  result.lookbacks = {4, 7};
  result.seeds = 2;
  result.min_history = 6;
  result.units = 8;
  result.memory_size = 4;
  result.num_heads = 2;
  result.steps = 30;
  result.warm_up = 5;
  result.batch_size = 64;
  return result;
}

// Returns options with three columns of covariates: two ahead with one known step, two in the past.
inline PanelForecasterOptions covariate_options() {
  PanelForecasterOptions result = options();
  result.covariates = 3;
  result.blocks = {{0, 2, -1, result.horizon + 1}, {1, 2, -8, 6}};
  result.input_dropout = 0.2;
  return result;
}

// Forecasts from the end of each series, with all members or with one.
inline std::vector<double> predict(const PanelForecaster& forecaster, const Data& series,
                                   std::optional<std::int64_t> member = {}) {
  std::vector<std::int64_t> which, times;
  for (std::size_t i = 0; i + 1 < series.offsets.size(); ++i) {
    which.push_back(static_cast<std::int64_t>(i));
    times.push_back(series.offsets[i + 1] - series.offsets[i]);
  }
  const PanelForecasterOptions& o = forecaster.options();
  std::vector<double> result(which.size() * static_cast<std::size_t>(o.outputs() * o.horizon), 99);
  if (member) {
    forecaster.predict(series.view(), {which, times}, *member, result);
  } else {
    forecaster.predict(series.view(), {which, times}, result);
  }
  return result;
}

}  // namespace memattn
