// Features and targets of windows, against values by hand.
#include "forecast/origin_windows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "testing/arrays.h"

namespace memattn {
namespace {

TEST(OriginWindows, FeaturesInLogsEqualThoseByHand) {
  std::vector<double> values;
  for (const double log : {0.0, 1.0, 3.0, 2.5, 7.0}) values.push_back(std::exp(log));
  const std::vector<std::int64_t> offsets = {0, 5};
  const Panel panel({values, offsets}, {1});
  const WindowShape shape{.lookback = 5, .horizon = 2, .season = 1};
  ASSERT_EQ(shape.features(), 6);
  OriginWindows<double> windows;
  const std::vector<Origin> origins = {{0, 4}, {0, 2}};
  make_windows(panel, shape, origins, windows);
  // The mean step of the window plus a tenth of that of the series, which are equal here.
  const double scale = 1.1 * (1 + 2 + 0.5) / 3, second = 1.1;
  const std::vector<double> expected = {
      -2.5 / scale,           -2.5 / scale,      -1.5 / scale, 0.5 / scale, std::log(scale) + 2.5,
      std::log(4.0 / 50),     -1 / second,       -1 / second,  -1 / second, -1 / second,
      std::log(second) + 2.5, std::log(2.0 / 50)};
  EXPECT_LE(testing::relative_error(windows.features, expected), 1e-14);
  EXPECT_LE(testing::relative_error(windows.baseline, std::vector<double>{2.5, 2.5, 1, 1}), 1e-14);
  EXPECT_LE(testing::relative_error(windows.scale, std::vector<double>{scale, second}), 1e-14);

  OriginTargets<double> targets;
  make_targets(panel, 2, origins, windows, targets);
  EXPECT_EQ(targets.counts, (std::vector<std::uint8_t>{1, 0, 1, 1}));
  EXPECT_LE(testing::relative_error(targets.targets, std::vector<double>{4.5, 0, 2, 1.5}), 1e-14);
  EXPECT_EQ(targets.slope, windows.scale);
}

TEST(OriginWindows, AreClippedAndIncludeTheSeasonAhead) {
  std::vector<double> values;
  for (int t = 0; t < 41; ++t) values.push_back(std::exp(t % 4 == 0 ? 0.9 : -0.3));
  const std::vector<std::int64_t> offsets = {0, 41};
  const Panel panel({values, offsets}, {4});
  const WindowShape shape{.lookback = 6, .horizon = 5, .season = 4};
  OriginWindows<double> windows;
  const std::vector<Origin> origins = {{0, 41}};
  make_windows(panel, shape, origins, windows);
  // The season explains everything. Only the smallest scale remains, a tenth of the mean step of
  // 0.6, and the season is far above it. Phases 1, 2, 3, 0, and the flag for a season.
  const std::vector<double> season = {-5, -5, -5, 10, 1};
  EXPECT_LE(
      testing::relative_error(
          std::vector<double>(windows.features.begin() + 5, windows.features.begin() + 10), season),
      1e-12);
  const double level = 0;
  const std::vector<double> ahead = {level - 0.3, level - 0.3, level - 0.3, level + 0.9,
                                     level - 0.3};
  EXPECT_LE(testing::relative_error(windows.baseline, ahead), 1e-12);
}

// Windows and targets of two rows from row 7 on, for two series of the same length, and the
// features of each.
struct TwoOrigins {
  OriginWindows<double> windows;
  OriginTargets<double> targets;
  std::vector<double> first, second;
};

TwoOrigins at_row_7_of_two(const std::vector<double>& values) {
  const auto size = static_cast<std::int64_t>(values.size());
  const std::vector<std::int64_t> offsets = {0, size / 2, size};
  const Panel panel({values, offsets}, {1});
  const WindowShape shape{.lookback = 4, .horizon = 2, .season = 1};
  const std::vector<Origin> origins = {{0, 7}, {1, 7}};
  TwoOrigins two;
  make_windows(panel, shape, origins, two.windows);
  make_targets(panel, 2, origins, two.windows, two.targets);
  const auto& features = two.windows.features;
  two.first.assign(features.begin(), features.begin() + shape.features());
  two.second.assign(features.begin() + shape.features(), features.end());
  return two;
}

// Another domain and other units: 3 x + 7 looks like x, and errors are in units of its own steps.
TEST(OriginWindows, OfASeriesWithoutLogsDoNotDependOnItsUnit) {
  const std::vector<double> x = {0, 2, -1, 4, 3, 3, -5, 1};
  std::vector<double> values = x;
  for (const double value : x) values.push_back(3 * value + 7);
  values[8] = 7;  // 3 * 0 + 7: positive like the next values, until 3 * -5 + 7
  const auto [windows, targets, first, second] = at_row_7_of_two(values);
  EXPECT_LE(testing::relative_error(second, first), 1e-13);
  EXPECT_NEAR(windows.scale[1], 3 * windows.scale[0], 1e-12);
  EXPECT_NEAR(targets.slope[1], targets.slope[0], 1e-12);
  EXPECT_NEAR(targets.targets[2], targets.targets[0], 1e-12);
}

// A series with steps of 1e-8 in logs, such as one around 1e9 that moves by ten, looks like one
// with steps of 1e-4 and has the same weight: only the level differs.
TEST(OriginWindows, OfASmoothSeriesInLogsDoNotDependOnItsLevel) {
  const std::vector<double> x = {0, 2, -1, 4, 3, 3, -5, 1, 2};
  std::vector<double> values;
  for (const double step : {1e-8, 1e-4}) {
    for (const double value : x) values.push_back(std::exp(step * value));
  }
  const auto [windows, targets, first, second] = at_row_7_of_two(values);
  EXPECT_LE(testing::relative_error(second, first), 1e-6);  // 1e-8 of a double near 1
  EXPECT_NEAR(targets.slope[1], targets.slope[0], 1e-7);
  EXPECT_NEAR(targets.targets[2], targets.targets[0], 1e-6);
  EXPECT_GT(targets.targets[0], 0.05);
}

// Subnormal steps, and a jump far above float's range: windows and targets stay finite.
TEST(OriginWindows, AreFiniteForValuesOfAnySize) {
  for (const double step : {4e-310, 1e-300, 1e-20, 1.0, 1e140}) {
    std::vector<double> values;
    for (int i = 0; i < 12; ++i) values.push_back(i % 2 == 0 ? -step : step);
    values.back() = 1e150;
    const std::vector<std::int64_t> offsets = {0, 12};
    for (const PanelWindows kind : {PanelWindows::kLastValues, PanelWindows::kPastSeasons}) {
      const bool past = kind == PanelWindows::kPastSeasons;
      const Panel panel({values, offsets}, {.season = 2, .past_seasons = past});
      const WindowShape shape{.lookback = 4, .horizon = 3, .season = 2, .windows = kind};
      OriginWindows<float> windows;
      OriginTargets<float> targets;
      const std::vector<Origin> origins = {{0, 3}, {0, 9}, {0, 12}};
      make_windows(panel, shape, origins, windows);
      make_targets(panel, 3, origins, windows, targets);
      for (const auto& all :
           {windows.features, windows.skip, windows.seasons, targets.targets, targets.slope}) {
        for (const float value : all) EXPECT_TRUE(std::isfinite(value)) << step;
      }
      // The squares of the smallest steps are 0, and so is the standard deviation.
      if (past && step < 1e-200) continue;
      EXPECT_EQ(targets.counts[5], 1);
      if (step > 1e100) continue;
      EXPECT_EQ(targets.targets[5], static_cast<float>(kLargestTarget)) << step;
    }
  }
}

TEST(OriginWindows, OfAConstantSeriesAreZeroAndDoNotCount) {
  const std::vector<double> values(10, -3.0);
  const std::vector<std::int64_t> offsets = {0, 10};
  const Panel panel({values, offsets}, {1});
  const WindowShape shape{.lookback = 4, .horizon = 2, .season = 1};
  OriginWindows<double> windows;
  OriginTargets<double> targets;
  const std::vector<Origin> origins = {{0, 8}};
  make_windows(panel, shape, origins, windows);
  make_targets(panel, 2, origins, windows, targets);
  EXPECT_EQ(windows.scale[0], 0);
  EXPECT_EQ(windows.baseline, (std::vector<double>{-3, -3}));
  EXPECT_EQ(targets.counts, (std::vector<std::uint8_t>{0, 0}));
  for (const double feature : windows.features) EXPECT_TRUE(std::isfinite(feature));
}

TEST(OriginWindows, SeeNothingAfterTheOrigin) {
  auto values = testing::normal_array<double>(60, 1);
  for (double& value : values) value = std::exp(0.1 * value);
  const std::vector<std::int64_t> offsets = {0, 60};
  const WindowShape shape{.lookback = 8, .horizon = 3, .season = 4};
  const std::vector<Origin> origins = {{0, 5}, {0, 30}, {0, 50}};
  OriginWindows<double> before, after;
  make_windows(Panel({values, offsets}, {4}), shape, origins, before);
  for (std::size_t i = 50; i < values.size(); ++i) values[i] = -1e6;
  make_windows(Panel({values, offsets}, {4}), shape, origins, after);
  EXPECT_EQ(before.features, after.features);
  EXPECT_EQ(before.baseline, after.baseline);
  EXPECT_EQ(before.scale, after.scale);
}

}  // namespace
}  // namespace memattn
