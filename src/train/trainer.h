// One model's way through training, a step at a time: schedule, clipping, AdamW, and the average of
// its weights. It sees flat buffers of floats and knows no model; whoever drives it may stop
// between any two steps.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "memattn/optimizers.h"

namespace memattn {

struct TrainerOptions {
  std::int64_t steps = 1;
  std::int64_t warm_up = 0;     // steps; at most half of all are taken
  double learning_rate = 1e-3;  // at its highest
  double weight_decay = 0;
  double clip_norm = 1;
  double average_decay = 0;  // of the moving average of the weights; 0: the last weights count
};

// The learning rate of step 0 .. steps - 1: up in a line over the warm-up, then down to 0 along
// half a cosine.
double scheduled_rate(std::int64_t step, const TrainerOptions& options);

class Trainer {
 public:
  // Throws std::invalid_argument when an option cannot be.
  explicit Trainer(const TrainerOptions& options);

  std::int64_t steps_done() const { return optimizer_.iterations(); }
  bool done() const { return steps_done() >= options_.steps; }

  // Clips the gradients in place and takes a step with them.
  void step(std::span<float> parameters, std::span<float> gradients);

  // With average_decay: replaces the parameters by their average over the steps taken, of which
  // early ones count the less, decay^age, weights of sum 1.
  void finish(std::span<float> parameters) const;

  // What the next steps depend on beside the parameters, P of them: Adam's mean and square (P) and,
  // with average_decay, the sum of the average (P), one after the other; zeros before a step.
  std::vector<float> state(std::size_t size) const;
  // Takes the place of a trainer with the same options after `steps_done` steps. Throws
  // std::invalid_argument, before anything is changed, when there cannot be such a state.
  void restore(std::int64_t steps_done, std::span<const float> state);

 private:
  std::size_t state_parts() const { return options_.average_decay > 0 ? 3 : 2; }

  TrainerOptions options_;
  AdamW<float> optimizer_;
  std::vector<float> average_;  // of sum 1 - decay^steps
};

}  // namespace memattn
