// Blocks of covariates in windows, against a plain loop, at any origin.
#include "forecast/covariates.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "forecast/origin_windows.h"
#include "testing/arrays.h"

namespace memattn {
namespace {

constexpr std::int64_t kColumns = 4, kHorizon = 3, kLength = 11;

// Two series, the second of which stops being in logs before its end.
struct TwoSeries {
  std::vector<double> values;
  std::vector<std::int64_t> offsets = {0, kLength, 2 * kLength};
  std::vector<float> table =
      testing::normal_array<float>(2 * (kLength + kHorizon) * kColumns, 1, 6);

  TwoSeries() {
    for (const double value : testing::normal_array<double>(2 * kLength, 2)) {
      values.push_back(std::exp(value));
    }
    values[kLength + 5] = -1;
  }
  Panel panel(const PanelRules& rules) const { return Panel({values, offsets, table}, rules); }
};

PanelRules rules_of(const WindowShape& shape) {
  return {.season = shape.season,
          .past_seasons = shape.past_seasons(),
          .covariates = kColumns,
          .horizon = kHorizon};
}

WindowShape shape_of(std::vector<CovariateBlock> blocks) {
  return {.lookback = 4,
          .horizon = kHorizon,
          .season = 2,
          .covariates = kColumns,
          .blocks = std::move(blocks)};
}

// Returns the covariates at an origin, from the whole table.
std::vector<double> by_loop(const std::vector<float>& table, const Origin& origin,
                            const std::vector<CovariateBlock>& blocks) {
  std::vector<double> result;
  for (const CovariateBlock& block : blocks) {
    for (std::int64_t i = block.first_row; i < block.first_row + block.rows; ++i) {
      std::int64_t row = origin.time + i;
      if (row < 0) row = 0;
      row += origin.series * (kLength + kHorizon);
      for (std::int64_t column = block.first_column; column < block.first_column + block.columns;
           ++column) {
        const double value = table[static_cast<std::size_t>(row * kColumns + column)];
        result.push_back(std::abs(value) > 10 ? std::copysign(10.0, value) : value);
      }
    }
  }
  return result;
}

const std::vector<std::vector<CovariateBlock>>& cases() {
  static const std::vector<std::vector<CovariateBlock>> all = {
      {{0, kColumns, 0, kHorizon}},
      {{1, 2, -1, 2}, {0, 1, -20, 20 + kHorizon}, {3, 1, 2, 1}},
      {{2, 2, -30, 4}, {2, 2, -30, 4}},  // before every series, and twice
  };
  return all;
}

TEST(Covariates, EqualThoseOfAPlainLoop) {
  const TwoSeries series;
  EXPECT_GT(testing::largest_magnitude(series.table), 10);
  for (const std::vector<CovariateBlock>& blocks : cases()) {
    const WindowShape shape = shape_of(blocks);
    const Panel panel = series.panel(rules_of(shape));
    for (std::int64_t which : {0, 1}) {
      for (std::int64_t time = 1; time <= kLength; ++time) {
        const Origin origin{which, time};
        std::vector<double> found(static_cast<std::size_t>(shape.covariate_features()));
        put_covariates<double>(panel.at(origin), shape, time, found.data());
        EXPECT_EQ(found, by_loop(series.table, origin, blocks)) << which << " " << time;
      }
    }
  }
}

// The rest of a window has the same bits as without covariates.
TEST(Covariates, FollowTheValuesInBothKindsOfWindows) {
  const TwoSeries series;
  for (const PanelWindows kind : {PanelWindows::kLastValues, PanelWindows::kPastSeasons}) {
    for (const std::vector<CovariateBlock>& blocks : cases()) {
      WindowShape shape = shape_of(blocks), bare = shape_of({});
      shape.windows = bare.windows = kind;
      std::vector<Origin> origins;
      for (std::int64_t time = 1; time <= kLength; ++time) {
        origins.push_back({time % 2, time});
      }
      const Panel panel = series.panel(rules_of(shape));
      OriginWindows<double> windows, without;
      make_windows(panel, shape, origins, windows);
      make_windows(panel, bare, origins, without);
      EXPECT_EQ(windows.baseline, without.baseline);
      EXPECT_EQ(windows.scale, without.scale);
      EXPECT_EQ(windows.unit, without.unit);
      EXPECT_EQ(windows.seasons, without.seasons);
      const auto rows_of = [&](const std::vector<double>& values,
                               const std::vector<double>& start) {
        std::vector<double> expected;
        const std::size_t width = start.size() / origins.size();
        for (std::size_t n = 0; n < origins.size(); ++n) {
          const auto row = start.begin() + static_cast<std::ptrdiff_t>(n * width);
          expected.insert(expected.end(), row, row + static_cast<std::ptrdiff_t>(width));
          const std::vector<double> covariates = by_loop(series.table, origins[n], blocks);
          expected.insert(expected.end(), covariates.begin(), covariates.end());
        }
        EXPECT_EQ(values, expected);
      };
      rows_of(windows.features, without.features);
      if (kind == PanelWindows::kPastSeasons) rows_of(windows.skip, without.skip);
      const auto count = static_cast<std::int64_t>(origins.size());
      EXPECT_EQ(std::ssize(windows.features), count * shape.features());
      EXPECT_EQ(std::ssize(inputs_of(windows).skip), count * shape.skip_features());
    }
  }
}

}  // namespace
}  // namespace memattn
