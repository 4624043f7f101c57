// The forecaster learns, repeats itself, stops when told, and refuses what cannot be.
#include "memattn/forecaster.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "forecast/windows.h"
#include "kernels/random.h"

namespace memattn {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

using Series = std::vector<double>;

// Two sines, of which one is no multiple of the season, and noise.
Series two_sines(std::size_t size, std::uint64_t seed) {
  Series values(size);
  for (std::size_t i = 0; i < size; ++i) {
    const double t = static_cast<double>(i);
    values[i] = 20 + 3 * std::sin(2 * std::numbers::pi * t / 12) +
                2 * std::sin(2 * std::numbers::pi * t / 31 + 1) +
                0.2 * kernels::standard_normal(seed, i);
  }
  return values;
}

ForecasterOptions small_options() {
  ForecasterOptions options;
  options.lookback = 48;
  options.horizon = 12;
  options.season = 12;
  options.patch_size = 12;
  options.units = 8;
  options.memory_size = 6;
  options.epochs = 3;
  options.batch_size = 32;
  return options;
}

bool fit(Forecaster& forecaster, const std::vector<Series>& series,
         const std::function<bool(const FitProgress&)>& progress = {}) {
  const std::vector<std::span<const double>> spans(series.begin(), series.end());
  return forecaster.fit(spans, progress);
}

std::vector<double> predict(const Forecaster& forecaster, const std::vector<double>& windows) {
  const auto lookback = static_cast<std::size_t>(forecaster.options().lookback);
  const auto horizon = static_cast<std::size_t>(forecaster.options().horizon);
  std::vector<double> forecasts(windows.size() / lookback * horizon, 99);
  forecaster.predict(windows, forecasts);
  return forecasts;
}

// All windows of a series, one after another.
std::vector<double> all_windows(const Series& series, std::size_t lookback, std::size_t horizon) {
  std::vector<double> windows;
  for (std::size_t t = 0; t + lookback + horizon <= series.size(); ++t) {
    const auto first = series.begin() + static_cast<std::ptrdiff_t>(t);
    windows.insert(windows.end(), first, first + static_cast<std::ptrdiff_t>(lookback));
  }
  return windows;
}

struct Errors {
  double model = 0, naive = 0;
};

Errors mean_absolute_errors(const Forecaster& forecaster, const Series& series) {
  const auto lookback = static_cast<std::size_t>(forecaster.options().lookback);
  const auto horizon = static_cast<std::size_t>(forecaster.options().horizon);
  const auto windows = all_windows(series, lookback, horizon);
  const auto forecasts = predict(forecaster, windows);
  Errors errors;
  for (std::size_t i = 0; i < forecasts.size(); ++i) {
    const std::size_t window = i / horizon, step = i % horizon;
    const double truth = series[window + lookback + step];
    const double naive = seasonal_naive(std::span(windows).subspan(window * lookback, lookback),
                                        forecaster.options().season, std::int64_t(step));
    errors.model += std::abs(forecasts[i] - truth) / double(forecasts.size());
    errors.naive += std::abs(naive - truth) / double(forecasts.size());
  }
  return errors;
}

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

template <typename Action>
void expect_refused(Action&& action, const std::string& text) {
  try {
    action();
    ADD_FAILURE() << "expected std::invalid_argument with: " << text;
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

TEST(Forecaster, UntrainedIsSeasonalNaiveExactly) {
  for (const std::int64_t season : {1, 7, 12, 48}) {
    ForecasterOptions options = small_options();
    options.season = season;
    const Forecaster forecaster(options);
    const auto windows = all_windows(two_sines(200, 1), 48, 12);
    const auto forecasts = predict(forecaster, windows);
    ASSERT_EQ(forecasts.size(), 141u * 12);
    for (std::size_t i = 0; i < forecasts.size(); ++i) {
      const auto window = std::span(windows).subspan(i / 12 * 48, 48);
      EXPECT_EQ(forecasts[i], seasonal_naive(window, season, std::int64_t(i % 12)));
    }
  }
}

TEST(Forecaster, LearnsTwoSinesFarBetterThanSeasonalNaive) {
  ForecasterOptions options = small_options();
  options.epochs = 10;
  Forecaster forecaster(options);
  EXPECT_TRUE(fit(forecaster, {two_sines(900, 1), two_sines(700, 2)}));
  const Errors errors = mean_absolute_errors(forecaster, two_sines(500, 3));
  // Noise alone has a mean absolute error of 0.16.
  EXPECT_TRUE(errors.model < 0.25) << errors.model;
  EXPECT_TRUE(errors.model < 0.2 * errors.naive) << errors.model << " against " << errors.naive;
}

TEST(Forecaster, AScaleAndAnOffsetOfTheSeriesChangeNothingElse) {
  Forecaster plain(small_options()), scaled(small_options());
  const Series series = two_sines(400, 1);
  Series moved = series;
  for (double& value : moved) value = 1024 * value - 65536;
  fit(plain, {series});
  fit(scaled, {moved});
  const auto expected = predict(plain, all_windows(series, 48, 12));
  const auto found = predict(scaled, all_windows(moved, 48, 12));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(std::abs((found[i] + 65536) / 1024 - expected[i]) <= 1e-2) << i;
  }
}

TEST(Forecaster, SameSeedSameBitsAnotherSeedOthers) {
  const std::vector<Series> series = {two_sines(300, 1)};
  const auto windows = all_windows(series[0], 48, 12);
  ForecasterOptions options = small_options();
  Forecaster first(options), second(options);
  options.seed = 1;
  Forecaster third(options);
  fit(first, series);
  fit(second, series);
  fit(third, series);
  const auto expected = predict(first, windows);
  EXPECT_TRUE(same_bits(expected, predict(second, windows)));
  EXPECT_FALSE(same_bits(expected, predict(third, windows)));
  fit(second, {two_sines(300, 5)});
  EXPECT_FALSE(same_bits(expected, predict(second, windows)));
  fit(second, series);  // each fit starts anew
  EXPECT_TRUE(same_bits(expected, predict(second, windows)));
}

TEST(Forecaster, SeedOrdersTheWindowsToo) {
  // Before the first step the forecast is seasonal-naive: that loss depends on the batch alone.
  const auto first_loss = [](std::uint64_t seed) {
    ForecasterOptions options = small_options();
    options.seed = seed;
    Forecaster forecaster(options);
    double loss = 0;
    fit(forecaster, {two_sines(300, 1)}, [&](const FitProgress& progress) {
      loss = progress.loss;
      return false;
    });
    return loss;
  };
  EXPECT_EQ(first_loss(0), first_loss(0));
  EXPECT_NE(first_loss(0), first_loss(1));
}

TEST(Forecaster, ManyWindowsGiveTheBitsOfEachAlone) {
  Forecaster forecaster(small_options());
  fit(forecaster, {two_sines(300, 1)});
  const auto windows = all_windows(two_sines(260, 2), 48, 12);  // more than predict takes at once
  const auto together = predict(forecaster, windows);
  ASSERT_EQ(together.size(), 201u * 12);
  for (std::size_t n = 0; n < 201; ++n) {
    const auto alone = predict(forecaster, {windows.begin() + std::ptrdiff_t(n * 48),
                                            windows.begin() + std::ptrdiff_t((n + 1) * 48)});
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + std::ptrdiff_t(n * 12)));
  }
}

