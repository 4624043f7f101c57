// The memory of the panel forecaster: scores, and forecasts without a slot.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "forecast/panel_example.h"
#include "memattn/panel_forecaster.h"
#include "testing/arrays.h"

namespace memattn {
namespace {

using testing::message_of;

// Origins at all times of all series, more than pass through the networks together.
struct Origins {
  std::vector<std::int64_t> series, times;
};

Origins all_origins(const Data& data) {
  Origins result;
  for (std::size_t i = 0; i + 1 < data.offsets.size(); ++i) {
    for (std::int64_t time = 1; time <= data.offsets[i + 1] - data.offsets[i]; ++time) {
      result.series.push_back(static_cast<std::int64_t>(i));
      result.times.push_back(time);
    }
  }
  return result;
}

TEST(PanelMemory, ScoresOfEachOriginSumToOne) {
  const Data series = data();
  PanelForecaster forecaster(options());
  forecaster.fit(series.view());
  const auto [which, times] = all_origins(series);
  std::vector<float> scores(which.size() * 2 * 4), other(scores.size());
  forecaster.attention_scores(series.view(), {which, times}, 1, scores);
  forecaster.attention_scores(series.view(), {which, times}, 2, other);
  EXPECT_NE(scores, other);
  for (std::size_t row = 0; row < which.size() * 2; ++row) {
    float sum = 0;
    for (std::size_t s = 0; s < 4; ++s) {
      EXPECT_GT(scores[row * 4 + s], 0.0f);
      sum += scores[row * 4 + s];
    }
    EXPECT_TRUE(std::abs(sum - 1) <= 1e-6f) << row;
  }
  // Each origin alone.
  std::vector<float> alone(2 * 4);
  for (std::size_t n = 0; n < which.size(); n += 5) {
    forecaster.attention_scores(series.view(), {{&which[n], 1}, {&times[n], 1}}, 1, alone);
    EXPECT_TRUE(
        std::equal(alone.begin(), alone.end(), scores.begin() + static_cast<std::ptrdiff_t>(n * 8)))
        << n;
  }
}

TEST(PanelMemory, LeavingOutEitherOfTwoEqualSlotsIsTheSame) {
  const Data series = data();
  PanelForecasterOptions these = options();
  these.layers = 1;
  these.lookbacks = {7};
  these.seeds = 1;
  PanelForecaster forecaster(these);
  forecaster.fit(series.view());
  const auto [which, times] = all_origins(series);
  const std::size_t block = which.size() * 5;
  std::vector<double> without(4 * block), whole(block), found(block);
  forecaster.predict_without_slots(series.view(), {which, times}, 0, 0, without);
  forecaster.predict(series.view(), {which, times}, 0, whole);
  // Slot 2 becomes a copy of slot 1.
  const auto before = forecaster.parameters(0);
  std::vector<float> weights(before.begin(), before.end());
  const std::int64_t features = 7 - 1 + 5 + 2, units = 8;
  const auto memory = weights.begin() + (features + 1) * units;
  std::copy_n(memory + 1 * units, units, memory + 2 * units);
  forecaster.set_parameters(0, weights);
  std::vector<double> alike(4 * block);
  forecaster.predict_without_slots(series.view(), {which, times}, 0, 0, alike);
  forecaster.predict(series.view(), {which, times}, 0, found);
  const auto part = [&](const std::vector<double>& all, std::size_t slot) {
    return std::vector<double>(all.begin() + static_cast<std::ptrdiff_t>(slot * block),
                               all.begin() + static_cast<std::ptrdiff_t>((slot + 1) * block));
  };
  EXPECT_LE(testing::relative_error(part(alike, 1), part(alike, 2)), 1e-6);
  EXPECT_LE(testing::relative_error(part(alike, 2), part(without, 2)), 1e-12);
  EXPECT_GT(testing::relative_error(part(without, 1), part(without, 2)), 1e-5);
  for (std::size_t slot = 0; slot < 4; ++slot) {
    EXPECT_GT(testing::relative_error(part(without, slot), whole), 1e-5) << slot;
  }
}

TEST(PanelMemory, TheMemoryLayersOutputCanComeFromADonor) {
  const Data series = data();
  const auto [which, times] = all_origins(series);
  PanelForecaster forecaster(options());
  forecaster.fit(series.view());
  std::vector<double> whole(which.size() * 5), own(whole.size()), other(whole.size());
  forecaster.predict(series.view(), {which, times}, whole);
  forecaster.predict_with_memory_of(series.view(), {which, times}, {which, times}, own);
  EXPECT_LE(testing::relative_error(own, whole), 1e-6);
  std::vector<std::int64_t> which2(which.rbegin(), which.rend()),
      times2(times.rbegin(), times.rend());
  forecaster.predict_with_memory_of(series.view(), {which, times}, {which2, times2}, other);
  EXPECT_GT(testing::relative_error(other, whole), 1e-4);
  // Each origin alone.
  std::vector<double> alone(5);
  for (std::size_t n = 0; n < which.size(); n += 5) {
    forecaster.predict_with_memory_of(series.view(), {{&which[n], 1}, {&times[n], 1}},
                                      {{&which2[n], 1}, {&times2[n], 1}}, alone);
    EXPECT_TRUE(
        std::equal(alone.begin(), alone.end(), other.begin() + static_cast<std::ptrdiff_t>(n * 5)))
        << n;
  }
  // Without a memory layer there is nothing to exchange.
  PanelForecasterOptions these = options();
  these.layers = 0;
  PanelForecaster linear(these);
  linear.fit(series.view());
  linear.predict(series.view(), {which, times}, whole);
  linear.predict_with_memory_of(series.view(), {which, times}, {which2, times2}, other);
  EXPECT_EQ(whole, other);
}

TEST(PanelMemory, WithoutItsOnlySlotALayerReadsNothing) {
  const Data series = data();
  PanelForecasterOptions these = options();
  these.memory_size = 1;
  these.layers = 1;
  PanelForecaster forecaster(these);
  forecaster.fit(series.view());
  const auto [which, times] = all_origins(series);
  std::vector<double> without(which.size() * 5);
  forecaster.predict_without_slots(series.view(), {which, times}, 0, 0, without);
  for (const double value : without) EXPECT_TRUE(std::isfinite(value));
}

TEST(PanelMemory, InvalidArgumentsAreRefused) {
  const PanelForecaster forecaster(options());
  PanelForecasterOptions linear = options();
  linear.layers = 0;
  const Data series = data();
  const std::vector<std::int64_t> which = {0}, times = {3};
  std::vector<float> scores(8);
  std::vector<double> forecasts(20);
  const auto scored = [&](std::int64_t member, std::span<float> into) {
    return message_of(
        [&] { forecaster.attention_scores(series.view(), {which, times}, member, into); });
  };
  EXPECT_EQ(scored(-1, scores),
            "PanelForecaster::attention_scores: member: found -1, expected a number from 0 to 3");
  EXPECT_EQ(scored(0, std::span(scores).first(7)),
            "PanelForecaster::attention_scores: scores: found 7 values, expected origins * "
            "layers * memory_size = 1 * 2 * 4 = 8");
  EXPECT_EQ(
      message_of([&] {
        forecaster.predict_with_memory_of(series.view(), {which, times}, {{}, {}},
                                          std::span(forecasts).first(5));
      }),
      "PanelForecaster::predict_with_memory_of: donors: found 0 values, expected origins = 1");
  const auto left_out = [&](const PanelForecaster& asked, std::int64_t layer, std::size_t size) {
    return message_of([&] {
      asked.predict_without_slots(series.view(), {which, times}, 0, layer,
                                  std::span(forecasts).first(size));
    });
  };
  EXPECT_EQ(left_out(forecaster, 2, 20),
            "PanelForecaster::predict_without_slots: layer: found 2, expected a number from 0 to "
            "1");
  EXPECT_EQ(
      left_out(PanelForecaster(linear), 0, 20),
      "PanelForecaster::predict_without_slots: layer: found 0, expected none, for member 0 has "
      "no memory layer");
  EXPECT_EQ(left_out(forecaster, 1, 19),
            "PanelForecaster::predict_without_slots: forecasts: found 19 values, expected "
            "memory_size * origins * outputs * horizon = 4 * 1 * 1 * 5 = 20");
}

}  // namespace
}  // namespace memattn
