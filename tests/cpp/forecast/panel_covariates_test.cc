// The panel forecaster with covariates, through its public interface.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "forecast/panel_example.h"
#include "memattn/panel_forecaster.h"
#include "memattn/threads.h"
#include "testing/arrays.h"

namespace memattn {
namespace {

using testing::message_of;

constexpr std::int64_t kColumns = 3, kHorizon = 5;

Data series_with_covariates() { return data_with_covariates(kColumns, kHorizon); }

PanelForecasterOptions past_options() {
  PanelForecasterOptions these = covariate_options();
  these.windows = PanelWindows::kPastSeasons;
  these.lookbacks = {4, 8};
  these.pre_norm = true;
  these.dropout = 0.2;
  return these;
}

// Returns the row of the table `step` steps (0: the first step ahead) after the end of a series.
float* row_at_end(Data& series, std::size_t which, std::int64_t step) {
  const std::int64_t row =
      series.offsets[which + 1] + static_cast<std::int64_t>(which) * kHorizon + step;
  return series.covariates.data() + row * kColumns;
}

TEST(PanelCovariates, AKnownCauseImprovesTheForecast) {
  // The past of these series does not show their next value; the covariate does.
  Data series;
  const std::int64_t length = 60, count = 20;
  series.covariates = testing::normal_array<float>(count * (length + kHorizon), 3);
  for (std::int64_t i = 0; i < count; ++i) {
    std::vector<double> values;
    for (std::int64_t t = 0; t < length; ++t) {
      values.push_back(5 +
                       series.covariates[static_cast<std::size_t>(i * (length + kHorizon) + t)]);
    }
    series.add(values);
  }
  PanelForecasterOptions these = options();
  these.season = 1;
  these.loss = ErrorLoss::kMae;
  these.logs = false;
  these.lookbacks = {20};  // long enough that the scale of windows hardly changes
  these.steps = 600;
  these.learning_rate = 5e-3;
  these.covariates = 1;
  // The last known value of the covariate shows the level.
  these.blocks = {{0, 1, -1, 1 + kHorizon}};
  const auto mean_error = [&](const PanelForecasterOptions& asked, const Data& known) {
    PanelForecaster forecaster(asked);
    forecaster.fit(known.view());
    const auto found = predict(forecaster, known);
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t k = 0; k < kHorizon; ++k) {
        const auto row = static_cast<std::size_t>(i * (length + kHorizon) + length + k);
        sum += std::abs(found[static_cast<std::size_t>(i * kHorizon + k)] - 5 -
                        series.covariates[row]);
      }
    }
    return sum / static_cast<double>(count * kHorizon);
  };
  Data bare = series;
  bare.covariates = {};
  PanelForecasterOptions without = these;
  without.covariates = 0;
  without.blocks = {};
  const double known = mean_error(these, series), unknown = mean_error(without, bare);
  EXPECT_GT(unknown, 0.5);
  EXPECT_LT(known, 0.2 * unknown);
}

// A backtest in one pass equals predict on each history alone, whose table ends `horizon` rows
// after it.
TEST(PanelCovariates, ManyOriginsEqualSeparateHistories) {
  const Data series = series_with_covariates();
  for (const PanelForecasterOptions& these : {covariate_options(), past_options()}) {
    PanelForecaster forecaster(these);
    forecaster.fit(series.view());
    std::vector<std::int64_t> which, times;
    for (std::int64_t t = 1; t <= 41; ++t) {
      for (std::int64_t i = 0; i < 12; ++i) {
        if (t > 30 + i) continue;
        which.push_back(i);
        times.push_back(t);
      }
    }
    ASSERT_GT(which.size(), 256u);  // more than pass through the networks together
    std::vector<double> all(which.size() * kHorizon);
    forecaster.predict(series.view(), {which, times}, all);
    for (std::size_t n = 0; n < which.size(); n += 7) {
      Data history;
      const auto i = static_cast<std::size_t>(which[n]);
      const auto first = series.values.begin() + series.offsets[i];
      history.add(std::vector<double>(first, first + times[n]));
      const auto row =
          series.covariates.begin() + (series.offsets[i] + which[n] * kHorizon) * kColumns;
      history.covariates.assign(row, row + (times[n] + kHorizon) * kColumns);
      const auto alone = predict(forecaster, history);
      EXPECT_TRUE(std::ranges::equal(alone, std::span(all).subspan(n * kHorizon, kHorizon))) << n;
    }
  }
}

