// The index of two seasons against one in plain NumPy, and its properties.
#include "forecast/two_seasons.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "forecast/two_seasons_golden.h"
#include "testing/arrays.h"

namespace memattn {
namespace {

constexpr std::int64_t kSeason = 4, kLong = 12;

struct Index {
  std::vector<double> index;
  TwoSeasons::Found found;
};

Index index_at(const TwoSeasons& seasons, std::int64_t origin) {
  Index result{std::vector<double>(kLong, 99.0), {}};
  result.found = seasons.index(origin, result.index);
  return result;
}

TEST(TwoSeasons, EqualThePlainDecomposition) {
  std::set<double> shares, forgets;
  for (const auto& golden : testing::kTwoSeasonsCases) {
    const TwoSeasons seasons(golden.values, kSeason, kLong);
    for (std::size_t i = 0; i < golden.origins.size(); ++i) {
      const auto [index, found] = index_at(seasons, golden.origins[i]);
      EXPECT_LE(testing::relative_error(index, golden.index[i]), 1e-10) << golden.origins[i];
      EXPECT_EQ(found.forgets, golden.found[i][0]) << golden.origins[i];
      EXPECT_EQ(found.long_share, golden.found[i][1]) << golden.origins[i];
      EXPECT_NEAR(found.level, golden.found[i][2], 1e-10) << golden.origins[i];
      shares.insert(found.long_share);
      forgets.insert(found.forgets);
    }
  }
  EXPECT_GE(shares.size(), 3u);  // the cases cover them all
  EXPECT_GE(forgets.size(), 4u);
}

TEST(TwoSeasons, IgnoreValuesAfterTheOrigin) {
  auto values = testing::kTwoSeasonsCases[1].values;
  const TwoSeasons before(values, kSeason, kLong);
  for (std::size_t i = 60; i < values.size(); ++i) values[i] = -1e6;
  const TwoSeasons after(values, kSeason, kLong);
  for (std::int64_t origin = 1; origin <= 60; ++origin) {
    EXPECT_EQ(index_at(before, origin).index, index_at(after, origin).index) << origin;
  }
}

TEST(TwoSeasons, AreTheSameForALargeMean) {
  auto values = testing::kTwoSeasonsCases[1].values;
  const auto low = index_at(TwoSeasons(values, kSeason, kLong), 100);
  for (double& value : values) value += 1e6;
  const auto high = index_at(TwoSeasons(values, kSeason, kLong), 100);
  EXPECT_LE(testing::relative_error(high.index, low.index), 1e-8);
}

// An exactly repeated pattern is found exactly, and after a lasting change the new one is used.
TEST(TwoSeasons, FollowAPatternThatChanged) {
  std::vector<double> values(100);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = i % 12 == 5 ? 7 : 5;
  const auto whole = index_at(TwoSeasons(values, kSeason, kLong), 100);
  for (std::size_t phase = 0; phase < 12; ++phase) {
    EXPECT_NEAR(whole.index[phase] - whole.index[0], phase == 5 ? 2 : 0, 1e-12) << phase;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double turn = static_cast<double>(i) * (std::acos(-1.0) / 2 + 0.2);
    values[i] = std::sin(turn);
  }
  EXPECT_GE(index_at(TwoSeasons(values, kSeason, kLong), 100).found.forgets, 0.6);
}

TEST(TwoSeasons, AreZeroForShortAndConstantSeries) {
  const std::vector<double> none(kLong, 0.0);
  auto values = testing::kTwoSeasonsCases[0].values;
  const TwoSeasons whole(values, kSeason, kLong);
  EXPECT_EQ(index_at(whole, 11).index, none);
  EXPECT_NE(index_at(whole, 12).index, none);
  values.resize(11);
  EXPECT_EQ(index_at(TwoSeasons(values, kSeason, kLong), 11).index, none);
  const TwoSeasons still(std::vector<double>(100, 0.5), kSeason, kLong);
  for (std::int64_t origin = 1; origin <= 100; ++origin) {
    EXPECT_EQ(index_at(still, origin).index, none) << origin;
  }
}

}  // namespace
}  // namespace memattn
