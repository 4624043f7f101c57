// The training loop: order of batches, schedule, clipping, stopping.
#include "train/training_loop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <stdexcept>
#include <vector>

namespace memattn {
namespace {

// Fits w (2) to points (x, y) of the line y = 2 x - 1, and notes what it was asked for.
class Line final : public Objective {
 public:
  std::int64_t count_params() const override { return 2; }

  double evaluate(std::span<const std::int64_t> examples, std::span<float> gradients) override {
    EXPECT_EQ(gradients.size(), 2u);
    batches.emplace_back(examples.begin(), examples.end());
    double loss = 0;
    std::fill(gradients.begin(), gradients.end(), 0.0f);
    const auto share = 1.0f / static_cast<float>(examples.size());
    for (const std::int64_t i : examples) {
      const float x = static_cast<float>(i) / 10 - 1;
      const float error = parameters[0] * x + parameters[1] - (2 * x - 1);
      loss += static_cast<double>(share * error * error);
      gradients[0] += share * 2 * error * x;
      gradients[1] += share * 2 * error;
    }
    return loss;
  }

  void update(const std::function<void(std::span<float>)>& edit) override {
    edit(parameters);
    ++updates;
  }

  std::vector<float> parameters = {0, 0};
  std::vector<std::vector<std::int64_t>> batches;
  int updates = 0;
};

constexpr std::int64_t kExamples = 21;
const TrainingOptions kOptions{
    .epochs = 60, .batch_size = 8, .learning_rate = 0.1, .clip_norm = 10, .seed = 5};

TEST(Train, FindsTheMinimum) {
  Line line;
  EXPECT_TRUE(train(line, kExamples, kOptions));
  EXPECT_TRUE(std::abs(line.parameters[0] - 2) <= 1e-3) << line.parameters[0];
  EXPECT_TRUE(std::abs(line.parameters[1] + 1) <= 1e-3) << line.parameters[1];
}

TEST(Train, EveryEpochSeesEveryExampleOnceInAnotherOrder) {
  Line line;
  train(line, kExamples, kOptions);
  ASSERT_EQ(line.batches.size(), 60u * 3);
  std::vector<std::int64_t> all(kExamples);
  std::iota(all.begin(), all.end(), 0);
  std::set<std::vector<std::int64_t>> orders;
  for (std::size_t epoch = 0; epoch < 60; ++epoch) {
    std::vector<std::int64_t> order;
    for (std::size_t b = 0; b < 3; ++b) {
      const auto& batch = line.batches[epoch * 3 + b];
      EXPECT_EQ(batch.size(), b < 2 ? 8u : 5u);
      order.insert(order.end(), batch.begin(), batch.end());
    }
    orders.insert(order);
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, all);
  }
  EXPECT_EQ(orders.size(), 60u);
}

TEST(Train, SameSeedSameBitsAnotherSeedOthers) {
  Line first, second, third;
  TrainingOptions options = kOptions;
  options.epochs = 3;
  train(first, kExamples, options);
  train(second, kExamples, options);
  options.seed = 6;
  train(third, kExamples, options);
  EXPECT_EQ(first.parameters, second.parameters);
  EXPECT_EQ(first.batches, second.batches);
  EXPECT_NE(first.batches, third.batches);
}

TEST(Train, ReportsEveryStep) {
  Line line;
  std::vector<TrainingProgress> reports;
  train(line, kExamples, kOptions, [&](const TrainingProgress& progress) {
    EXPECT_EQ(line.updates, progress.step);  // after the step, not before
    reports.push_back(progress);
    return true;
  });
  ASSERT_EQ(reports.size(), 180u);
  for (std::size_t i = 0; i < reports.size(); ++i) {
    EXPECT_EQ(reports[i].step, static_cast<std::int64_t>(i) + 1);
    EXPECT_EQ(reports[i].steps, 180);
  }
  EXPECT_LT(reports.back().loss, 1e-4);
  EXPECT_GT(reports.front().loss, 0.5);
}

TEST(Train, StopsWhereProgressSaysSo) {
  Line line;
  EXPECT_FALSE(train(line, kExamples, kOptions,
                     [](const TrainingProgress& progress) { return progress.step < 4; }));
  EXPECT_EQ(line.updates, 4);
}

TEST(Train, WhatProgressThrowsPassesThrough) {
  Line line;
  EXPECT_THROW(train(line, kExamples, kOptions,
                     [](const TrainingProgress&) -> bool { throw std::runtime_error("stop"); }),
               std::runtime_error);
  EXPECT_EQ(line.updates, 1);
}

TEST(Train, ClipsTheGradientAndDecaysTheWeights) {
  // With a norm of at most 1e-9, far below Adam's epsilon of 1e-7, hardly anything moves.
  Line clipped;
  TrainingOptions options = kOptions;
  options.epochs = 1;
  options.clip_norm = 1e-9;
  train(clipped, kExamples, options);
  EXPECT_LT(std::abs(clipped.parameters[0]), 0.01f);
  // And so decay is alone: with the rates of three steps, 0.1, 0.1 and 0.05, it is known.
  Line decayed;
  decayed.parameters = {100, 100};
  options.weight_decay = 1;
  train(decayed, kExamples, options);
  EXPECT_NEAR(decayed.parameters[0], 100 * 0.9 * 0.9 * 0.95, 0.01);
}

TEST(Train, OptionsAreCheckedBeforeAnythingRuns) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto refuses = [](std::int64_t examples, const auto& change) {
    Line line;
    TrainingOptions options = kOptions;
    change(options);
    EXPECT_THROW(train(line, examples, options), std::invalid_argument);
    EXPECT_TRUE(line.batches.empty());
  };
  refuses(0, [](TrainingOptions&) {});
  refuses(5, [](TrainingOptions& options) { options.epochs = 0; });
  refuses(5, [](TrainingOptions& options) { options.batch_size = 0; });
  refuses(5, [&](TrainingOptions& options) { options.learning_rate = nan; });
  refuses(5, [&](TrainingOptions& options) { options.weight_decay = -1; });
  refuses(5, [&](TrainingOptions& options) { options.clip_norm = nan; });
  refuses(5, [](TrainingOptions& options) {
    options.batch_size = 1;
    options.epochs = std::numeric_limits<std::int64_t>::max();
  });
}