TEST(PanelCovariates, OnlySelectedCovariatesAffectForecasts) {
  Data series = series_with_covariates();
  // Columns 0 and 1 from the last known value on, columns 1 and 2 from 8 to 3 rows before.
  PanelForecaster forecaster(covariate_options());
  forecaster.fit(series.view());
  const std::vector<double> before = predict(forecaster, series);
  for (std::int64_t step = -12; step < kHorizon; ++step) {
    for (std::int64_t column = 0; column < kColumns; ++column) {
      float& value = row_at_end(series, 4, step)[column];
      const float kept = value;
      value += 1;
      const std::vector<double> after = predict(forecaster, series);
      value = kept;
      const bool seen = (column <= 1 && step >= -1) || (column >= 1 && step >= -8 && step < -2);
      EXPECT_EQ(after != before, seen) << step << " " << column;
      // And none of another series.
      const auto place = static_cast<std::ptrdiff_t>(4 * kHorizon);
      EXPECT_TRUE(std::equal(before.begin(), before.begin() + place, after.begin()));
      EXPECT_TRUE(std::equal(before.begin() + place + kHorizon, before.end(),
                             after.begin() + place + kHorizon));
    }
  }
}

TEST(PanelCovariates, TheMemoryIsReadWithThem) {
  Data series = series_with_covariates();
  PanelForecaster forecaster(covariate_options());
  forecaster.fit(series.view());
  const std::vector<std::int64_t> which = {4}, times = {34};
  const auto read = [&] {
    std::vector<float> scores(2 * 4);
    std::vector<double> without(4 * kHorizon);
    forecaster.attention_scores(series.view(), {which, times}, 1, scores);
    forecaster.predict_without_slots(series.view(), {which, times}, 1, 0, without);
    return std::pair(scores, without);
  };
  const auto [scores, without] = read();
  row_at_end(series, 4, 0)[0] += 1;
  const auto [other_scores, other_without] = read();
  EXPECT_NE(scores, other_scores);
  EXPECT_NE(without, other_without);
}

TEST(PanelCovariates, HaveTheSameBitsForAnyNumberOfThreads) {
  const Data series = series_with_covariates();
  const int before = num_threads();
  for (const PanelForecasterOptions& kind : {covariate_options(), past_options()}) {
    for (const std::size_t members : {1u, 2u}) {
      PanelForecasterOptions these = kind;
      these.lookbacks.resize(members);
      these.seeds = 1;
      these.units = 64;
      these.batch_size = 2048;
      these.steps = 4;
      these.average_decay = 0.9;
      std::vector<double> first;
      for (const int threads : {1, 2, 4}) {
        set_num_threads(threads);
        PanelForecaster forecaster(these);
        forecaster.fit(series.view());
        const auto found = predict(forecaster, series);
        if (first.empty()) first = found;
        EXPECT_EQ(found, first) << threads << " threads, " << members << " members";
      }
    }
  }
  set_num_threads(before);
}

TEST(PanelCovariates, InputDropoutAppliesOnlyInTraining) {
  const Data series = series_with_covariates();
  PanelForecasterOptions none = covariate_options();
  none.input_dropout = 0;
  PanelForecaster with(covariate_options()), without(none);
  with.fit(series.view());
  without.fit(series.view());
  EXPECT_NE(predict(with, series), predict(without, series));
  for (std::int64_t member = 0; member < none.members(); ++member) {
    without.set_parameters(member, with.parameters(member));
  }
  EXPECT_EQ(predict(with, series), predict(without, series));
}

TEST(PanelCovariates, AStrideNeedsALongEnoughSeries) {
  PanelForecasterOptions these = options();  // with 6 values before the first origin
  these.origin_stride = 24;
  Data series;
  series.add(std::vector<double>(29, 1.0));
  EXPECT_EQ(message_of([&] { PanelForecaster(these).fit(series.view()); }),
            "PanelForecaster::fit: series: found 1 series of at most 29 values, expected at least "
            "min_history + origin_stride = 30 in one of them");
  series.add(testing::normal_array<double>(30, 1));
  EXPECT_TRUE(PanelForecaster(these).fit(series.view()));
}

