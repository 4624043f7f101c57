// The schedule of the learning rate and the moving average, around AdamW.
#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <string_view>
#include <utility>

#include "check.h"

namespace memattn {
namespace {

const TrainerOptions& validated(const TrainerOptions& options) {
  constexpr std::string_view kFunction = "TrainerOptions";
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  check_between(kFunction, "steps", options.steps, 1, kMost);
  check_between(kFunction, "warm_up", options.warm_up, 0, kMost);
  check_not_negative(kFunction, "learning_rate", options.learning_rate);
  check_not_negative(kFunction, "weight_decay", options.weight_decay);
  check_positive(kFunction, "clip_norm", options.clip_norm);
  check_fraction(kFunction, "average_decay", options.average_decay);
  return options;
}

}  // namespace

double scheduled_rate(std::int64_t step, const TrainerOptions& options) {
  const std::int64_t warm_up = std::min(options.warm_up, options.steps / 2);
  if (step < warm_up) {
    return options.learning_rate * static_cast<double>(step + 1) / static_cast<double>(warm_up);
  }
  const double share =
      static_cast<double>(step - warm_up) / static_cast<double>(options.steps - warm_up);
  return options.learning_rate * 0.5 * (1 + std::cos(std::numbers::pi * share));
}

Trainer::Trainer(const TrainerOptions& options)
    : options_(validated(options)),
      optimizer_({.learning_rate = options.learning_rate, .weight_decay = options.weight_decay}) {}

void Trainer::step(std::span<float> parameters, std::span<float> gradients) {
  clip_by_global_norm(gradients, options_.clip_norm);
  optimizer_.set_learning_rate(scheduled_rate(steps_done(), options_));
  optimizer_.step(parameters, gradients);
  if (options_.average_decay == 0) return;
  average_.resize(parameters.size(), 0.0f);
  const auto rate = static_cast<float>(1 - options_.average_decay);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    average_[i] += rate * (parameters[i] - average_[i]);
  }
}

void Trainer::finish(std::span<float> parameters) const {
  if (average_.empty()) return;
  const double weight = 1 - std::pow(options_.average_decay, static_cast<double>(steps_done()));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    parameters[i] = static_cast<float>(static_cast<double>(average_[i]) / weight);
  }
}

std::vector<float> Trainer::state(std::size_t size) const {
  std::vector<float> state(state_parts() * size, 0.0f);
  if (steps_done() == 0) return state;
  auto end = std::ranges::copy(optimizer_.mean(), state.begin()).out;
  end = std::ranges::copy(optimizer_.square(), end).out;
  std::ranges::copy(average_, end);
  return state;
}

void Trainer::restore(std::int64_t steps_done, std::span<const float> state) {
  if (steps_done < 0 || steps_done > options_.steps) {
    fail_argument("Trainer::restore", "steps_done", steps_done,
                  concat("a number from 0 to ", options_.steps));
  }
  if (state.size() % state_parts() != 0) {
    fail_argument("Trainer::restore", "state", concat(state.size(), " values"),
                  concat("a multiple of ", state_parts()));
  }
  const std::size_t size = state.size() / state_parts();
  for (const float value : state) {
    if (!std::isfinite(value)) fail_argument("Trainer::restore", "state", value, "finite numbers");
  }
  const std::span<const float> average = state.subspan(2 * size);
  std::vector<float> new_average(average.begin(), average.end());
  // Before the first step, zeros take the place of the moments.
  const std::size_t moment_size = steps_done == 0 ? 0 : size;
  const auto moment = [&](std::size_t part) {
    const auto begin = state.begin() + static_cast<std::ptrdiff_t>(part * size);
    return std::vector<float>(begin, begin + static_cast<std::ptrdiff_t>(moment_size));
  };
  optimizer_.restore({optimizer_.learning_rate(),
                      steps_done,
                      static_cast<std::int64_t>(moment_size),
                      {{"mean", moment(0)}, {"square", moment(1)}}});
  average_ = std::move(new_average);
}

}  // namespace memattn