TEST(Forecaster, ProgressHearsOfEveryStep) {
  Forecaster forecaster(small_options());
  std::vector<FitProgress> reports;
  EXPECT_TRUE(fit(forecaster, {two_sines(300, 1)}, [&](const FitProgress& progress) {
    reports.push_back(progress);
    return true;
  }));
  ASSERT_EQ(reports.size(), 3u * 8);  // 241 windows in steps of 32, 3 epochs
  for (std::size_t i = 0; i < reports.size(); ++i) {
    EXPECT_EQ(reports[i].step, std::int64_t(i) + 1);
    EXPECT_EQ(reports[i].steps, 24);
    EXPECT_TRUE(reports[i].loss > 0 && reports[i].loss < 10) << reports[i].loss;
  }
  EXPECT_LT(reports.back().loss, reports.front().loss);
}

TEST(Forecaster, StopsWhenProgressSaysSoAndKeepsWhatItHas) {
  const std::vector<Series> series = {two_sines(300, 1)};
  const auto windows = all_windows(series[0], 48, 12);
  Forecaster stopped(small_options()), threw(small_options()), untrained(small_options());
  EXPECT_FALSE(fit(stopped, series, [](const FitProgress& progress) { return progress.step < 5; }));
  const auto expected = predict(stopped, windows);
  EXPECT_FALSE(same_bits(expected, predict(untrained, windows)));
  EXPECT_THROW(fit(threw, series,
                   [](const FitProgress& progress) -> bool {
                     if (progress.step == 5) throw std::runtime_error("stop");
                     return true;
                   }),
               std::runtime_error);
  EXPECT_TRUE(same_bits(expected, predict(threw, windows)));
}

TEST(Forecaster, AConstantStaysTheConstant) {
  Forecaster forecaster(small_options());
  EXPECT_TRUE(fit(forecaster, {Series(100, 0.1)}));
  for (const double value : {0.1, 0.0, -7e12 / 3, 1e300}) {
    for (const double forecast : predict(forecaster, Series(48, value))) EXPECT_EQ(forecast, value);
  }
  // And of a model that has learned something else.
  fit(forecaster, {two_sines(300, 1)});
  for (const double forecast : predict(forecaster, Series(48, 0.1))) EXPECT_EQ(forecast, 0.1);
}