// A network trained at one phase only learns that phase.
TEST(PanelCovariates, AStrideTrainsThePhaseOfTheLastRow) {
  // After the fourth value of each four comes a jump by 1; in between, series move at random.
  Data series;
  for (std::uint64_t i = 0; i < 10; ++i) {
    auto values = testing::normal_array<double>(80, i, 0.3);
    for (std::size_t t = 0; t < values.size(); ++t) values[t] += 10 + (t % 4 == 0 ? 1.0 : 0.0);
    series.add(values);
  }
  const auto mean_ahead = [&](std::int64_t stride) {
    PanelForecasterOptions these = options();
    these.season = 1;
    these.lookbacks = {1};  // too short a window to show the phase
    these.logs = false;
    these.loss = ErrorLoss::kMae;
    these.steps = 200;
    these.learning_rate = 5e-3;
    these.origin_stride = stride;
    PanelForecaster forecaster(these);
    forecaster.fit(series.view());
    const auto found = predict(forecaster, series);
    double sum = 0;
    for (std::size_t i = 0; i < 10; ++i) {
      sum += (found[i * kHorizon] - series.values[(i + 1) * 80 - 1]) / 10;
    }
    return sum;
  };
  EXPECT_GT(mean_ahead(4), 0.7);
  EXPECT_LT(mean_ahead(1), 0.5);
}

TEST(PanelCovariates, InvalidTablesAreRefused) {
  const Data good = series_with_covariates();
  PanelForecaster forecaster(covariate_options());
  forecaster.fit(good.view());
  const std::vector<double> before = predict(forecaster, good);
  const auto refused = [&](auto change) {
    Data series = good;
    change(series);
    const std::string message = message_of([&] { forecaster.fit(series.view()); });
    // Every other call reports the same under its own name.
    const std::vector<std::int64_t> which = {0}, times = {3};
    std::vector<double> forecasts(kHorizon);
    const std::string start = "PanelForecaster::fit",
                      other = message_of(
                          [&] { forecaster.predict(series.view(), {which, times}, forecasts); });
    EXPECT_EQ(other.substr(std::min(other.size(), sizeof("PanelForecaster::predict") - 1)),
              message.substr(std::min(message.size(), start.size())));
    return message;
  };
  const std::string start = "PanelForecaster::fit: covariates: found ";
  // 426 values of 12 series.
  const std::string size =
      " values, expected (values + horizon * series) * options.covariates = (426 + 5 * 12) * 3";
  EXPECT_EQ(refused([](Data& d) { d.covariates.pop_back(); }), start + "1457" + size);
  EXPECT_EQ(refused([](Data& d) { d.covariates.resize(1458 + 1); }), start + "1459" + size);
  EXPECT_EQ(refused([](Data& d) { d.covariates.resize(1458 + 3); }), start + "1461" + size);
  EXPECT_EQ(refused([](Data& d) { d.covariates.resize(1458 + 15); }), start + "1473" + size);
  EXPECT_EQ(refused([](Data& d) { d.covariates.resize(426 * 3); }), start + "1278" + size);
  EXPECT_EQ(refused([](Data& d) { d.covariates.clear(); }), start + "0" + size);
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), infinity, -infinity}) {
    for (const std::size_t row : {0u, 37u, 485u}) {  // no block selects the last one
      for (const std::size_t column : {0u, 2u}) {
        const std::string found =
            refused([&](Data& d) { d.covariates[row * kColumns + column] = bad; });
        EXPECT_TRUE(found.starts_with("PanelForecaster::fit: covariates[" + std::to_string(row) +
                                      ", " + std::to_string(column) + "]: found "))
            << found;
        EXPECT_TRUE(found.ends_with("expected a finite number")) << found;
      }
    }
  }
  EXPECT_EQ(predict(forecaster, good), before);
  PanelForecaster without(options());
  EXPECT_EQ(message_of([&] { without.fit(good.view()); }),
            start + "1458 values, expected none, since options.covariates is 0");
}

// Values as large as floats are clipped, and nothing overflows.
TEST(PanelCovariates, OfAnySizeGiveFiniteForecasts) {
  Data series = series_with_covariates();
  for (std::size_t i = 0; i < series.covariates.size(); i += 5) {
    series.covariates[i] = std::numeric_limits<float>::max() * (i % 2 == 0 ? 1.0f : -1.0f);
  }
  for (const PanelForecasterOptions& these : {covariate_options(), past_options()}) {
    PanelForecaster forecaster(these);
    EXPECT_TRUE(forecaster.fit(series.view()));
    for (const double value : predict(forecaster, series)) EXPECT_TRUE(std::isfinite(value));
  }
}

TEST(PanelCovariates, WithoutBlocksTheyChangeNothing) {
  const Data bare = data(), series = series_with_covariates();
  PanelForecasterOptions unused = options();
  unused.covariates = kColumns;
  PanelForecaster with(unused), without(options());
  with.fit(series.view());
  without.fit(bare.view());
  EXPECT_EQ(predict(with, series), predict(without, bare));
}

}  // namespace
}  // namespace memattn
