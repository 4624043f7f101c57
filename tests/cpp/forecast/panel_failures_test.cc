// A training that fails for any reason leaves the fitted forecaster unchanged.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "forecast/panel_example.h"
#include "memattn/panel_forecaster.h"
#include "memattn/runtime.h"
#include "memattn/threads.h"
#include "testing/arrays.h"
#include "testing/failing_allocations.h"

namespace memattn {
namespace {

template <typename Call>
std::string runtime_error_of(Call call) {
  try {
    call();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

// The smallest training that has every part: each of its allocations fails in turn.
PanelForecasterOptions small_options() {
  PanelForecasterOptions these = covariate_options();
  these.lookbacks = {4};
  these.seeds = 2;
  these.layers = 1;
  these.pre_norm = true;
  these.average_decay = 0.9;
  these.steps = 2;
  these.batch_size = 8;
  return these;
}

Data few_series() {
  const Data all = data();
  Data few;
  for (std::size_t i = 0; i < 3; ++i) {
    few.add({all.values.begin() + all.offsets[i], all.values.begin() + all.offsets[i + 1]});
  }
  few.values[3] = -1;  // one series is not in logs
  few.covariates = testing::normal_array<float>((few.offsets.back() + 3 * 5) * 3, 1);
  return few;
}

// The observable state of a forecaster.
struct Seen {
  std::vector<double> forecasts;
  std::vector<std::vector<float>> members;
  std::int64_t steps_done;

  Seen(const PanelForecaster& forecaster, const Data& series)
      : forecasts(predict(forecaster, series)) {
    const PanelTrainingState state = forecaster.training_state();
    steps_done = state.steps_done;
    members = state.members;
  }
  bool operator==(const Seen&) const = default;
};

TEST(PanelFailures, ADivergingTrainingChangesNothing) {
  const Data series = data();
  PanelForecaster forecaster(options());
  ASSERT_TRUE(forecaster.fit(series.view()));
  const PanelTrainingState state = forecaster.training_state();
  // Puts the weights of the good forecaster into one that cannot train.
  PanelForecasterOptions wild = options();
  wild.learning_rate = 1e30;
  wild.warm_up = 0;
  PanelForecaster diverging(wild);
  for (std::int64_t member = 0; member < wild.members(); ++member) {
    diverging.set_parameters(member, forecaster.parameters(member));
  }
  const Seen before(diverging, series);
  EXPECT_EQ(before.forecasts, predict(forecaster, series));
  const std::string message = runtime_error_of([&] { diverging.fit(series.view()); });
  EXPECT_TRUE(message.starts_with("PanelForecaster::fit: the training diverged: ")) << message;
  EXPECT_TRUE(message.ends_with("; use a lower learning_rate")) << message;
  EXPECT_EQ(Seen(diverging, series), before);
  PanelTrainingState early = state;
  early.steps_done = 1;
  EXPECT_THROW(diverging.resume(series.view(), early), std::runtime_error);
  EXPECT_EQ(Seen(diverging, series), before);
}

// The weights diverge in the last step, after which no loss is computed.
TEST(PanelFailures, DivergenceInTheLastStepIsReported) {
  const Data series = data();
  PanelForecasterOptions wild = options();
  wild.learning_rate = 3e38;
  wild.weight_decay = 1e30;
  wild.warm_up = 0;
  wild.steps = 1;
  PanelForecaster forecaster(wild);
  const Seen before(forecaster, series);
  EXPECT_NE(runtime_error_of([&] {
              forecaster.fit(series.view());
            }).find("a weight is not finite in step 1"),
            std::string::npos);
  EXPECT_EQ(Seen(forecaster, series), before);
}

TEST(PanelFailures, AnExceptionOfProgressOrPollChangesNoWeight) {
  const Data series = data();
  PanelForecaster forecaster(options());
  ASSERT_TRUE(forecaster.fit(series.view()));
  const auto before = predict(forecaster, series);
  const auto fail_at = [](std::int64_t step) {
    return [step](const PanelProgress& now) {
      if (now.step == step) throw std::domain_error("mine");
      return true;
    };
  };
  for (const std::int64_t step : {1, 7, 30}) {
    EXPECT_THROW(forecaster.fit(series.view(), fail_at(step)), std::domain_error);
    EXPECT_EQ(predict(forecaster, series), before);
    // The state is that of the failed training, which can continue.
    const PanelTrainingState state = forecaster.training_state();
    EXPECT_EQ(state.steps_done, step);
    PanelForecaster resumed(options());
    ASSERT_TRUE(resumed.resume(series.view(), state));
    EXPECT_EQ(predict(resumed, series), before);
    EXPECT_THROW(forecaster.resume(series.view(), resumed.training_state(), {},
                                   [] { throw std::domain_error("poll"); }),
                 std::domain_error);
    EXPECT_EQ(forecaster.training_state().members, state.members);
  }
  // After set_parameters, the state is discarded.
  const auto weights = forecaster.parameters(0);
  forecaster.set_parameters(0, std::vector<float>(weights.begin(), weights.end()));
  EXPECT_EQ(forecaster.training_state().steps_done, options().steps);
}

TEST(PanelFailures, OutOfMemoryChangesNothing) {
  const PanelForecasterOptions these = small_options();
  const Data series = few_series();
  PanelForecaster fitted(these), again(these);
  ASSERT_TRUE(fitted.fit(series.view()));
  ASSERT_TRUE(again.fit(series.view()));
  const Seen before(fitted, series);
  PanelForecaster early(these);
  early.fit(series.view(), [](const PanelProgress&) { return false; });
  const PanelTrainingState state = early.training_state();
  const std::vector<float> weights(fitted.parameters(0).begin(), fitted.parameters(0).end());
  const std::vector<std::int64_t> which = {0, 2}, times = {9, 20};
  std::vector<double> forecasts(2 * 5), expected(forecasts), slots(4 * 2 * 5);
  std::vector<float> scores(2 * 4);
  fitted.predict(series.view(), {which, times}, expected);
  const auto same = [&] { EXPECT_EQ(Seen(fitted, series), before); };

  for (const int threads : {1, 2}) {
    const ThreadLimit limit(threads);
    const auto sweep = [&](const char* name, auto call) {
      SCOPED_TRACE(name);
      const auto attempt = [&] {
        release_scratch();  // which is allocated only the first time
        call();
      };
      EXPECT_GT(testing::sweep_allocations(attempt, same), 5);
    };
    sweep("construct", [&] { PanelForecaster forecaster(these); });
    sweep("fit", [&] { fitted.fit(series.view()); });
    same();  // every attempt trains in the same way
    sweep("resume", [&] { fitted.resume(series.view(), state); });
    same();
    sweep("set_parameters", [&] { fitted.set_parameters(0, weights); });
    same();
    sweep("predict", [&] { fitted.predict(series.view(), {which, times}, forecasts); });
    EXPECT_EQ(forecasts, expected);
    sweep("attention_scores",
          [&] { fitted.attention_scores(series.view(), {which, times}, 1, scores); });
    sweep("predict_without_slots",
          [&] { fitted.predict_without_slots(series.view(), {which, times}, 1, 0, slots); });
    sweep("training_state", [&] { static_cast<void>(fitted.training_state()); });
  }
}

// The table is read in place: neither a copy of it nor a list of its rows is created.
TEST(PanelFailures, ForecastsWithCovariatesAllocateNoMoreThanForecastsWithout) {
  PanelForecasterOptions without = small_options();
  without.covariates = 0;
  without.blocks = {};
  Data bare = few_series();
  bare.covariates = {};
  const std::vector<std::int64_t> which = {0, 2}, times = {9, 20};
  std::vector<double> forecasts(2 * 5);
  const auto count = [&](const PanelForecasterOptions& these, const Data& series) {
    const PanelForecaster forecaster(these);
    const ThreadLimit limit(1);
    const auto call = [&] { forecaster.predict(series.view(), {which, times}, forecasts); };
    call();
    return testing::sweep_allocations(call, [] {});
  };
  EXPECT_EQ(count(small_options(), few_series()), count(without, bare));
}

}  // namespace
}  // namespace memattn
