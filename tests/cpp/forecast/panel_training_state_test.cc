// Trainings of the panel forecaster that stop and continue.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "forecast/panel_example.h"
#include "memattn/panel_forecaster.h"
#include "testing/arrays.h"

namespace memattn {
namespace {

using testing::message_of;

PanelForecasterOptions averaged_options() {
  PanelForecasterOptions these = options();
  these.pre_norm = true;
  these.dropout = 0.3;
  these.average_decay = 0.9;
  return these;
}

TEST(PanelTrainingState, AResumedTrainingEqualsAnUninterruptedOneToTheBit) {
  for (const PanelForecasterOptions& these : {options(), averaged_options(), covariate_options()}) {
    const Data series = these.covariates > 0 ? data_with_covariates(3, 5) : data();
    PanelForecaster whole(these);
    ASSERT_TRUE(whole.fit(series.view()));
    for (std::int64_t stop = 1; stop <= these.steps; ++stop) {
      PanelForecaster stopped(these), resumed(these);
      EXPECT_EQ(stopped.fit(series.view(), [&](const auto& now) { return now.step < stop; }),
                stop == these.steps);
      const PanelTrainingState state = stopped.training_state();
      EXPECT_EQ(state.steps_done, stop);
      std::int64_t first = stop < these.steps ? stop + 1 : 0;
      EXPECT_TRUE(resumed.resume(series.view(), state, [&](const PanelProgress& now) {
        EXPECT_EQ(now.step, first++);
        return true;
      }));
      EXPECT_EQ(predict(resumed, series), predict(whole, series)) << stop;
      EXPECT_EQ(resumed.training_state().members, whole.training_state().members) << stop;
    }
  }
}

TEST(PanelTrainingState, ATrainingResumesFromBeforeItsFirstStep) {
  const Data series = data();
  PanelForecaster whole(options()), resumed(options());
  ASSERT_TRUE(whole.fit(series.view()));
  const PanelTrainingState state = PanelForecaster(options()).training_state();
  EXPECT_EQ(state.steps_done, 0);
  ASSERT_TRUE(resumed.resume(series.view(), state));
  EXPECT_EQ(predict(resumed, series), predict(whole, series));
}

TEST(PanelTrainingState, InvalidStatesAreRefused) {
  const Data series = data();
  PanelForecaster forecaster(averaged_options());
  forecaster.fit(series.view(), [](const PanelProgress& now) { return now.step < 3; });
  const PanelTrainingState good = forecaster.training_state();
  const std::vector<double> before = predict(forecaster, series);
  const auto refused = [&](auto change) {
    PanelTrainingState state = good;
    change(state);
    return message_of([&] { forecaster.resume(series.view(), state); });
  };
  EXPECT_EQ(refused([](auto& state) { state.members.pop_back(); }),
            "PanelForecaster::resume: state: found 3 members, expected 4 members");
  EXPECT_EQ(refused([](auto& state) { state.steps_done = 31; }),
            "Trainer::restore: steps_done: found 31, expected a number from 0 to 30");
  EXPECT_EQ(refused([](auto& state) { state.steps_done = -1; }),
            "Trainer::restore: steps_done: found -1, expected a number from 0 to 30");
  EXPECT_NE(refused([](auto& state) { state.members[2].pop_back(); }).find("values of a member"),
            std::string::npos);
  const std::size_t size = forecaster.parameters(3).size();
  ASSERT_EQ(good.members[3].size(), 4 * size);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::size_t place : {std::size_t{0}, size, 2 * size, 3 * size}) {
    EXPECT_NE(refused([&](auto& state) { state.members[3][place] = nan; }), "") << place;
  }
  EXPECT_NE(refused([&](auto& state) { state.members[3][2 * size] = -1; }).find("square[0]"),
            std::string::npos);
  EXPECT_EQ(predict(forecaster, series), before);
}

}  // namespace
}  // namespace memattn
