// Windows: numbering, normalisation that survives any size, seasonal-naive.
#include "forecast/windows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace memattn {
namespace {

TEST(NormalizeWindow, GivesMean0AndDeviation1) {
  // mean 5, deviation 2
  const std::vector<double> window = {2, 4, 4, 4, 5, 5, 7, 9};
  std::vector<float> normalized(8);
  EXPECT_TRUE(std::abs(normalize_window(window, normalized) - 2) <= 1e-15);
  const std::vector<float> expected = {-1.5f, -0.5f, -0.5f, -0.5f, 0, 0, 1, 2};
  for (std::size_t i = 0; i < 8; ++i) {
    EXPECT_TRUE(std::abs(normalized[i] - expected[i]) <= 1e-6f) << i << ": " << normalized[i];
  }
}

TEST(NormalizeWindow, IsExactlyZeroWhereNothingMoves) {
  for (const double value : {0.0, 0.1, -1e9 / 3, 1e300, 5e-324}) {
    std::vector<float> normalized(7, 99);
    EXPECT_EQ(normalize_window(std::vector<double>(7, value), normalized), 0) << value;
    EXPECT_EQ(normalized, std::vector<float>(7, 0)) << value;
  }
}

TEST(NormalizeWindow, KnowsNoScaleThatIsTooLargeOrTooSmall) {
  std::vector<float> expected(4), normalized(4);
  normalize_window(std::vector<double>{1, -1, 0.5, -0.25}, expected);
  for (const double scale : {1e300, 1e-300, 1e-318}) {
    const std::vector<double> window = {scale, -scale, 0.5 * scale, -0.25 * scale};
    const double deviation = normalize_window(window, normalized);
    EXPECT_TRUE(deviation > 0.5 * scale && deviation < scale) << scale;
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_TRUE(std::abs(normalized[i] - expected[i]) <= 1e-4f) << scale << " " << i;
    }
  }
}

TEST(NormalizeWindow, NanGivesNanWhereverItStands) {
  for (const double wild :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    for (std::size_t place = 0; place < 3; ++place) {
      std::vector<double> window = {1, 1, 1};
      window[place] = wild;
      std::vector<float> normalized(3);
      EXPECT_TRUE(std::isnan(normalize_window(window, normalized))) << wild << " " << place;
      for (const float value : normalized) EXPECT_TRUE(std::isnan(value)) << wild << " " << place;
    }
  }
}

TEST(SeasonalNaive, RepeatsTheLastSeason) {
  const std::vector<double> window = {1, 2, 3, 4, 5};
  for (const auto& [season, expected] : std::vector<std::pair<int, std::vector<double>>>{
           {1, {5, 5, 5, 5, 5, 5}}, {2, {4, 5, 4, 5, 4, 5}}, {5, {1, 2, 3, 4, 5, 1}}}) {
    for (std::size_t step = 0; step < expected.size(); ++step) {
      EXPECT_EQ(seasonal_naive(window, season, static_cast<std::int64_t>(step)), expected[step])
          << season << " " << step;
    }
  }
}

TEST(WindowSet, NumbersTheWindowsOfAllSeries) {
  const std::vector<double> a = {1, 2, 3, 4}, shorter = {5, 6}, b = {7, 8, 9}, none;
  const std::vector<std::span<const double>> series = {none, a, shorter, b, shorter};
  const WindowSet windows(series, 3);
  ASSERT_EQ(windows.size(), 3);
  const std::vector<std::vector<double>> expected = {{1, 2, 3}, {2, 3, 4}, {7, 8, 9}};
  for (std::size_t i = 0; i < 3; ++i) {
    const auto window = windows[static_cast<std::int64_t>(i)];
    EXPECT_EQ(std::vector<double>(window.begin(), window.end()), expected[i]) << i;
  }
}

TEST(WindowSet, MayBeEmpty) {
  const std::vector<double> a = {1, 2, 3, 4};
  EXPECT_EQ(WindowSet({}, 3).size(), 0);
  const std::vector<std::span<const double>> series = {a};
  EXPECT_EQ(WindowSet(series, 5).size(), 0);
  EXPECT_EQ(WindowSet(series, std::int64_t{1} << 40).size(), 0);
}

}  // namespace
}  // namespace memattn
