// The training loop: epochs of shuffled batches, a learning rate that warms up and fades, a limit
// on the gradient's norm, AdamW. It sees flat buffers of floats and knows no model.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace memattn {

// What is trained. Examples are numbered 0 .. count - 1.
class Objective {
 public:
  virtual ~Objective() = default;

  virtual std::int64_t count_params() const = 0;
  // The mean loss over these examples, and its gradients (count_params()).
  virtual double evaluate(std::span<const std::int64_t> examples, std::span<float> gradients) = 0;
  // Lets `edit` change the flat parameters in place.
  virtual void update(const std::function<void(std::span<float> parameters)>& edit) = 0;

 protected:
  Objective() = default;
  Objective(const Objective&) = default;
  Objective& operator=(const Objective&) = default;
};

struct TrainingOptions {
  std::int64_t epochs = 1;      // passes over all examples
  std::int64_t batch_size = 1;  // examples a step; the last step of an epoch takes what is left
  double learning_rate = 1e-3;  // at its highest: see learning_rate_at
  double weight_decay = 0;
  double clip_norm = 1;
  std::uint64_t seed = 0;  // of the order of the examples
};

struct TrainingProgress {
  std::int64_t step = 0;   // steps done
  std::int64_t steps = 0;  // steps in all
  double loss = 0;         // of the latest step's batch, before that step
};

// The learning rate of step 0 .. steps - 1: up to `peak` in a line over the first 5 % of the steps,
// then down to 0 along half a cosine.
double learning_rate_at(std::int64_t step, std::int64_t steps, double peak);

// 0 .. count - 1 in an order drawn from (seed, epoch), the same on every platform.
std::vector<std::int64_t> shuffled_indices(std::int64_t count, std::uint64_t seed,
                                           std::int64_t epoch);

// Runs all steps, and calls `progress` after each; false from it ends the loop there, and the
// result is false. What evaluate, update or progress throw passes through between two steps, so
// the parameters are those of the last whole step.
// Throws std::invalid_argument, before anything is changed, when there is no example or an option
// cannot be.
bool train(Objective& objective, std::int64_t examples, const TrainingOptions& options,
           const std::function<bool(const TrainingProgress&)>& progress = {});

}  // namespace memattn
