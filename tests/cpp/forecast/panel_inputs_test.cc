// The series that are prepared for the origins of a call.
#include "forecast/panel_inputs.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace memattn {
namespace {

TEST(PanelInputs, OnlyTheSeriesOfTheOriginsArePrepared) {
  const std::vector<double> values = {-1, 2, -3, 4, -5, 6, -7, 8, -9};
  const std::vector<std::int64_t> offsets = {0, 2, 5, 5, 9};
  const std::vector<std::int64_t> series = {3, 1, 3, 1}, times = {4, 2, 1, 3};
  std::int64_t polls = 0;
  const std::function<void()> poll = [&] { ++polls; };
  const PanelAtOrigins at =
      prepare_origins({values, offsets}, {series, times}, {.season = 1, .logs = false}, poll);
  EXPECT_EQ(polls, 2);
  EXPECT_EQ(at.panel.size(), 2);
  ASSERT_EQ(at.origins.size(), 4u);
  const std::vector<std::vector<double>> expected = {{6, -7, 8, -9}, {-3, 4, -5}};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(at.panel.at(at.origins[i]).values, expected[i % 2]) << i;
    EXPECT_EQ(at.origins[i].time, times[i]) << i;
  }
}

TEST(PanelInputs, NoOriginsNeedNoSeries) {
  const std::vector<double> values = {1, 2};
  const std::vector<std::int64_t> offsets = {0, 2};
  const PanelAtOrigins at = prepare_origins({values, offsets}, {}, {.season = 1}, {});
  EXPECT_EQ(at.panel.size(), 0);
  EXPECT_TRUE(at.origins.empty());
}

}  // namespace
}  // namespace memattn
