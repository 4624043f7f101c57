// Keras' optimizers, one loop over the flat buffer each. What does not depend on the element is
// computed in double for float too; the element's own arithmetic is in T, as Keras does it.
#include "memattn/optimizers.h"

#include <cmath>
#include <limits>
#include <string>
#include <string_view>

#include "check.h"

namespace memattn {
namespace {

void check_learning_rate(std::string_view function, double learning_rate) {
  if (!(std::isfinite(learning_rate) && learning_rate >= 0)) {
    fail_argument(function, "learning_rate", learning_rate, "a finite number, at least 0");
  }
}

void check_beta(std::string_view argument, double beta) {
  if (!(beta >= 0 && beta < 1)) fail_argument("Adam", argument, beta, "a number in [0, 1)");
}

template <typename T>
void check_step(std::string_view function, std::int64_t steps_before, std::size_t first_size,
                std::span<T> parameters, std::span<const T> gradients) {
  if (gradients.size() != parameters.size()) {
    fail_argument(function, "gradients", concat(gradients.size(), " values"),
                  concat(parameters.size(), " values, as many as parameters"));
  }
  if (steps_before > 0 && parameters.size() != first_size) {
    fail_argument(function, "parameters", concat(parameters.size(), " values"),
                  concat(first_size, " values, as in the first step"));
  }
}

// Keras decays before it updates, by the learning rate of the step.
template <typename T>
void decay_weights(std::span<T> parameters, double learning_rate, double weight_decay) {
  const T factor = static_cast<T>(learning_rate * weight_decay);
  for (T& w : parameters) w -= factor * w;
}

}  // namespace

template <typename T>
Optimizer<T>::Optimizer(double learning_rate) : learning_rate_(learning_rate) {}

template <typename T>
void Optimizer<T>::set_learning_rate(double learning_rate) {
  check_learning_rate("Optimizer::set_learning_rate", learning_rate);
  learning_rate_ = learning_rate;
}

template <typename T>
Sgd<T>::Sgd(const SgdOptions& options) : Optimizer<T>(options.learning_rate), options_(options) {
  check_learning_rate("Sgd", options.learning_rate);
  if (!(options.momentum >= 0 && options.momentum <= 1)) {
    fail_argument("Sgd", "momentum", options.momentum, "a number in [0, 1]");
  }
}

template <typename T>
void Sgd<T>::step(std::span<T> parameters, std::span<const T> gradients) {
  check_step("Sgd::step", this->iterations_, this->size_, parameters, gradients);
  const std::size_t size = parameters.size();
  const T rate = static_cast<T>(this->learning_rate_);
  if (options_.momentum > 0) {
    if (this->iterations_ == 0) velocity_.assign(size, T(0));
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
  this->size_ = size;
  ++this->iterations_;
}

template <typename T>
Adam<T>::Adam(const AdamOptions& options) : Optimizer<T>(options.learning_rate), options_(options) {
  check_learning_rate("Adam", options.learning_rate);
  check_beta("beta_1", options.beta_1);
  check_beta("beta_2", options.beta_2);
  // A gradient that is always 0 (the key bias) divides 0 by epsilon: it must not vanish in T.
  if (!(std::isfinite(options.epsilon) &&
        options.epsilon >= static_cast<double>(std::numeric_limits<T>::min()))) {
    fail_argument("Adam", "epsilon", options.epsilon, "a finite positive number, normal in T");
  }
  if (!(std::isfinite(options.weight_decay) && options.weight_decay >= 0)) {
    fail_argument("Adam", "weight_decay", options.weight_decay, "a finite number, at least 0");
  }
}

template <typename T>
void Adam<T>::step(std::span<T> parameters, std::span<const T> gradients) {
  check_step("Adam::step", this->iterations_, this->size_, parameters, gradients);
  const std::size_t size = parameters.size();
  if (this->iterations_ == 0) {
    mean_.assign(size, T(0));
    square_.assign(size, T(0));
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
  // Through plain pointers: the compiler vectorises the loop, which it cannot through members.
  T* const w = parameters.data();
  const T* const g = gradients.data();
  T* const m = mean_.data();
  T* const v = square_.data();
  for (std::size_t i = 0; i < size; ++i) {
    m[i] = beta_1 * m[i] + mean_rate * g[i];
    v[i] = beta_2 * v[i] + square_rate * (g[i] * g[i]);
    w[i] -= alpha * m[i] / (std::sqrt(v[i]) + epsilon);
  }
  this->size_ = size;
  ++this->iterations_;
}

template <typename T>
void Adam<T>::restore(std::int64_t iterations, std::span<const T> mean, std::span<const T> square) {
  constexpr std::string_view kFunction = "Adam::restore";
  if (iterations < 0) fail_argument(kFunction, "iterations", iterations, "at least 0");
  if (square.size() != mean.size()) {
    fail_argument(kFunction, "square", concat(square.size(), " values"),
                  concat(mean.size(), " values, as many as mean"));
  }
  for (std::size_t i = 0; i < mean.size(); ++i) {
    if (!std::isfinite(mean[i])) {
      fail_argument(kFunction, concat("mean[", i, "]"), mean[i], "a finite number");
    }
    if (!(std::isfinite(square[i]) && square[i] >= 0)) {
      fail_argument(kFunction, concat("square[", i, "]"), square[i], "a finite number, at least 0");
    }
  }
  mean_.assign(mean.begin(), mean.end());
  square_.assign(square.begin(), square.end());
  this->size_ = mean.size();
  this->iterations_ = iterations;
}

template <typename T>
AdamW<T>::AdamW(AdamOptions options) : Adam<T>(options) {}

template <typename T>
T clip_by_global_norm(std::span<T> gradients, double max_norm) {
  if (!(max_norm > 0)) {
    fail_argument("clip_by_global_norm", "max_norm", max_norm, "a positive number");
  }
  double sum = 0;
  for (const T g : gradients) sum += static_cast<double>(g) * static_cast<double>(g);
  const double norm = std::sqrt(sum);
  // A norm beyond T counts as infinite, as it would if T had summed it.
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

template class Optimizer<float>;
template class Optimizer<double>;
template class Sgd<float>;
template class Sgd<double>;
template class Adam<float>;
template class Adam<double>;
template class AdamW<float>;
template class AdamW<double>;
template float clip_by_global_norm<float>(std::span<float>, double);
template double clip_by_global_norm<double>(std::span<double>, double);

}  // namespace memattn
