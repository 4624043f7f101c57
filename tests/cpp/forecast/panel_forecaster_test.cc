// The panel forecaster through its public interface.
#include "memattn/panel_forecaster.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "forecast/panel_example.h"
#include "memattn/threads.h"
#include "testing/arrays.h"

namespace memattn {
namespace {

using testing::message_of;

// Returns Naive2 of a series, in logs or not, with the season of the plain decomposition, computed
// here directly from the definition.
std::vector<double> naive2(const std::vector<double>& series, bool log, std::int64_t season,
                           std::int64_t horizon) {
  std::vector<double> z;
  for (const double value : series) z.push_back(log ? std::log(value) : value);
  const auto n = static_cast<std::int64_t>(z.size());
  std::vector<double> index(static_cast<std::size_t>(season), 0.0);
  std::vector<double> counts(index);
  double mean = 0;
  for (const double value : z) mean += value / static_cast<double>(n);
  const auto at = [&](std::int64_t i) { return z[static_cast<std::size_t>(i)]; };
  const auto covariance = [&](std::int64_t lag) {
    double sum = 0;
    for (std::int64_t i = lag; i < n; ++i) sum += (at(i) - mean) * (at(i - lag) - mean);
    return sum;
  };
  double squares = 0;
  for (std::int64_t k = 1; k < season; ++k) squares += std::pow(covariance(k) / covariance(0), 2);
  const double limit = 1.645 * std::sqrt((1 + 2 * squares) / static_cast<double>(n));
  if (n >= 3 * season && std::abs(covariance(season) / covariance(0)) > limit) {
    const std::int64_t half = season / 2;  // of an even season
    for (std::int64_t i = half; i < n - half; ++i) {
      double trend = (at(i - half) + at(i + half)) / 2;
      for (std::int64_t k = 1 - half; k < half; ++k) trend += at(i + k);
      index[static_cast<std::size_t>(i % season)] += at(i) - trend / static_cast<double>(season);
      counts[static_cast<std::size_t>(i % season)] += 1;
    }
    double all = 0;
    for (std::size_t p = 0; p < index.size(); ++p) all += index[p] /= counts[p];
    for (double& value : index) value -= all / static_cast<double>(season);
  }
  std::vector<double> result;
  for (std::int64_t k = 0; k < horizon; ++k) {
    const double value = z.back() - index[static_cast<std::size_t>((n - 1) % season)] +
                         index[static_cast<std::size_t>((n + k) % season)];
    result.push_back(log ? std::exp(value) : value);
  }
  return result;
}

TEST(PanelForecaster, UntrainedEqualsNaive2) {
  Data mixed = data();
  std::vector<double> negative(mixed.values.begin(), mixed.values.begin() + 30);
  for (double& value : negative) value -= 20;
  mixed.add(negative);
  mixed.add({4.0});
  mixed.add({-1.0, 2.0});
  const std::vector<double> found = predict(PanelForecaster(options()), mixed);
  bool seasonal = false;
  for (std::size_t i = 0; i + 1 < mixed.offsets.size(); ++i) {
    const std::vector<double> series(mixed.values.begin() + mixed.offsets[i],
                                     mixed.values.begin() + mixed.offsets[i + 1]);
    const bool log = std::ranges::all_of(series, [](double value) { return value > 0; });
    const auto expected =
        series.size() < 3 ? std::vector<double>(5, series.back()) : naive2(series, log, 4, 5);
    const std::vector<double> here(found.begin() + static_cast<std::ptrdiff_t>(i) * 5,
                                   found.begin() + static_cast<std::ptrdiff_t>(i) * 5 + 5);
    EXPECT_LE(testing::relative_error(here, expected), 1e-12) << i;
    seasonal = seasonal || std::abs(here[0] - here[1]) > 0.01;
  }
  EXPECT_TRUE(seasonal);
}

TEST(PanelForecaster, LearnsATrendThatNaive2Misses) {
  // A ramp in logs, for which Naive2 forecasts a constant.
  Data ramps;
  for (int i = 1; i <= 8; ++i) {
    std::vector<double> series;
    for (int t = 0; t < 40; ++t) series.push_back(std::exp(1 + 0.01 * i * t));
    ramps.add(series);
  }
  PanelForecasterOptions these = options();
  these.season = 1;
  these.steps = 300;
  PanelForecaster forecaster(these);
  double first = 0, last = 0;
  ASSERT_TRUE(forecaster.fit(ramps.view(), [&](const PanelProgress& now) {
    if (now.step == 1) first = now.loss;
    last = now.loss;
    return true;
  }));
  EXPECT_LT(last, 0.1 * first);
  const auto found = predict(forecaster, ramps);
  for (std::size_t i = 0; i < 8; ++i) {
    const double truth = 1 + 0.01 * static_cast<double>(i + 1) * 44;
    EXPECT_NEAR(std::log(found[i * 5 + 4]), truth, 0.25 * 0.05 * static_cast<double>(i + 1)) << i;
  }
}

TEST(PanelForecaster, HasTheSameBitsForAnyNumberOfThreads) {
  const Data series = data();
  const int before = num_threads();
  // Several members share the threads; a single one uses them for the pieces of its layers.
  for (const std::vector<std::int64_t>& lookbacks :
       {std::vector<std::int64_t>{4, 7, 9}, std::vector<std::int64_t>{7}}) {
    std::vector<double> first;
    for (const int threads : {1, 2, 4}) {
      set_num_threads(threads);
      PanelForecasterOptions these = options();
      these.lookbacks = lookbacks;
      these.seeds = 1;
      these.units = 64;
      these.batch_size = 2048;
      these.steps = 4;
      these.dropout = 0.2;
      these.average_decay = 0.9;
      PanelForecaster forecaster(these);
      forecaster.fit(series.view());
      const auto found = predict(forecaster, series);
      if (first.empty()) first = found;
      EXPECT_EQ(found, first) << threads << " threads, " << lookbacks.size() << " members";
    }
  }
  set_num_threads(before);
}

TEST(PanelForecaster, FitStartsFromTheSeedAndSeedsDiffer) {
  const Data series = data();
  PanelForecaster twice(options()), once(options());
  twice.fit(series.view());
  twice.fit(series.view());
  once.fit(series.view());
  EXPECT_EQ(predict(twice, series), predict(once, series));
  PanelForecasterOptions other = options();
  other.seed = 1;
  PanelForecaster different(other);
  different.fit(series.view());
  EXPECT_NE(predict(different, series), predict(once, series));
  EXPECT_NE(predict(once, series, 0), predict(once, series, 1));
}

TEST(PanelForecaster, EnsembleIsTheMeanInLogs) {
  const Data series = data();
  PanelForecaster forecaster(options());
  forecaster.fit(series.view());
  const auto together = predict(forecaster, series);
  std::vector<double> mean(together.size(), 0.0);
  for (std::int64_t member = 0; member < 4; ++member) {
    const auto alone = predict(forecaster, series, member);
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += std::log(alone[i]) / 4;
  }
  for (double& value : mean) value = std::exp(value);
  EXPECT_LE(testing::relative_error(together, mean), 1e-13);
}

// A backtest in one pass equals predict on each history alone.
TEST(PanelForecaster, ManyOriginsEqualSeparateHistories) {
  const Data series = data();
  PanelForecaster forecaster(options());
  forecaster.fit(series.view());
  std::vector<std::int64_t> which, times;
  for (std::int64_t t = 1; t <= 41; ++t) {
    for (std::int64_t i = 0; i < 12; ++i) {
      if (t > 30 + i) continue;
      which.push_back(i);
      times.push_back(t);
    }
  }
  ASSERT_GT(which.size(), 256u);
  std::vector<double> all(which.size() * 5);
  forecaster.predict(series.view(), {which, times}, all);
  for (std::size_t n = 0; n < which.size(); n += 7) {
    Data history;
    const auto first = series.values.begin() + series.offsets[static_cast<std::size_t>(which[n])];
    history.add(std::vector<double>(first, first + times[n]));
    const auto alone = predict(forecaster, history);
    EXPECT_TRUE(
        std::equal(alone.begin(), alone.end(), all.begin() + static_cast<std::ptrdiff_t>(n) * 5))
        << n;
  }
}

// A series is prepared from its earliest origin on, at any position in the list.
TEST(PanelForecaster, OriginsMayComeInAnyOrder) {
  const Data series = data();
  const PanelForecaster forecaster(options());
  const std::vector<std::int64_t> which = {3, 5, 3, 3, 5}, times = {33, 20, 14, 25, 35};
  std::vector<double> all(which.size() * 5), alone(5);
  forecaster.predict(series.view(), {which, times}, all);
  for (std::size_t n = 0; n < which.size(); ++n) {
    forecaster.predict(series.view(), {{&which[n], 1}, {&times[n], 1}}, alone);
    EXPECT_TRUE(
        std::equal(alone.begin(), alone.end(), all.begin() + static_cast<std::ptrdiff_t>(n) * 5))
        << n;
    EXPECT_NE(alone[0], alone[1]) << "no season at origin " << n;
  }
}

TEST(PanelForecaster, ConstantSeriesHaveConstantForecastsAndTrainNothing) {
  Data series = data();
  PanelForecaster without(options());
  series.add(std::vector<double>(40, -2.0));
  PanelForecaster forecaster(options());
  forecaster.fit(series.view());
  const auto found = predict(forecaster, series);
  for (std::size_t k = 0; k < 5; ++k) EXPECT_EQ(found[found.size() - 5 + k], -2.0);
  Data constant;
  constant.add(std::vector<double>(40, 0.0));
  without.fit(constant.view());
  EXPECT_EQ(predict(without, constant), std::vector<double>(5, 0.0));
}

// Series with jumps above float's range train with every loss.
TEST(PanelForecaster, HugeJumpsTrainWithEveryLoss) {
  Data series = data();
  std::vector<double> jumping = testing::normal_array<double>(40, 1);
  for (std::size_t t = 30; t < jumping.size(); ++t) jumping[t] = t % 2 == 0 ? 1e60 : -1e150;
  series.add(jumping);
  for (const ErrorLoss loss :
       {ErrorLoss::kSmape, ErrorLoss::kMae, ErrorLoss::kHuber, ErrorLoss::kPinball}) {
    PanelForecasterOptions these = options();
    these.loss = loss;
    these.huber_delta = 1e18;
    if (loss == ErrorLoss::kPinball) these.quantiles = {0.1, 0.9};
    PanelForecaster forecaster(these);
    EXPECT_TRUE(forecaster.fit(series.view(), [](const PanelProgress& now) {
      EXPECT_TRUE(std::isfinite(now.loss));
      return true;
    }));
    for (const double value : predict(forecaster, series)) EXPECT_TRUE(std::isfinite(value));
  }
}

TEST(PanelForecaster, QuantilesDoNotCrossAndMatchTheNoise) {
  Data series;
  for (std::uint64_t i = 0; i < 40; ++i) {
    auto values = testing::normal_array<double>(60, i);
    for (double& value : values) value = std::exp(0.1 * value);
    series.add(values);
  }
  PanelForecasterOptions these = options();
  these.season = 1;
  these.loss = ErrorLoss::kPinball;
  these.quantiles = {0.1, 0.5, 0.9};
  these.steps = 300;
  PanelForecaster forecaster(these);
  forecaster.fit(series.view());
  const auto found = predict(forecaster, series);
  double low = 0, high = 0;
  for (std::size_t n = 0; n < 40; ++n) {
    for (std::size_t k = 0; k < 5; ++k) {
      const double* at = found.data() + n * 15 + k;
      EXPECT_LE(at[0], at[5]);
      EXPECT_LE(at[5], at[10]);
      low += std::log(at[0]) / 200;
      high += std::log(at[10]) / 200;
    }
  }
  EXPECT_NEAR(low, -0.128, 0.05);  // 0.1 times the normal quantile
  EXPECT_NEAR(high, 0.128, 0.05);
}

TEST(PanelForecaster, ProgressStopsTrainingBetweenSteps) {
  const Data series = data();
  PanelForecaster forecaster(options());
  std::int64_t calls = 0;
  EXPECT_FALSE(forecaster.fit(series.view(), [&](const PanelProgress& now) {
    EXPECT_EQ(now.steps, 30);
    EXPECT_EQ(now.step, ++calls);
    return now.step < 3;
  }));
  EXPECT_EQ(calls, 3);
  EXPECT_NE(predict(forecaster, series), predict(PanelForecaster(options()), series));
}

TEST(PanelForecaster, InvalidSeriesAreRefused) {
  PanelForecaster forecaster(options());
  Data series = data();
  const auto refused = [&] { return message_of([&] { forecaster.fit(series.view()); }); };
  series.values[3] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(
      refused(),
      "PanelForecaster::fit: values[3]: found nan, expected a finite number, at most 1e+150 in "
      "size");
  series.values[3] = 1;
  series.offsets[2] = 5;
  EXPECT_EQ(refused(),
            "PanelForecaster::fit: offsets[2]: found 5, expected a number from 30 to 426");
  series.offsets = {0, 5};
  EXPECT_EQ(
      refused(),
      "PanelForecaster::fit: offsets: found 0 to 5, expected numbers from 0 to 426, the number "
      "of values");
  series.offsets = {};
  EXPECT_EQ(refused(),
            "PanelForecaster::fit: offsets: found none, expected numbers from 0 to 426, the number "
            "of values");
  series.values = {1, 2, 3};
  series.offsets = {0, 0, 3};
  EXPECT_EQ(refused(),
            "PanelForecaster::fit: series: found 2 series of at most 3 values, expected more than "
            "min_history = 6 in one of them");
}

TEST(PanelForecaster, InvalidOriginsAreRefused) {
  const PanelForecaster forecaster(options());
  const Data series = data();
  std::vector<double> forecasts(5);
  const auto refused = [&](std::vector<std::int64_t> which, std::vector<std::int64_t> times,
                           std::optional<std::int64_t> member = {}) {
    return message_of([&] {
      if (member) {
        forecaster.predict(series.view(), {which, times}, *member, forecasts);
      } else {
        forecaster.predict(series.view(), {which, times}, forecasts);
      }
    });
  };
  EXPECT_EQ(refused({12}, {3}),
            "PanelForecaster::predict: series[0]: found 12, expected a number from 0 to 11");
  EXPECT_EQ(refused({0}, {31}),
            "PanelForecaster::predict: times[0]: found 31, expected a number from 1 to 30, the "
            "length of series 0");
  EXPECT_EQ(
      refused({0}, {0}),
      "PanelForecaster::predict: times[0]: found 0, expected a number from 1 to 30, the length "
      "of series 0");
  EXPECT_EQ(
      refused({0}, {}),
      "PanelForecaster::predict: times: found 0 values, expected 1 values, as many as series");
  EXPECT_EQ(refused({0, 1}, {3, 3}),
            "PanelForecaster::predict: forecasts: found 5 values, expected origins * outputs * "
            "horizon = 2 * 1 * 5 = 10");
  EXPECT_EQ(refused({0}, {3}, 4),
            "PanelForecaster::predict: member: found 4, expected a number from 0 to 3");
  EXPECT_EQ(refused({0}, {3}, -1),
            "PanelForecaster::predict: member: found -1, expected a number from 0 to 3");
  EXPECT_EQ(forecasts, std::vector<double>(5));
}

TEST(PanelForecaster, EqualParametersGiveEqualForecasts) {
  const Data series = data();
  PanelForecaster trained(options());
  ASSERT_TRUE(trained.fit(series.view()));
  PanelForecasterOptions other_seed = options();
  other_seed.seed = 1;
  PanelForecaster other(other_seed);
  std::int64_t weights = 0;
  for (std::int64_t member = 0; member < options().members(); ++member) {
    weights += static_cast<std::int64_t>(trained.parameters(member).size());
    other.set_parameters(member, trained.parameters(member));
  }
  EXPECT_EQ(weights, trained.count_params());
  const std::vector<std::int64_t> counted = trained.options().count_member_params();
  ASSERT_EQ(static_cast<std::int64_t>(counted.size()), trained.options().members());
  EXPECT_EQ(counted[1], static_cast<std::int64_t>(trained.parameters(1).size()));
  const std::vector<std::int64_t> which = {0, 5, 11}, times = {30, 20, 41};
  std::vector<double> expected(15), found(15);
  trained.predict(series.view(), {which, times}, expected);
  other.predict(series.view(), {which, times}, found);
  EXPECT_EQ(found, expected);
}

TEST(PanelForecaster, InvalidParametersAreRefused) {
  PanelForecaster forecaster(options());
  const auto before = forecaster.parameters(0);
  std::vector<float> values(before.begin(), before.end());
  const auto refused = [&](std::int64_t member) {
    return message_of([&] { forecaster.set_parameters(member, values); });
  };
  EXPECT_EQ(refused(4),
            "PanelForecaster::set_parameters: member: found 4, expected a number from 0 to 3");
  EXPECT_EQ(message_of([&] { static_cast<void>(forecaster.parameters(-1)); }),
            "PanelForecaster::parameters: member: found -1, expected a number from 0 to 3");
  values[2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(refused(0),
            "PanelForecaster::set_parameters: parameters[2]: found nan, expected a finite number");
  EXPECT_TRUE(std::isfinite(forecaster.parameters(0)[2]));
  values.pop_back();
  EXPECT_NE(refused(0).find("expected the weights of member 0 = "), std::string::npos);
}

}  // namespace
}  // namespace memattn
