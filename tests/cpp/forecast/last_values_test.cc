// Windows of last values at the edges: short histories and scales that vanish.
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
  const PanelSeries series({values}, {.season = shape.season, .logs = false});
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
TEST(LastValues, ScaleBelowTheNormalNumbersIsNone) {
  const WindowShape shape{.lookback = 3, .horizon = 1, .season = 1};
  const Window window = window_of({0, 3e-310, 0, 0}, 4, shape);
  EXPECT_GT(window.scale, 0);
  EXPECT_EQ(window.features[0], 0);
  EXPECT_EQ(window.features[1], 0);
  for (const double feature : window.features) EXPECT_TRUE(std::isfinite(feature));
}

}  // namespace
}  // namespace memattn