TEST(Train, ABatchMayBeLargerThanTheData) {
  Line line;
  TrainingOptions options = kOptions;
  options.batch_size = std::numeric_limits<std::int64_t>::max();
  options.epochs = 2;
  EXPECT_TRUE(train(line, kExamples, options));
  ASSERT_EQ(line.batches.size(), 2u);
  EXPECT_EQ(line.batches[0].size(), 21u);
}

TEST(LearningRateAt, WarmsUpInALineAndFadesAlongACosine) {
  EXPECT_DOUBLE_EQ(learning_rate_at(0, 100, 2), 0.4);  // 5 steps of warm-up
  EXPECT_DOUBLE_EQ(learning_rate_at(1, 100, 2), 0.8);
  EXPECT_DOUBLE_EQ(learning_rate_at(4, 100, 2), 2);
  EXPECT_DOUBLE_EQ(learning_rate_at(5, 100, 2), 2);
  EXPECT_DOUBLE_EQ(learning_rate_at(52, 100, 2), 1 + std::cos(std::acos(-1.0) * 47 / 95));
  EXPECT_LT(learning_rate_at(99, 100, 2), 0.002);
  EXPECT_GT(learning_rate_at(99, 100, 2), 0);
  for (std::int64_t step = 5; step < 99; ++step) {
    EXPECT_GT(learning_rate_at(step, 100, 2), learning_rate_at(step + 1, 100, 2));
  }
  EXPECT_DOUBLE_EQ(learning_rate_at(0, 1, 2), 2);  // a single step is taken in full
}

// The order is part of what a seed means: it must not change with the platform or a release.
TEST(ShuffledIndices, AreThoseOfTheirSeedAndEpoch) {
  EXPECT_EQ(shuffled_indices(8, 1, 0), shuffled_indices(8, 1, 0));
  EXPECT_NE(shuffled_indices(8, 1, 0), shuffled_indices(8, 1, 1));
  EXPECT_NE(shuffled_indices(8, 1, 0), shuffled_indices(8, 2, 0));
  EXPECT_NE(shuffled_indices(8, 1, 1), shuffled_indices(8, 2, 0));
  EXPECT_TRUE(shuffled_indices(0, 1, 0).empty());
  EXPECT_EQ(shuffled_indices(1, 1, 0), std::vector<std::int64_t>{0});
}

TEST(ShuffledIndices, LeaveNoPlaceFavoured) {
  // Where 0 lands in 4,000 orders of 4: 1,000 times each, give or take 5 deviations of 27.
  std::vector<int> landed(4, 0);
  for (std::int64_t epoch = 0; epoch < 4000; ++epoch) {
    const auto order = shuffled_indices(4, 9, epoch);
    ++landed[static_cast<std::size_t>(std::find(order.begin(), order.end(), 0) - order.begin())];
  }
  for (const int count : landed) EXPECT_NEAR(count, 1000, 137);
}

}  // namespace
}  // namespace memattn
