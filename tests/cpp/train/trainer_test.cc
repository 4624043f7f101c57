// The schedule, clipping, and the average of the weights.
#include "train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "testing/arrays.h"

namespace memattn {
namespace {

TEST(ScheduledRate, RisesInTheWarmUpAndFallsToZero) {
  const TrainerOptions options{.steps = 30, .warm_up = 10, .learning_rate = 2};
  EXPECT_EQ(scheduled_rate(0, options), 0.2);
  EXPECT_EQ(scheduled_rate(9, options), 2);
  EXPECT_EQ(scheduled_rate(10, options), 2);
  EXPECT_NEAR(scheduled_rate(20, options), 1, 1e-15);
  EXPECT_LT(scheduled_rate(29, options), 0.02);
  EXPECT_GT(scheduled_rate(29, options), 0);
  // A warm-up that would take all steps takes half of them.
  EXPECT_EQ(scheduled_rate(1, {.steps = 4, .warm_up = 100, .learning_rate = 2}), 2);
}

TEST(Trainer, EqualsAdamWOnClippedGradients) {
  const TrainerOptions options{
      .steps = 3, .warm_up = 1, .learning_rate = 0.1, .weight_decay = 0.2, .clip_norm = 0.5};
  Trainer trainer(options);
  AdamW<float> optimizer({.learning_rate = 0.1, .weight_decay = 0.2});
  std::vector<float> found = {1, -2}, expected = found;
  for (std::int64_t step = 0; step < 3; ++step) {
    EXPECT_FALSE(trainer.done());
    std::vector<float> gradients = {3.0f + static_cast<float>(step), 4}, clipped = gradients;
    clip_by_global_norm(clipped, 0.5);
    optimizer.set_learning_rate(scheduled_rate(step, options));
    optimizer.step(expected, clipped);
    trainer.step(found, gradients);
    EXPECT_EQ(found, expected);
  }
  EXPECT_TRUE(trainer.done());
  trainer.finish(found);
  EXPECT_EQ(found, expected);
}

TEST(Trainer, AverageEqualsItsDefinition) {
  Trainer trainer({.steps = 4, .learning_rate = 0.1, .average_decay = 0.7});
  std::vector<float> weights = {1};
  double sum = 0, shares = 0;
  for (int step = 0; step < 4; ++step) {
    std::vector<float> gradients = {step % 2 == 0 ? 1.0f : -3.0f};
    trainer.step(weights, gradients);
    sum = 0.7 * sum + static_cast<double>(weights[0]);
    shares = 0.7 * shares + 1;
  }
  trainer.finish(weights);
  EXPECT_NEAR(weights[0], sum / shares, 1e-6);
}

TEST(Trainer, InvalidOptionsAreRefused) {
  const auto refused = [](const char* name, auto field, auto... bad) {
    const auto check = [&](auto value) {
      TrainerOptions options;
      options.*field = value;
      const std::string message = testing::message_of([&] { Trainer trainer(options); });
      EXPECT_TRUE(message.starts_with(concat("TrainerOptions: ", name, ": found ", value)))
          << message;
    };
    (check(bad), ...);
  };
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
  refused("steps", &TrainerOptions::steps, std::int64_t{0}, std::int64_t{-1}, kLowest);
  refused("warm_up", &TrainerOptions::warm_up, std::int64_t{-1}, kLowest);
  refused("learning_rate", &TrainerOptions::learning_rate, -1.0, kNan, kInfinity, 1e39);
  refused("weight_decay", &TrainerOptions::weight_decay, -1.0, kNan, kInfinity, 1e39);
  refused("clip_norm", &TrainerOptions::clip_norm, 0.0, -1.0, kNan, kInfinity);
  refused("average_decay", &TrainerOptions::average_decay, 1.0, -0.1, kNan, kInfinity);
}

}  // namespace
}  // namespace memattn
