// Keras' optimizers, each one loop over the flat buffer. Numbers that do not depend on the element
// are computed in double, for float as well; the arithmetic of the element is in T, as in Keras.
#include "memattn/optimizers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "check.h"

namespace memattn {
namespace {

// Above this, a double no longer tells consecutive steps apart.
constexpr std::int64_t kMaxIterations = std::int64_t{1} << 53;

// A double too large for float would silently become infinite.
template <typename T>
bool is_finite_in(double value) {
  return std::abs(value) <= static_cast<double>(std::numeric_limits<T>::max());
}

template <typename T>
void check_not_negative(std::string_view function, std::string_view argument, double value) {
  if (!(is_finite_in<T>(value) && value >= 0)) {
    fail_argument(function, argument, value, "a finite number, at least 0");
  }
}

template <typename T>
const SgdOptions& checked(const SgdOptions& options) {
  check_not_negative<T>("Sgd", "learning_rate", options.learning_rate);
  if (!(options.momentum >= 0 && options.momentum <= 1)) {
    fail_argument("Sgd", "momentum", options.momentum, "a number in [0, 1]");
  }
  return options;
}

template <typename T>
const AdamOptions& checked(std::string_view kind, const AdamOptions& options) {
  const auto check_beta = [&](std::string_view argument, double beta) {
    if (!(beta >= 0 && beta < 1)) fail_argument(kind, argument, beta, "a number in [0, 1)");
  };
  check_not_negative<T>(kind, "learning_rate", options.learning_rate);
  check_beta("beta_1", options.beta_1);
  check_beta("beta_2", options.beta_2);
  // A gradient that is always 0 (the key bias) divides 0 by epsilon, so epsilon must not vanish in
  // T.
  if (!(is_finite_in<T>(options.epsilon) &&
        options.epsilon >= static_cast<double>(std::numeric_limits<T>::min()))) {
    fail_argument(kind, "epsilon", options.epsilon,
                  concat("a finite number, at least ", std::numeric_limits<T>::min()));
  }
  check_not_negative<T>(kind, "weight_decay", options.weight_decay);
  return options;
}

template <typename T>
void check_no_overlap(std::string_view function, std::span<const T> gradients,
                      std::string_view name, std::span<const T> other) {
  const std::less<const T*> before;  // defined for pointers into different arrays, unlike <
  if (before(gradients.data(), other.data() + other.size()) &&
      before(other.data(), gradients.data() + gradients.size())) {
    fail_argument(function, "gradients", concat("memory that it shares with ", name),
                  "memory of its own");
  }
}

// Keras applies the decay before the update, with the learning rate of the step.
template <typename T>
void decay_weights(std::span<T> parameters, double learning_rate, double weight_decay) {
  const T factor = static_cast<T>(learning_rate * weight_decay);
  for (T& w : parameters) w -= factor * w;
}

template <typename T>
T clip(std::span<T> gradients, double max_norm) {
  if (!(max_norm > 0)) {
    fail_argument("clip_by_global_norm", "max_norm", max_norm, "a positive number");
  }
  double sum = 0;
  for (const T g : gradients) sum += static_cast<double>(g) * static_cast<double>(g);
  const double norm = std::sqrt(sum);
  // A norm too large for T counts as infinite, as if T had summed it.
  if (!(norm <= static_cast<double>(std::numeric_limits<T>::max()))) {
    for (T& g : gradients) g = std::numeric_limits<T>::quiet_NaN();
    return std::isnan(norm) ? std::numeric_limits<T>::quiet_NaN()
                            : std::numeric_limits<T>::infinity();
  }
  if (norm > max_norm) {
    const double scale = max_norm / norm;
    for (T& g : gradients) g = static_cast<T>(scale * static_cast<double>(g));
  }
  return static_cast<T>(norm);
}

}  // namespace

template <typename T>
Optimizer<T>::Optimizer(Optimizer&& other) noexcept
    : learning_rate_(other.learning_rate_),
      iterations_(std::exchange(other.iterations_, 0)),
      size_(std::exchange(other.size_, 0)) {}

template <typename T>
Optimizer<T>& Optimizer<T>::operator=(Optimizer&& other) noexcept {
  learning_rate_ = other.learning_rate_;
  iterations_ = std::exchange(other.iterations_, 0);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

template <typename T>
void Optimizer<T>::set_learning_rate(double learning_rate) {
  check_not_negative<T>("Optimizer::set_learning_rate", "learning_rate", learning_rate);
  learning_rate_ = learning_rate;
}

template <typename T>
void Optimizer<T>::check_step(std::string_view function, std::span<const T> parameters,
                              std::span<const T> gradients) const {
  if (gradients.size() != parameters.size()) {
    fail_argument(function, "gradients", concat(gradients.size(), " values"),
                  concat(parameters.size(), " values, as many as parameters"));
  }
  if (parameters.empty()) fail_argument(function, "parameters", "0 values", "at least 1");
  if (iterations_ > 0 && parameters.size() != static_cast<std::size_t>(size_)) {
    fail_argument(function, "parameters", concat(parameters.size(), " values"),
                  concat(size_, " values, as in the first step"));
  }
  check_no_overlap(function, gradients, "parameters", parameters);
}

template <typename T>
void Optimizer<T>::check_state(std::string_view function, const OptimizerState<T>& state,
                               std::span<const std::string_view> moments) const {
  check_not_negative<T>(function, "learning_rate", state.learning_rate);
  if (state.iterations < 0 || state.iterations > kMaxIterations) {
    fail_argument(function, "iterations", state.iterations, "a number from 0 to 2^53");
  }
  if (state.iterations == 0 ? state.parameters != 0 : state.parameters < 1) {
    fail_argument(function, "parameters",
                  concat(state.parameters, " after ", state.iterations, " iterations"),
                  state.iterations == 0 ? "0 before the first step" : "at least 1");
  }
  for (const std::string_view name : moments) {
    const auto moment = state.moments.find(std::string(name));
    if (moment == state.moments.end()) {
      fail_argument(function, "moments", concat("no ", name),
                    concat("one of ", state.parameters, " values"));
    }
    if (moment->second.size() != static_cast<std::size_t>(state.parameters)) {
      fail_argument(function, name, concat(moment->second.size(), " values"),
                    concat(state.parameters, " values, as many as parameters"));
    }
  }
  for (const auto& [name, values] : state.moments) {
    if (std::ranges::find(moments, name) == moments.end()) {
      std::string expected;
      for (const std::string_view known : moments) {
        expected += concat(expected.empty() ? "only " : ", ", known);
      }
      fail_argument(function, "moments", name, expected.empty() ? "none" : expected);
    }
  }
}

template <typename T>
Sgd<T>::Sgd(const SgdOptions& options)
    : Optimizer<T>(options.learning_rate), options_(checked<T>(options)) {}

template <typename T>
void Sgd<T>::step(std::span<T> parameters, std::span<const T> gradients) {
  this->check_step("Sgd::step", parameters, gradients);
  check_no_overlap<T>("Sgd::step", gradients, "velocity", velocity_);
  const std::size_t size = parameters.size();
  const T rate = static_cast<T>(this->learning_rate_);
  if (options_.momentum > 0) {
    if (this->iterations_ == 0) velocity_ = std::vector<T>(size);
    const T momentum = static_cast<T>(options_.momentum);
    for (std::size_t i = 0; i < size; ++i) {
      const T push = rate * gradients[i];
      const T velocity = momentum * velocity_[i] - push;
      velocity_[i] = velocity;
      parameters[i] += options_.nesterov ? momentum * velocity - push : velocity;
    }
  } else {
    for (std::size_t i = 0; i < size; ++i) parameters[i] -= rate * gradients[i];
  }
  this->size_ = static_cast<std::int64_t>(size);
  ++this->iterations_;
}

template <typename T>
SgdOptions Sgd<T>::options() const {
  SgdOptions options = options_;
  options.learning_rate = this->learning_rate_;
  return options;
}

template <typename T>
OptimizerState<T> Sgd<T>::state() const {
  OptimizerState<T> state{this->learning_rate_, this->iterations_, this->size_};
  if (options_.momentum > 0) state.moments["velocity"] = velocity_;
  return state;
}

template <typename T>
void Sgd<T>::restore(OptimizerState<T> state) {
  constexpr std::array<std::string_view, 1> kMoments = {"velocity"};
  this->check_state("Sgd::restore", state,
                    std::span(kMoments).first(options_.momentum > 0 ? 1 : 0));
  if (options_.momentum > 0) velocity_ = std::move(state.moments.at("velocity"));
  this->learning_rate_ = state.learning_rate;
  this->iterations_ = state.iterations;
  this->size_ = state.parameters;
}

template <typename T>
Adam<T>::Adam(const AdamOptions& options) : Adam("Adam", options) {}

template <typename T>
Adam<T>::Adam(std::string_view kind, const AdamOptions& options)
    : Optimizer<T>(options.learning_rate), options_(checked<T>(kind, options)) {}

template <typename T>
void Adam<T>::step(std::span<T> parameters, std::span<const T> gradients) {
  this->check_step("Adam::step", parameters, gradients);
  check_no_overlap<T>("Adam::step", gradients, "mean", mean_);
  check_no_overlap<T>("Adam::step", gradients, "square", square_);
  const std::size_t size = parameters.size();
  if (this->iterations_ == 0) {
    // Both or neither, since memory may run out for the second.
    std::vector<T> mean(size), square(size);
    mean_ = std::move(mean);
    square_ = std::move(square);
  }
  const double t = static_cast<double>(this->iterations_ + 1);
  const T alpha =
      static_cast<T>(this->learning_rate_ * std::sqrt(1 - std::pow(options_.beta_2, t)) /
                     (1 - std::pow(options_.beta_1, t)));
  const T beta_1 = static_cast<T>(options_.beta_1);
  const T beta_2 = static_cast<T>(options_.beta_2);
  const T mean_rate = static_cast<T>(1 - options_.beta_1);
  const T square_rate = static_cast<T>(1 - options_.beta_2);
  const T epsilon = static_cast<T>(options_.epsilon);

  if (options_.weight_decay > 0) {
    decay_weights(parameters, this->learning_rate_, options_.weight_decay);
  }
  // Through plain pointers the compiler vectorises the loop; through members it does not.
  T* const w = parameters.data();
  const T* const g = gradients.data();
  T* const m = mean_.data();
  T* const v = square_.data();
  for (std::size_t i = 0; i < size; ++i) {
    m[i] = beta_1 * m[i] + mean_rate * g[i];
    v[i] = beta_2 * v[i] + square_rate * (g[i] * g[i]);
    w[i] -= alpha * m[i] / (std::sqrt(v[i]) + epsilon);
  }
  this->size_ = static_cast<std::int64_t>(size);
  ++this->iterations_;
}

template <typename T>
AdamOptions Adam<T>::options() const {
  AdamOptions options = options_;
  options.learning_rate = this->learning_rate_;
  return options;
}

template <typename T>
OptimizerState<T> Adam<T>::state() const {
  return {
      this->learning_rate_, this->iterations_, this->size_, {{"mean", mean_}, {"square", square_}}};
}

template <typename T>
void Adam<T>::restore(OptimizerState<T> state) {
  constexpr std::array<std::string_view, 2> kMoments = {"mean", "square"};
  this->check_state("Adam::restore", state, kMoments);
  std::vector<T>& square = state.moments.at("square");
  // NaN and infinity are allowed: gradients that are not finite lead to them.
  for (std::size_t i = 0; i < square.size(); ++i) {
    if (square[i] < 0) {
      fail_argument("Adam::restore", concat("square[", i, "]"), square[i], "at least 0");
    }
  }
  mean_ = std::move(state.moments.at("mean"));
  square_ = std::move(square);
  this->learning_rate_ = state.learning_rate;
  this->iterations_ = state.iterations;
  this->size_ = state.parameters;
}

template <typename T>
void Adam<T>::restore(std::int64_t iterations, std::span<const T> mean, std::span<const T> square) {
  restore({this->learning_rate_,
           iterations,
           static_cast<std::int64_t>(mean.size()),
           {{"mean", {mean.begin(), mean.end()}}, {"square", {square.begin(), square.end()}}}});
}

template <typename T>
AdamW<T>::AdamW(const AdamWOptions& options)
    : Adam<T>("AdamW", {.learning_rate = options.learning_rate,
                        .beta_1 = options.beta_1,
                        .beta_2 = options.beta_2,
                        .epsilon = options.epsilon,
                        .weight_decay = options.weight_decay}) {}

template <typename T>
AdamWOptions AdamW<T>::options() const {
  const AdamOptions options = Adam<T>::options();
  return {.learning_rate = options.learning_rate,
          .beta_1 = options.beta_1,
          .beta_2 = options.beta_2,
          .epsilon = options.epsilon,
          .weight_decay = options.weight_decay};
}

float clip_by_global_norm(std::span<float> gradients, double max_norm) {
  return clip(gradients, max_norm);
}
double clip_by_global_norm(std::span<double> gradients, double max_norm) {
  return clip(gradients, max_norm);
}

template class Optimizer<float>;
template class Optimizer<double>;
template class Sgd<float>;
template class Sgd<double>;
template class Adam<float>;
template class Adam<double>;
template class AdamW<float>;
template class AdamW<double>;

}  // namespace memattn