TEST(Forecaster, AWindowThatHardlyMovesSpoilsNothing) {
  // A step after a stand-still with one rounding in it: 1e15 deviations.
  Series series(200, 1.0);
  series[20] = std::nextafter(1.0, 2.0);
  std::fill(series.begin() + 100, series.end(), 2.0);
  Forecaster forecaster(small_options());
  EXPECT_TRUE(fit(forecaster, {series}, [](const FitProgress& progress) {
    EXPECT_TRUE(progress.loss >= 0 && progress.loss < 100) << progress.loss;
    return true;
  }));
  for (const double forecast : predict(forecaster, all_windows(series, 48, 12))) {
    EXPECT_TRUE(std::isfinite(forecast));
  }
}

TEST(Forecaster, ExtremeValuesAreLearnedLikeOthers) {
  for (const double scale : {1e290, 1e-290}) {
    Series series = two_sines(300, 1);
    for (double& value : series) value *= scale;
    Forecaster forecaster(small_options());
    EXPECT_TRUE(fit(forecaster, {series}));
    const Errors errors = mean_absolute_errors(forecaster, series);
    EXPECT_TRUE(errors.model < errors.naive) << scale;
  }
}

TEST(Forecaster, NanInAWindowStaysInItsForecast) {
  Forecaster forecaster(small_options());
  fit(forecaster, {two_sines(300, 1)});
  auto windows = all_windows(two_sines(100, 2), 48, 12);
  const auto clean = predict(forecaster, windows);
  windows[3 * 48 + 7] = kNan;
  windows[5 * 48] = kInfinity;
  const auto found = predict(forecaster, windows);
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (i / 12 == 3 || i / 12 == 5) {
      EXPECT_TRUE(std::isnan(found[i])) << i;
    } else {
      EXPECT_EQ(found[i], clean[i]) << i;
    }
  }
}

TEST(Forecaster, NoWindowsGiveNoForecasts) {
  const Forecaster forecaster(small_options());
  forecaster.predict({}, {});
  forecaster.attention_scores({}, {});
}

TEST(Forecaster, TrainingMovesTheMemoryAndItsSlotsDiffer) {
  // Through what the memory does: scores over slots that are not all alike, and that change.
  ForecasterOptions options = small_options();
  Forecaster forecaster(options);
  EXPECT_EQ(forecaster.tokens(), 4);
  const auto windows = all_windows(two_sines(200, 2), 48, 12);
  std::vector<double> before(windows.size() / 48 * 2 * 4 * 6, 99), after(before.size(), 99);
  forecaster.attention_scores(windows, before);
  fit(forecaster, {two_sines(600, 1)});
  forecaster.attention_scores(windows, after);
  for (const auto& scores : {before, after}) {
    for (std::size_t row = 0; row < scores.size(); row += 6) {
      double sum = 0;
      std::set<double> slots;
      for (std::size_t s = row; s < row + 6; ++s) {
        sum += scores[s];
        slots.insert(scores[s]);
      }
      EXPECT_TRUE(std::abs(sum - 1) <= 1e-6);
      EXPECT_EQ(slots.size(), 6u);
    }
  }
  double moved = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    moved = std::max(moved, std::abs(after[i] - before[i]));
  }
  EXPECT_TRUE(moved > 0.01) << moved;
}

TEST(Forecaster, SeriesTooShortSayWhatIsNeeded) {
  Forecaster forecaster(small_options());
  expect_refused([&] { fit(forecaster, {Series(59, 1.0), Series(3, 1.0)}); },
                 "Forecaster::fit: series: found 2 series of at most 59 values, expected at least "
                 "60 values (lookback 48 + horizon 12) in one of them");
  expect_refused([&] { fit(forecaster, {}); }, "found 0 series of at most 0 values");
  EXPECT_TRUE(fit(forecaster, {Series(3, 1.0), Series(60, 1.0)}));  // one of them will do
}

TEST(Forecaster, ValuesThatAreNotFiniteAreNamed) {
  Forecaster forecaster(small_options());
  const auto windows = all_windows(two_sines(100, 2), 48, 12);
  const auto before = predict(forecaster, windows);
  for (const auto& [wild, text] : std::vector<std::pair<double, std::string>>{
           {kNan, "nan"}, {-kInfinity, "-inf"}, {1e301, "1e+301"}}) {
    Series bad = two_sines(100, 1);
    bad[37] = wild;
    expect_refused([&] { fit(forecaster, {two_sines(100, 1), bad}); },
                   "Forecaster::fit: series[1][37]: found " + text + ", expected a finite number");
  }
  EXPECT_TRUE(same_bits(before, predict(forecaster, windows)));
}

