// The panel forecaster with windows of past seasons, through its public interface.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "forecast/panel_example.h"
#include "memattn/panel_forecaster.h"
#include "memattn/threads.h"
#include "testing/arrays.h"

namespace memattn {
namespace {

constexpr std::int64_t kSeries = 8, kLength = 80, kHorizon = 5;

// Returns positive series with a season of 4.
Data past_data() {
  Data result;
  for (std::int64_t i = 0; i < kSeries; ++i) {
    auto series = testing::normal_array<double>(kLength, static_cast<std::uint64_t>(i));
    for (std::int64_t t = 0; t < kLength; ++t) {
      double& value = series[static_cast<std::size_t>(t)];
      value = std::exp(3 + 0.3 * std::sin(std::numbers::pi / 2 * static_cast<double>(t + i)) +
                       0.1 * value);
    }
    result.add(series);
  }
  return result;
}

PanelForecasterOptions past_options() {
  PanelForecasterOptions result;
  result.horizon = kHorizon;
  result.season = 4;
  result.lookbacks = {8, 12};
  result.seeds = 2;
  result.min_history = 12;
  result.windows = PanelWindows::kPastSeasons;
  result.units = 8;
  result.memory_size = 4;
  result.num_heads = 2;
  result.pre_norm = true;
  result.dropout = 0.3;
  result.steps = 30;
  result.batch_size = 64;
  return result;
}

TEST(PanelPastSeasons, UntrainedEqualsTheirAverage) {
  const Data series = past_data();
  for (const bool logs : {false, true}) {
    PanelForecasterOptions these = past_options();
    these.logs = logs;
    const auto found = predict(PanelForecaster(these), series);
    for (std::size_t i = 0; i < kSeries; ++i) {
      const double* const end = series.values.data() + series.offsets[i + 1];
      const auto at = [&](std::size_t k, int season) {
        const double value = end[static_cast<std::ptrdiff_t>(k % 4) - 4 * season];
        return logs ? std::log(value) : value;
      };
      for (std::size_t k = 0; k < kHorizon; ++k) {
        // Two members have windows of two seasons, two of three.
        const double expected =
            0.5 * (at(k, 1) + at(k, 2)) / 2 + 0.5 * (at(k, 1) + at(k, 2) + at(k, 3)) / 3;
        EXPECT_NEAR(found[i * kHorizon + k] / (logs ? std::exp(expected) : expected), 1, 1e-12);
      }
    }
  }
}

// Each value is the negative of the same phase two seasons ago, which no average predicts.
Data alternating() {
  Data result;
  for (std::int64_t i = 0; i < kSeries; ++i) {
    auto values = testing::normal_array<double>(kLength, static_cast<std::uint64_t>(i));
    for (std::size_t t = 8; t < values.size(); ++t) values[t] = -values[t - 8];
    result.add(values);
  }
  return result;
}

TEST(PanelPastSeasons, LearnsTheValuesOfAPhase) {
  const Data series = alternating();
  PanelForecasterOptions these = past_options();
  these.lookbacks = {12};
  these.seeds = 1;
  these.layers = 0;
  these.loss = ErrorLoss::kPinball;
  these.quantiles = {0.4, 0.5};  // each with its own weights
  these.learning_rate = 1e-2;
  these.steps = 400;
  PanelForecaster forecaster(these);
  double first = 0, last = 0;
  ASSERT_TRUE(forecaster.fit(series.view(), [&](const PanelProgress& now) {
    if (now.step == 1) first = now.loss;
    last = now.loss;
    return true;
  }));
  EXPECT_LT(last, 0.1 * first);
  const auto found = predict(forecaster, series);
  for (std::size_t i = 0; i < kSeries; ++i) {
    const double* const end = series.values.data() + series.offsets[i + 1];
    for (std::size_t o = 0; o < 2 * kHorizon; ++o) {
      const auto k = static_cast<std::ptrdiff_t>(o % kHorizon);
      EXPECT_NEAR(found[i * 2 * kHorizon + o], -end[k - 8], 0.2);
    }
  }
}

TEST(PanelPastSeasons, QuantilesDoNotCross) {
  const Data series = past_data();
  PanelForecasterOptions these = past_options();
  these.loss = ErrorLoss::kPinball;
  these.quantiles = {0.1, 0.5, 0.9};
  these.steps = 200;
  PanelForecaster forecaster(these);
  forecaster.fit(series.view());
  const auto found = predict(forecaster, series);
  for (std::size_t i = 0; i < kSeries; ++i) {
    for (std::size_t k = 0; k < kHorizon; ++k) {
      const double* at = found.data() + i * 3 * kHorizon + k;
      EXPECT_LT(at[0], at[kHorizon]);
      EXPECT_LT(at[kHorizon], at[2 * kHorizon]);
    }
  }
}

TEST(PanelPastSeasons, HasTheSameBitsForAnyNumberOfThreads) {
  const Data series = past_data();
  const int before = num_threads();
  std::vector<double> first;
  for (const int threads : {1, 2, 4}) {
    set_num_threads(threads);
    PanelForecasterOptions these = past_options();
    these.seeds = 1;
    these.batch_size = 2048;
    these.steps = 4;
    these.average_decay = 0.9;
    PanelForecaster forecaster(these);
    forecaster.fit(series.view());
    const auto found = predict(forecaster, series);
    if (first.empty()) first = found;
    EXPECT_EQ(found, first) << threads << " threads";
  }
  set_num_threads(before);
}

}  // namespace
}  // namespace memattn
