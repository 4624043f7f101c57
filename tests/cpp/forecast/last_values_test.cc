// Windows of last values in extreme cases: short histories and vanishing scales.
#include "forecast/last_values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "testing/arrays.h"

namespace memattn {
namespace {

struct Window {
  std::vector<double> features, baseline;
  double scale = -1, unit = -1;
};

Window window_of(const std::vector<double>& values, std::int64_t time, const WindowShape& shape) {
  const PanelSeries series(
      {values}, {.season = shape.season, .long_season = shape.long_season, .logs = false});
  Window window;
  window.features.resize(static_cast<std::size_t>(shape.features()));
  window.baseline.resize(static_cast<std::size_t>(shape.horizon));
  LastValuesScratch scratch;
  make_last_values<double>(
      series, shape, time, scratch,
      {window.features.data(), window.baseline.data(), window.scale, window.unit});
  return window;
}

TEST(LastValues, ShortHistoryRepeatsItsFirstValue) {
  const WindowShape shape{.lookback = 5, .horizon = 2, .season = 1};
  const Window window = window_of({1, 3, 2}, 2, shape);
  const double scale = 2 + 0.1 * 2;  // mean |difference| and a tenth of the unit
  EXPECT_EQ(window.scale, scale);
  EXPECT_EQ(window.unit, 2);
  EXPECT_EQ(window.baseline, (std::vector<double>{3, 3}));
  const double before = -2 / scale;
  const std::vector<double> expected = {
      before, before, before, before, std::log(scale / 2), std::log(2.0 / 50)};
  EXPECT_LE(testing::relative_error(window.features, expected), 1e-14);
}

// The inverse of such a scale is infinite.
TEST(LastValues, ASubnormalScaleCountsAsZero) {
  const WindowShape shape{.lookback = 3, .horizon = 1, .season = 1};
  const Window window = window_of({0, 3e-310, 0, 0}, 4, shape);
  EXPECT_GT(window.scale, 0);
  EXPECT_EQ(window.features[0], 0);
  EXPECT_EQ(window.features[1], 0);
  for (const double feature : window.features) EXPECT_TRUE(std::isfinite(feature));
}

// A series with seasons of 2 and 4 that repeats except for one value.
TEST(LastValues, WithALongSeasonAreInUnitsOfSeasonalChanges) {
  const WindowShape shape{.lookback = 6, .horizon = 4, .season = 2, .long_season = 4};
  std::vector<double> values;
  for (int week = 0; week < 5; ++week) values.insert(values.end(), {1, 5, 1, 9});
  values.back() = 13;
  const PanelSeries series({values}, {.season = 2, .long_season = 4, .logs = false});
  std::vector<double> index(4);
  const TwoSeasons::Found found = series.two_seasons.index(20, index);
  const Window window = window_of(values, 20, shape);
  EXPECT_EQ(window.unit, series.spread(20));
  double change = 0, size = 0;
  for (std::size_t i = 16; i < 20; ++i) {
    change += std::abs((values[i] - index[i % 4]) - (values[i - 2] - index[(i - 2) % 4])) / 4;
    size += std::abs(index[i % 4]) / 4;
  }
  EXPECT_NEAR(window.scale, change + 0.1 * window.unit, 1e-12);
  for (std::size_t k = 0; k < 4; ++k) {
    EXPECT_NEAR(window.baseline[k], values[19] - index[3] + index[k], 1e-12);
  }
  const std::vector<double> expected = {
      index[0] / size,  index[1] / size, std::log1p(size / window.scale),      found.forgets,
      found.long_share, found.level,     std::log(window.scale / window.unit), std::log(20.0 / 50)};
  const std::vector<double> features(window.features.begin() + 5, window.features.end());
  EXPECT_LE(testing::relative_error(features, expected), 1e-12);
  EXPECT_GT(found.long_share + found.level, 0);
  // A series that repeats exactly has no scale and no unit, and its forecast repeats it.
  values.back() = 9;
  const Window still = window_of(values, 20, shape);
  EXPECT_NEAR(still.baseline[1], 5, 1e-12);
  EXPECT_NEAR(still.baseline[3], 9, 1e-12);
  for (const double feature : still.features) EXPECT_TRUE(std::isfinite(feature));
}

}  // namespace
}  // namespace memattn
