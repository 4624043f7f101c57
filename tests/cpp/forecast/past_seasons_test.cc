// Windows of past seasons, against values by hand.
#include "forecast/past_seasons.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "forecast/origin_windows.h"
#include "testing/arrays.h"

namespace memattn {
namespace {

// Four seasons of two values, and two more values.
const std::vector<double> kValues = {0, 4, 1, 5, -2, 6, 3, 7, 9, 9};
const std::vector<std::int64_t> kOffsets = {0, 10};
constexpr PanelRules kRules = {.season = 2, .logs = false, .past_seasons = true};
constexpr WindowShape kShape = {
    .lookback = 8, .horizon = 3, .season = 2, .windows = PanelWindows::kPastSeasons};

OriginWindows<double> windows_at(const Panel& panel, std::int64_t time,
                                 const WindowShape& shape = kShape) {
  OriginWindows<double> windows;
  const std::vector<Origin> origins = {{0, time}};
  make_windows(panel, shape, origins, windows);
  return windows;
}

TEST(PastSeasons, WindowsEqualThoseByHand) {
  ASSERT_EQ(kShape.features(), 4 + 4 + 2);
  ASSERT_EQ(kShape.skip_features(), 4 + 6);
  const OriginWindows<double> windows = windows_at(Panel({kValues, kOffsets}, kRules), 8);
  const double scale = std::sqrt(68.0 / 8);
  EXPECT_NEAR(windows.scale[0], scale, 1e-14);
  EXPECT_EQ(windows.unit, windows.scale);
  EXPECT_EQ(windows.baseline, (std::vector<double>{0.5, 5.5, 0.5}));
  // The level is the mean of the last season, 5.
  std::vector<double> seasons, features = {-3, -2, -3, 0, -7, 1, -2, 2, -4.5, 0.5};
  std::vector<double> skip = {-3, -2, -3, 0, -4, 0, -7, 1, -2, 2};
  for (int i = 0; i < 8; ++i) seasons.push_back(kValues[static_cast<std::size_t>(i)] - 5);
  for (auto* all : {&seasons, &features, &skip}) {
    for (double& value : *all) value /= scale;
  }
  EXPECT_LE(testing::relative_error(windows.seasons, seasons), 1e-15);
  EXPECT_LE(testing::relative_error(windows.features, features), 1e-15);
  EXPECT_LE(testing::relative_error(windows.skip, skip), 1e-15);
  const auto inputs = inputs_of(windows);
  EXPECT_EQ(inputs.skip.data(), windows.skip.data());
  EXPECT_EQ(inputs.seasons.data(), windows.seasons.data());
}

TEST(PastSeasons, ShortHistoriesRepeatTheirFirstSeason) {
  const Panel panel({kValues, kOffsets}, kRules);
  const double scale = std::sqrt(33.2 / 5);
  std::vector<double> expected = {4, 0, 4, 0, 4, 1, 5, -2};  // phases follow the origin
  for (double& value : expected) value = (value - 1.5) / scale;
  EXPECT_LE(testing::relative_error(windows_at(panel, 5).seasons, expected), 1e-15);
  // Only one value is known, so there is no step.
  const OriginWindows<double> windows = windows_at(panel, 1);
  EXPECT_EQ(windows.scale, std::vector<double>{0});
  EXPECT_EQ(windows.baseline, (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(windows.seasons, std::vector<double>(8, 0));
}

TEST(PastSeasons, WindowsOfOneSeasonHaveNoOtherFeatures) {
  WindowShape shape = kShape;
  shape.lookback = 2;
  ASSERT_EQ(shape.features(), 1 + 2 + 2);
  ASSERT_EQ(shape.skip_features(), 1 + 2);
  const OriginWindows<double> windows = windows_at(Panel({kValues, kOffsets}, kRules), 8, shape);
  const double scale = windows.scale[0];
  EXPECT_EQ(windows.features,
            (std::vector<double>{0, -2 / scale, 2 / scale, -2 / scale, 2 / scale}));
  EXPECT_EQ(windows.skip, (std::vector<double>{0, -2 / scale, 2 / scale}));
}

TEST(PastSeasons, InLogsErrorsAreRelative) {
  std::vector<double> values;
  for (const double value : kValues) values.push_back(std::exp(value / 2));
  const PanelRules rules{.season = 2, .past_seasons = true};
  const OriginWindows<double> windows = windows_at(Panel({values, kOffsets}, rules), 8);
  EXPECT_EQ(windows.unit, std::vector<double>{1});
  EXPECT_NEAR(windows.scale[0], std::sqrt(68.0 / 8) / 2, 1e-14);
  const std::vector<double> baseline = {0.25, 2.75, 0.25};
  EXPECT_LE(testing::relative_error(windows.baseline, baseline), 1e-14);
}

TEST(PastSeasons, AreClippedAndAConstantSeriesIsZero) {
  std::vector<double> values(4000, 0.1);
  const std::vector<std::int64_t> offsets = {0, 4000};
  values[3998] = 1000;
  const Panel panel({values, offsets}, kRules);
  const OriginWindows<double> still = windows_at(panel, 3998), jump = windows_at(panel, 4000);
  EXPECT_EQ(still.seasons, std::vector<double>(8, 0));
  EXPECT_EQ(still.scale, std::vector<double>{0});
  EXPECT_EQ(jump.seasons, (std::vector<double>{-10, -10, -10, -10, -10, -10, 10, -10}));
}

TEST(PastSeasons, SeeNothingAfterTheOrigin) {
  auto values = testing::normal_array<double>(60, 1);
  const std::vector<std::int64_t> offsets = {0, 60};
  const OriginWindows<double> before = windows_at(Panel({values, offsets}, kRules), 40);
  for (std::size_t i = 40; i < values.size(); ++i) values[i] = -1e6;
  const OriginWindows<double> after = windows_at(Panel({values, offsets}, kRules), 40);
  EXPECT_EQ(before.features, after.features);
  EXPECT_EQ(before.skip, after.skip);
  EXPECT_EQ(before.seasons, after.seasons);
  EXPECT_EQ(before.baseline, after.baseline);
  EXPECT_EQ(before.scale, after.scale);
}

}  // namespace
}  // namespace memattn
