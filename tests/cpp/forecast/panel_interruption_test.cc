// Calls that end because their poll throws.
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

#include "forecast/panel_example.h"
#include "memattn/panel_forecaster.h"
#include "memattn/threads.h"

namespace memattn {
namespace {

// Counts its calls and throws at the n-th one, from 1. Expects to run on the thread that created
// it.
class Poll {
 public:
  explicit Poll(std::int64_t n) : n_(n) {}

  std::function<void()> function() {
    return [this, caller = std::this_thread::get_id()] {
      EXPECT_EQ(std::this_thread::get_id(), caller);
      if (++calls_ == n_) throw std::domain_error("ended");
    };
  }
  std::int64_t calls() const { return calls_; }

 private:
  std::int64_t n_;
  std::int64_t calls_ = 0;
};

// Each kind of call with a poll that never throws is polled more than once. A poll that throws, at
// any of its calls, ends the call.
void expect_ends(const std::function<void(const std::function<void()>&)>& call,
                 std::int64_t at_least) {
  Poll patient(std::numeric_limits<std::int64_t>::max());
  call(patient.function());
  EXPECT_GE(patient.calls(), at_least);
  for (std::int64_t n = 1; n <= at_least; ++n) {
    Poll poll(n);
    EXPECT_THROW(call(poll.function()), std::domain_error) << n;
    EXPECT_EQ(poll.calls(), n);
  }
}

TEST(PanelInterruption, APollThatThrowsEndsEachKindOfCall) {
  const ThreadLimit alone(1);  // with more threads, the caller's share of the work varies
  const Data series = data();
  PanelForecaster forecaster(options());
  forecaster.fit(series.view());
  const auto before = predict(forecaster, series);
  const PanelTrainingState state = forecaster.training_state();
  // More origins than pass through the networks together.
  std::vector<std::int64_t> which, times;
  for (std::int64_t i = 0; i < 12; ++i) {
    for (std::int64_t t = 1; t <= 30 + i; ++t) {
      which.push_back(i);
      times.push_back(t);
    }
  }
  const std::size_t count = which.size();
  ASSERT_GT(count, 256u);
  const OriginsView origins{which, times};
  std::vector<double> forecasts(count * 5), slots(4 * count * 5);
  std::vector<float> scores(count * 2 * 4);
  const std::int64_t prepared = 12;  // series
  expect_ends([&](const auto& poll) { forecaster.fit(series.view(), {}, poll); }, prepared);
  expect_ends([&](const auto& poll) { forecaster.resume(series.view(), state, {}, poll); },
              prepared);
  expect_ends(
      [&](const auto& poll) { forecaster.predict(series.view(), origins, forecasts, poll); },
      prepared + 5);
  expect_ends(
      [&](const auto& poll) {
        forecaster.attention_scores(series.view(), origins, 0, scores, poll);
      },
      prepared + 1);
  expect_ends(
      [&](const auto& poll) {
        forecaster.predict_without_slots(series.view(), origins, 0, 0, slots, poll);
      },
      prepared + 5);
  EXPECT_EQ(predict(forecaster, series), before);
}

// Forecasts have the same bits with and without a poll.
TEST(PanelInterruption, PollChangesNoBit) {
  const Data series = data();
  PanelForecaster with(options()), without(options());
  with.fit(series.view(), {}, [] {});
  without.fit(series.view());
  EXPECT_EQ(predict(with, series), predict(without, series));
}

// Only the series of the origins are prepared, with one poll for each.
TEST(PanelInterruption, PredictPreparesOnlyTheSeriesOfItsOrigins) {
  const Data series = data();
  const PanelForecaster forecaster(options());
  const std::vector<std::int64_t> which = {7, 3, 7, 7}, times = {30, 20, 10, 37};
  std::vector<double> forecasts(4 * 5);
  const auto polls = [&](std::size_t count) {
    Poll poll(std::numeric_limits<std::int64_t>::max());
    forecaster.predict(series.view(), {{which.data(), count}, {times.data(), count}}, 0,
                       std::span(forecasts).first(count * 5), poll.function());
    return poll.calls();
  };
  EXPECT_EQ(polls(1) + 1, polls(2));
  EXPECT_EQ(polls(2), polls(4));
}

}  // namespace
}  // namespace memattn
