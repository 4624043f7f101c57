// The domains of series, and origins drawn from them.
#include "forecast/panel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <utility>
#include <vector>

namespace memattn {
namespace {

TEST(Panel, PositiveSeriesAreInLogsAndOthersAreNot) {
  const std::vector<double> values = {1, std::exp(2), 5, -1, 0, 2};
  const std::vector<std::int64_t> offsets = {0, 2, 4, 6};
  const Panel panel({values, offsets}, {1});
  ASSERT_EQ(panel.size(), 3);
  EXPECT_TRUE(panel.at({0, 2}).log_domain);
  EXPECT_EQ(panel.at({0, 2}).values, (std::vector<double>{0, 2}));
  EXPECT_FALSE(panel.at({1, 2}).log_domain);
  EXPECT_EQ(panel.at({1, 2}).values, (std::vector<double>{5, -1}));
  EXPECT_FALSE(panel.at({2, 1}).log_domain);
  EXPECT_EQ(panel.at({2, 2}).unit(2), 2);
  EXPECT_EQ(panel.at({2, 2}).unit(1), 0);
  EXPECT_EQ(panel.at({0, 2}).unit(2), 1);
  EXPECT_EQ(panel.at({0, 2}).unit(1), 0);
}

TEST(Panel, TheDomainDependsOnlyOnThePast) {
  const std::vector<double> values = {1, 2, 3, -1, 5};
  const std::vector<std::int64_t> offsets = {0, 5};
  const Panel panel({values, offsets}, {1});
  EXPECT_EQ(panel.length(0), 5);
  for (std::int64_t time = 1; time <= 3; ++time) {
    EXPECT_TRUE(panel.at({0, time}).log_domain);
    EXPECT_EQ(panel.at({0, time}).size(), 3);
  }
  for (std::int64_t time = 4; time <= 5; ++time) EXPECT_FALSE(panel.at({0, time}).log_domain);
}

// A missing reading, written as a tiny number, acts like 0; so does a first value.
TEST(Panel, AThousandfoldStepEndsTheLogs) {
  const std::vector<double> values = {100, 101, 1e-9, 102, 1e-9, 100, 1, 1000, 1, 1001};
  const std::vector<std::int64_t> offsets = {0, 4, 6, 8, 10};
  const Panel panel({values, offsets}, {1});
  EXPECT_TRUE(panel.at({0, 2}).log_domain);
  for (std::int64_t time = 3; time <= 4; ++time) EXPECT_FALSE(panel.at({0, time}).log_domain);
  EXPECT_TRUE(panel.at({1, 1}).log_domain);
  EXPECT_FALSE(panel.at({1, 2}).log_domain);
  EXPECT_TRUE(panel.at({2, 2}).log_domain);
  EXPECT_FALSE(panel.at({3, 2}).log_domain);
}

TEST(PanelSeries, ErrorsOfSmoothSeriesInLogsAreEnlarged) {
  const std::vector<double> values = {1, std::exp(0.01), std::exp(0.02), std::exp(0.14)};
  const PanelSeries series({values}, {1});
  EXPECT_NEAR(series.unit(3), 0.01 / kRough, 1e-14);
  EXPECT_NEAR(series.spread(4), 0.14 / 3, 1e-15);
  EXPECT_NEAR(series.unit(4), 0.14 / 3 / kRough, 1e-14);
  const std::vector<double> rough = {1, 2};
  EXPECT_EQ(PanelSeries({rough}, {1}).unit(2), 1);
}

TEST(PanelSeries, ANeverNegativeSeriesHasNoNegativeForecast) {
  const std::vector<double> values = {0, 2, 0, -1, 3};
  const PanelSeries series({values}, {1});
  for (std::int64_t time = 1; time <= 3; ++time) EXPECT_EQ(series.from_domain(-2, time), 0);
  for (std::int64_t time = 4; time <= 5; ++time) EXPECT_EQ(series.from_domain(-2, time), -2);
  EXPECT_EQ(series.from_domain(2, 1), 2);
}

TEST(Panel, WithoutLogsNoSeriesIsInLogs) {
  const std::vector<double> values = {1, 2, 4, 8, -1};
  const std::vector<std::int64_t> offsets = {0, 4, 5};
  const Panel panel({values, offsets}, {.season = 1, .logs = false});
  EXPECT_FALSE(panel.at({0, 2}).log_domain);
  EXPECT_EQ(panel.at({0, 2}).values, (std::vector<double>{1, 2, 4, 8}));
  EXPECT_EQ(panel.at({0, 3}).unit(3), 1.5);
}

TEST(PanelSeries, WithPastSeasonsTheSpreadIsTheDeviation) {
  const std::vector<double> values = {1, 2, 4, 8, 5};
  const PanelRules rules{.season = 2, .logs = false, .past_seasons = true};
  const PanelSeries series({values}, rules);
  EXPECT_EQ(series.unit(1), 0);
  EXPECT_EQ(series.unit(2), 0.5);
  EXPECT_NEAR(series.unit(5), std::sqrt(6.0), 1e-14);
  EXPECT_FALSE(series.seasonality.seasonal(5));
  const PanelSeries logs({values}, {.season = 2, .past_seasons = true});
  EXPECT_EQ(logs.unit(2), 1);
  EXPECT_NEAR(logs.spread(2), std::log(2.0) / 2, 1e-15);
}

// From three seasons on; before that, only changes from row to row are known.
TEST(PanelSeries, WithALongSeasonTheSpreadIsTheChangeOverASeason) {
  const std::vector<double> values = {1, 9, 2, 9, 1, 9, 4, 9};
  const PanelRules rules{.season = 2, .long_season = 4, .logs = false};
  const PanelSeries series({values}, rules);
  EXPECT_EQ(series.unit(5), (8.0 + 7 + 7 + 8) / 4);
  EXPECT_EQ(series.unit(6), (1.0 + 0 + 1 + 0) / 4);
  EXPECT_EQ(series.unit(8), (1.0 + 0 + 1 + 0 + 3 + 0) / 6);
  EXPECT_FALSE(series.seasonality.seasonal(8));
  // In logs as well, whatever the roughness.
  const PanelSeries logs({values}, {.season = 2, .long_season = 4});
  EXPECT_NEAR(logs.unit(6), std::log(2.0) / 2, 1e-15);
}

TEST(PanelSeries, DeviationsAreExactForLargeAndEqualValues) {
  std::vector<double> values(1000, 1e150);
  for (std::size_t i = 0; i < values.size(); i += 2) values[i] = -1e150;
  const PanelRules rules{.season = 2, .logs = false, .past_seasons = true};
  EXPECT_NEAR(PanelSeries({values}, rules).unit(1000) / 1e150, 1, 1e-12);
  EXPECT_EQ(PanelSeries({std::vector<double>(1000, 0.1)}, rules).unit(1000), 0);
  const std::vector<double> shifted = {1e9, 1e9 + 1, 1e9, 1e9 + 1};
  EXPECT_NEAR(PanelSeries({shifted}, rules).unit(4), 0.5, 1e-6);
}

TEST(PanelSeries, ForecastsFromTheDomainAreFinite) {
  const std::vector<double> values = {1, 2};
  const PanelSeries series({values}, {1});
  EXPECT_EQ(series.from_domain(0, 2), 1);
  EXPECT_TRUE(std::isfinite(series.from_domain(1e9, 2)));
}

// 3 series with 1, 4 and 0 origins: each of the first two is drawn half of the time, and each
// origin of the second a quarter of that.
TEST(OriginSampler, IsUniformOverSeriesAndThenOverOrigins) {
  const std::vector<double> values(3 + 6 + 2, 1.0);
  const std::vector<std::int64_t> offsets = {0, 3, 9, 11};
  const Panel panel({values, offsets}, {1});
  const OriginSampler sampler(panel, 2);
  EXPECT_EQ(sampler.count(), 5);
  std::vector<Origin> origins(80'000);
  sampler.draw(7, 3, origins);
  std::map<std::pair<std::int64_t, std::int64_t>, double> shares;
  for (const Origin& o : origins) shares[{o.series, o.time}] += 1.0 / 80'000;
  ASSERT_EQ(shares.size(), 5u);
  for (const auto& [place, share] : shares) {
    EXPECT_NEAR(share, place.first == 0 ? 0.5 : 0.125, 0.01);
    EXPECT_GE(place.second, 2);
    EXPECT_LT(place.second, panel.length(place.first));
  }
}

// So training sees the phase of forecasts from the end.
TEST(OriginSampler, StrideCountsFromTheEndOfEachSeries) {
  const std::vector<double> values(13 + 6 + 7, 1.0);
  const std::vector<std::int64_t> offsets = {0, 13, 19, 26};
  const Panel panel({values, offsets}, {1});
  const OriginSampler sampler(panel, 3, 4);  // the second series has no origin
  EXPECT_EQ(sampler.count(), 2 + 1);
  std::vector<Origin> origins(30'000);
  sampler.draw(7, 3, origins);
  std::map<std::pair<std::int64_t, std::int64_t>, int> counts;
  for (const Origin& origin : origins) ++counts[{origin.series, origin.time}];
  ASSERT_EQ(counts.size(), 3u);
  EXPECT_NEAR((counts[{0, 5}]), 7'500, 400);
  EXPECT_NEAR((counts[{0, 9}]), 7'500, 400);
  EXPECT_NEAR((counts[{2, 3}]), 15'000, 400);
}

TEST(OriginSampler, DrawsDependOnlyOnSeedAndStep) {
  const std::vector<double> values(1000, 1.0);
  const std::vector<std::int64_t> offsets = {0, 1000};
  const Panel panel({values, offsets}, {1});
  const OriginSampler sampler(panel, 1);
  const auto draw = [&](std::uint64_t seed, std::int64_t step, std::size_t size) {
    std::vector<Origin> origins(size);
    sampler.draw(seed, step, origins);
    std::vector<std::int64_t> times;
    for (std::size_t i = 0; i < 8; ++i) times.push_back(origins[i].time);
    return times;
  };
  EXPECT_EQ(draw(1, 2, 8), draw(1, 2, 50));
  EXPECT_NE(draw(1, 2, 8), draw(1, 3, 8));
  EXPECT_NE(draw(1, 2, 8), draw(2, 2, 8));
}

}  // namespace
}  // namespace memattn
