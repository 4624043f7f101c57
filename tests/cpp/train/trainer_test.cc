// Schedule, clipping and the average of the weights.
#include "train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <vector>

namespace memattn {
namespace {

TEST(ScheduledRate, WarmsUpAndFades) {
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

TEST(Trainer, IsAdamWOnClippedGradients) {
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

TEST(Trainer, AverageIsThatOfItsDefinition) {
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

TEST(Trainer, OptionsThatCannotBeAreRefused) {
  EXPECT_THROW(Trainer({.steps = 0}), std::invalid_argument);
  EXPECT_THROW(Trainer({.warm_up = -1}), std::invalid_argument);
  EXPECT_THROW(Trainer({.clip_norm = 0}), std::invalid_argument);
  EXPECT_THROW(Trainer({.average_decay = 1}), std::invalid_argument);
  EXPECT_THROW(Trainer({.weight_decay = -1}), std::invalid_argument);
}

}  // namespace
}  // namespace memattn