TEST(Forecaster, BuffersAreChecked) {
  const Forecaster forecaster(small_options());
  std::vector<double> windows(96), forecasts(25, 7), scores(97, 7);
  expect_refused([&] { forecaster.predict(windows, forecasts); },
                 "Forecaster::predict: forecasts: found 25 values, expected 2 windows * 12 = 24");
  expect_refused([&] { forecaster.predict(std::span(windows).first(95), forecasts); },
                 "Forecaster::predict: windows: found 95 values, expected a multiple of lookback = "
                 "48");
  expect_refused([&] { forecaster.attention_scores(windows, scores); },
                 "Forecaster::attention_scores: scores: found 97 values, expected 2 windows * 48");
  EXPECT_EQ(forecasts, std::vector<double>(25, 7));
  EXPECT_EQ(scores, std::vector<double>(97, 7));
}

TEST(Forecaster, MovesTakeTheModelAlong) {
  const std::vector<Series> series = {two_sines(300, 1)};
  const auto windows = all_windows(series[0], 48, 12);
  Forecaster first(small_options());
  fit(first, series);
  const auto expected = predict(first, windows);
  Forecaster second(std::move(first));
  EXPECT_TRUE(same_bits(expected, predict(second, windows)));
  ForecasterOptions other = small_options();
  other.horizon = 3;
  Forecaster third(other);
  third = std::move(second);
  EXPECT_TRUE(same_bits(expected, predict(third, windows)));
}

TEST(ForecasterOptions, AreCheckedByName) {
  const auto refuses = [](const std::string& text, const auto& change) {
    ForecasterOptions options = small_options();
    change(options);
    expect_refused([&] { options.validate(); }, "ForecasterOptions: " + text);
    EXPECT_THROW(Forecaster{options}, std::invalid_argument) << text;
  };
  using Options = ForecasterOptions;
  struct Size {
    std::string name;
    std::int64_t Options::* member;
  };
  constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();
  for (const Size& size :
       {Size{"horizon", &Options::horizon}, Size{"season", &Options::season},
        Size{"patch_size", &Options::patch_size}, Size{"lookback", &Options::lookback},
        Size{"units", &Options::units}, Size{"memory_size", &Options::memory_size},
        Size{"num_heads", &Options::num_heads}, Size{"epochs", &Options::epochs},
        Size{"batch_size", &Options::batch_size}}) {
    for (const std::int64_t value : {std::int64_t{0}, std::int64_t{-1}, kHuge, -kHuge - 1}) {
      refuses(size.name + ": found " + std::to_string(value),
              [&](Options& options) { options.*size.member = value; });
    }
  }
  refuses("lookback: found 11, expected a number from 12",
          [](Options& options) { options.lookback = 11; });
  refuses("lookback: found 48, expected a number from 49",
          [](Options& options) { options.season = 49; });
  for (const double value : {kNan, kInfinity, -1.0}) {
    refuses("learning_rate: found ", [&](Options& options) { options.learning_rate = value; });
    refuses("weight_decay: found ", [&](Options& options) { options.weight_decay = value; });
    refuses("clip_norm: found ", [&](Options& options) { options.clip_norm = value; });
  }
  refuses("learning_rate: found 0", [](Options& options) { options.learning_rate = 0; });
  refuses("clip_norm: found 0", [](Options& options) { options.clip_norm = 0; });
}

TEST(ForecasterOptions, TooManyParametersAreRefusedBeforeAnyMemoryIsTaken) {
  constexpr std::int64_t kLarge = std::numeric_limits<std::int32_t>::max();
  const auto refuses = [](const std::string& text, const auto& change) {
    ForecasterOptions options = small_options();
    change(options);
    expect_refused([&] { Forecaster{options}; }, text);
  };
  const std::string parameters = "ForecasterOptions: the sizes together: found ";
  refuses(parameters, [](ForecasterOptions& options) { options.units = kLarge; });
  refuses(parameters, [](ForecasterOptions& options) { options.num_heads = kLarge; });
  refuses(parameters, [](ForecasterOptions& options) { options.memory_size = kLarge; });
  refuses(parameters, [](ForecasterOptions& options) { options.lookback = kLarge; });
  refuses(parameters, [](ForecasterOptions& options) { options.horizon = kLarge; });
  refuses("ForecasterOptions: num_heads * memory_size", [](ForecasterOptions& options) {
    options.units = 1;
    options.num_heads = options.memory_size = 1 << 26;
  });
}

}  // namespace
}  // namespace memattn
