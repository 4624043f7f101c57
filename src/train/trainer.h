// Trains one model step by step: learning-rate schedule, clipping, AdamW and the moving average of
// the weights. It works on flat buffers of floats, independent of the model. Training may stop
// between any two steps and continue later.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "memattn/optimizers.h"

namespace memattn {

struct TrainerOptions {
  std::int64_t steps = 1;
  std::int64_t warm_up = 0;     // steps; at most half of `steps`
  double learning_rate = 1e-3;  // the maximum of the schedule
  double weight_decay = 0;
  double clip_norm = 1;
  double average_decay = 0;  // > 0: finish() gives a moving average of the weights
};

// Returns the learning rate of a step, 0 .. steps - 1: it rises linearly during the warm-up and
// then falls to 0 along half a cosine.
double scheduled_rate(std::int64_t step, const TrainerOptions& options);

class Trainer {
 public:
  // Throws std::invalid_argument naming the first invalid option.
  explicit Trainer(const TrainerOptions& options);

  std::int64_t steps_done() const { return optimizer_.iterations(); }
  bool done() const { return steps_done() >= options_.steps; }

  // Clips the gradients in place and takes a step with them.
  void step(std::span<float> parameters, std::span<float> gradients);

  // With average_decay, replaces the parameters by their average over the steps taken. A step that
  // lies `age` steps back has the weight decay^age, divided by the sum of these weights.
  void finish(std::span<float> parameters) const;

  // Returns everything that the next steps depend on besides the P parameters: Adam's mean (P), its
  // square (P) and, with average_decay, the sum of the average (P), in this order. All are 0 before
  // the first step.
  [[nodiscard]] std::vector<float> state(std::size_t size) const;
  // Continues from a state() after `steps_done` steps of a trainer with the same options. Throws
  // std::invalid_argument, before anything is changed, if `steps_done` is out of range or the state
  // has the wrong size or values that are not finite.
  void restore(std::int64_t steps_done, std::span<const float> state);

 private:
  std::size_t state_parts() const { return options_.average_decay > 0 ? 3 : 2; }

  TrainerOptions options_;
  AdamW<float> optimizer_;
  std::vector<float> average_;  // with weights that sum to 1 - decay^steps
};

}  // namespace memattn
