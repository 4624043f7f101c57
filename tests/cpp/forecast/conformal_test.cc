// Single rules of intervals; tests/python/forecast/test_conformal.py tests their coverage.
#include "forecast/conformal.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

namespace memattn {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(Conformal, WindowsTogetherEqualEachWindowAlone) {
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  std::vector<double> values = {1};
  for (int t = 1; t < 400; ++t) values.push_back(values.back() * std::exp(0.1 * normal(random)));
  values[300] = -1;
  std::vector<std::int64_t> stops;
  for (std::int64_t stop = 400; stop > 0; stop -= 3) stops.push_back(stop);
  for (const std::int64_t season : {1, 12}) {
    std::vector<WindowDomain> domains(stops.size());
    find_domains(values, stops, season, true, domains);
    for (std::size_t i = 0; i < stops.size(); ++i) {
      WindowDomain alone;
      const auto known = std::span(values).first(static_cast<std::size_t>(stops[i]));
      find_domains(known, std::span(stops).subspan(i, 1), season, true, {&alone, 1});
      EXPECT_EQ(domains[i].logs, stops[i] <= 300);
      EXPECT_EQ(domains[i].logs, alone.logs);
      EXPECT_EQ(domains[i].roughness, alone.roughness) << stops[i];
      EXPECT_EQ(domains[i].change, alone.change) << stops[i];
      EXPECT_EQ(domains[i].least, stops[i] <= 300 ? 0 : -kInfinity);
    }
  }
}

TEST(Conformal, QuantilesAreTheScoresOfTheirRanks) {
  // Two steps of four windows, with one score missing.
  const std::vector<double> scores = {3, 5, 1, kNaN, 4, 7, 2, kInfinity}, weights = {1, 1, 1, 1};
  const RankedScores ranked(scores, 2, weights, 1);
  EXPECT_EQ(ranked.quantile(0, 20), 1);  // of five, including the window at hand
  EXPECT_EQ(ranked.quantile(0, 60), 3);
  EXPECT_EQ(ranked.quantile(0, 61), 4);
  EXPECT_EQ(ranked.quantile(0, 99), 4);  // limited to the largest score
  EXPECT_EQ(ranked.quantile(1, 50), 7);
  EXPECT_EQ(ranked.quantile(1, 80), kInfinity);
  EXPECT_TRUE(std::isnan(RankedScores({}, 2, {}, 1).quantile(1, 80)));
}

TEST(Conformal, AConstantSeriesHasAWidthOf0WhereErrorsAreKnown) {
  // Two steps of two windows; the second step has no error.
  const std::vector<double> values = {0, kNaN, 3, kNaN};
  const std::vector<std::int64_t> ages = {2, 1};
  const WindowDomain constant = {true, 0, 1, 0}, other = {true, 0.1, 1, 0};
  for (const WindowDomain& second : {constant, other}) {
    const std::vector<WindowDomain> domains = {constant, second};
    const ErrorScores scores({values, 1, 0, 2, domains, ages, 1, 1}, true);
    EXPECT_EQ(scores.half_width(constant, 0, 80), 0);
    EXPECT_TRUE(std::isnan(scores.half_width(constant, 1, 80)));
    EXPECT_TRUE(std::isnan(scores.half_width(other, 1, 80)));
    // Errors of constant series alone say nothing about others.
    EXPECT_EQ(std::isnan(scores.half_width(other, 0, 80)), second.roughness == 0);
  }
}

TEST(Conformal, BoundsStayAroundTheForecast) {
  const WindowDomain logs = {true, 0.1, 1, 0}, plain = {false, 1, 1, -kInfinity};
  Ends found = moved_ends(logs, 2, {1, 4}, std::log(2.0));
  EXPECT_DOUBLE_EQ(found.low, 0.5);
  EXPECT_DOUBLE_EQ(found.high, 8);
  found = moved_ends(plain, 2, {1, 4}, 3);
  EXPECT_EQ(found.low, -2);
  EXPECT_EQ(found.high, 7);
  found = moved_ends({false, 1, 1, 0}, 2, {1, 4}, 3);  // the series was never negative
  EXPECT_EQ(found.low, 0);
  EXPECT_EQ(moved_ends({false, 1, 1, 0}, -2, {-3, 4}, 3).low, -2);  // but the forecast is
  EXPECT_EQ(moved_ends(logs, 2, {1, 4}, kInfinity).high, kInfinity);
  EXPECT_TRUE(std::isnan(moved_ends(logs, 2, {1, 4}, kNaN).low));
  found = around({1, 3}, {1.5, 2});
  EXPECT_EQ(found.low, 1);
  EXPECT_EQ(found.high, 3);
  EXPECT_TRUE(std::isnan(around({kNaN, 3}, {1, 4}).low));
}

TEST(Conformal, OtherLevelsAreInterpolatedAndExtrapolated) {
  const WindowDomain plain = {false, 1, 1, -kInfinity}, logs = {true, 0.1, 1, 0};
  const std::vector<Ends> known = {{8, 11}, {4, 16}};
  const std::vector<double> reaches = {1, 2};
  const auto end_of = [&](const WindowDomain& domain, double reach) {
    return ends_between(domain, 10, known, reaches, reach);
  };
  EXPECT_EQ(end_of(plain, 0.5).low, 9);
  EXPECT_EQ(end_of(plain, 1.5).high, 13.5);
  EXPECT_EQ(end_of(plain, 3).low, 0);
  EXPECT_EQ(end_of(plain, 4).low, -4);
  EXPECT_DOUBLE_EQ(end_of(logs, 3).low, 2);
  EXPECT_DOUBLE_EQ(normal_reach(95), 1.959963984540054);
}

TEST(Conformal, HolesAreFilledLinearly) {
  std::vector<double> values = {1, kNaN, kNaN, 7, 3, kNaN, 4};
  fill_holes(values);
  EXPECT_EQ(values, (std::vector<double>{1, 3, 5, 7, 3, 3.5, 4}));
}

}  // namespace
}  // namespace memattn
