// The seasonal index against one in plain NumPy; it must not depend on values after its origin.
#include "forecast/seasonality.h"

#include <gtest/gtest.h>

#include <vector>

#include "forecast/seasonality_golden.h"
#include "testing/arrays.h"

namespace memattn {
namespace {

std::vector<double> index_at(const Seasonality& seasonality, std::int64_t season,
                             std::int64_t origin) {
  std::vector<double> index(static_cast<std::size_t>(season), 99.0);
  seasonality.index(origin, index);
  return index;
}

// Returns a constant series in which every twelfth value is raised.
std::vector<double> pulses(std::size_t size) {
  std::vector<double> values(size, 5.0);
  for (std::size_t t = 0; t < size; t += 12) values[t] = 6;
  return values;
}

TEST(Seasonality, EqualsThePlainDecomposition) {
  for (const auto& golden : testing::kSeasonalityCases) {
    const Seasonality seasonality(golden.values, golden.season);
    for (std::size_t i = 0; i < golden.origins.size(); ++i) {
      const auto found = index_at(seasonality, golden.season, golden.origins[i]);
      const bool is_seasonal = golden.index[i] != std::vector<double>(golden.index[i].size(), 0.0);
      EXPECT_EQ(seasonality.seasonal(golden.origins[i]), is_seasonal)
          << golden.season << " " << golden.origins[i];
      EXPECT_LE(testing::relative_error(found, golden.index[i]), 1e-12)
          << golden.season << " " << golden.origins[i];
    }
  }
}

TEST(Seasonality, NeedsThreeSeasons) {
  const Seasonality seasonality(pulses(40), 12);
  EXPECT_FALSE(seasonality.seasonal(35));
  EXPECT_TRUE(seasonality.seasonal(36));
  EXPECT_FALSE(Seasonality(pulses(35), 12).seasonal(35));
  EXPECT_FALSE(Seasonality(pulses(40), 1).seasonal(40));
}

TEST(Seasonality, IgnoresValuesAfterTheOrigin) {
  auto values = testing::kSeasonalityCases[0].values;
  const Seasonality before(values, 4);
  for (std::size_t i = 50; i < values.size(); ++i) values[i] = -1e6;
  const Seasonality after(values, 4);
  for (std::int64_t origin = 1; origin <= 50; ++origin) {
    EXPECT_EQ(index_at(before, 4, origin), index_at(after, 4, origin)) << origin;
  }
}

TEST(Seasonality, IsTheSameForALargeMean) {
  auto values = testing::kSeasonalityCases[0].values;
  const auto low = index_at(Seasonality(values, 4), 4, 60);
  for (double& value : values) value += 1e6;
  EXPECT_LE(testing::relative_error(index_at(Seasonality(values, 4), 4, 60), low), 1e-8);
}

TEST(Seasonality, IsZeroForAConstantSeries) {
  const Seasonality seasonality(std::vector<double>(100, 0.1), 4);
  for (std::int64_t origin = 1; origin <= 100; ++origin) EXPECT_FALSE(seasonality.seasonal(origin));
}

}  // namespace
}  // namespace memattn
