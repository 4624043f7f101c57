// The training loop: shuffle, schedule, clip, step, tell.
#include "train/training_loop.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string_view>
#include <utility>

#include "check.h"
#include "kernels/random.h"
#include "memattn/optimizers.h"
#include "train/trainer.h"

namespace memattn {
namespace {

void check_at_least_1(std::string_view argument, std::int64_t value) {
  if (value < 1) fail_argument("train", argument, value, "at least 1");
}

}  // namespace

double learning_rate_at(std::int64_t step, std::int64_t steps, double peak) {
  return scheduled_rate(
      step,
      {.steps = steps, .warm_up = std::max<std::int64_t>(1, steps / 20), .learning_rate = peak});
}

std::vector<std::int64_t> shuffled_indices(std::int64_t count, std::uint64_t seed,
                                           std::int64_t epoch) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  // Fisher and Yates, by our own random numbers: those of the standard differ between libraries.
  // The bias of % is below count / 2^64.
  const std::uint64_t key = kernels::mix(seed, static_cast<std::uint64_t>(epoch));
  for (std::size_t i = indices.size(); i > 1; --i) {
    std::swap(indices[i - 1], indices[static_cast<std::size_t>(kernels::mix(key, i) % i)]);
  }
  return indices;
}

bool train(Objective& objective, std::int64_t examples, const TrainingOptions& options,
           const std::function<bool(const TrainingProgress&)>& progress) {
  check_at_least_1("examples", examples);
  check_at_least_1("epochs", options.epochs);
  check_at_least_1("batch_size", options.batch_size);
  if (!(options.clip_norm > 0)) {
    fail_argument("train", "clip_norm", options.clip_norm, "a positive number");
  }
  const std::int64_t batch_size = std::min(options.batch_size, examples);
  const std::int64_t steps_per_epoch = (examples - 1) / batch_size + 1;
  if (options.epochs > std::numeric_limits<std::int64_t>::max() / steps_per_epoch) {
    fail_argument("train", "epochs", options.epochs, "a number of steps below 2^63");
  }
  AdamW<float> optimizer(
      {.learning_rate = options.learning_rate, .weight_decay = options.weight_decay});
  std::vector<float> gradients(static_cast<std::size_t>(objective.count_params()));

  TrainingProgress done{.steps = options.epochs * steps_per_epoch};
  for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    const std::vector<std::int64_t> order = shuffled_indices(examples, options.seed, epoch);
    for (std::int64_t first = 0; first < examples; first += batch_size) {
      const auto batch = std::span(order).subspan(
          static_cast<std::size_t>(first),
          static_cast<std::size_t>(std::min(batch_size, examples - first)));
      done.loss = objective.evaluate(batch, gradients);
      clip_by_global_norm<float>(gradients, options.clip_norm);
      optimizer.set_learning_rate(learning_rate_at(done.step, done.steps, options.learning_rate));
      objective.update([&](std::span<float> parameters) { optimizer.step(parameters, gradients); });
      ++done.step;
      if (progress && !progress(done)) return false;
    }
  }
  return true;
}

}  // namespace memattn
