// Losses and their gradients, side by side.
#include "train/loss.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "check.h"

namespace memattn {
namespace {

void check_sizes(std::string_view function, std::string_view argument, std::size_t found,
                 std::size_t predictions) {
  if (predictions == 0) fail_argument(function, "predictions", "0 values", "at least 1");
  if (found != predictions) {
    fail_argument(function, argument, concat(found, " values"),
                  concat(predictions, " values, as many as predictions"));
  }
}

void check_delta(std::string_view function, double delta) {
  if (!(delta > 0 && std::isfinite(delta))) {
    fail_argument(function, "delta", delta, "a finite positive number");
  }
}

}  // namespace

template <typename T>
double mean_squared_error(std::span<const T> predictions, std::span<const T> targets) {
  check_sizes("mean_squared_error", "targets", targets.size(), predictions.size());
  double sum = 0;
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    const double error = static_cast<double>(predictions[i] - targets[i]);
    sum += error * error;
  }
  return sum / static_cast<double>(predictions.size());
}

template <typename T>
void mean_squared_error_backward(std::span<const T> predictions, std::span<const T> targets,
                                 std::span<T> grad_predictions) {
  check_sizes("mean_squared_error_backward", "targets", targets.size(), predictions.size());
  check_sizes("mean_squared_error_backward", "grad_predictions", grad_predictions.size(),
              predictions.size());
  const T scale = static_cast<T>(2.0 / static_cast<double>(predictions.size()));
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    grad_predictions[i] = scale * (predictions[i] - targets[i]);  // sum += error * error
  }
}

template <typename T>
double huber(std::span<const T> predictions, std::span<const T> targets, double delta) {
  check_sizes("huber", "targets", targets.size(), predictions.size());
  check_delta("huber", delta);
  double sum = 0;
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    const double error = std::abs(static_cast<double>(predictions[i] - targets[i]));
    sum += error <= delta ? 0.5 * error * error : delta * (error - 0.5 * delta);
  }
  return sum / static_cast<double>(predictions.size());
}

template <typename T>
void huber_backward(std::span<const T> predictions, std::span<const T> targets, double delta,
                    std::span<T> grad_predictions) {
  check_sizes("huber_backward", "targets", targets.size(), predictions.size());
  check_sizes("huber_backward", "grad_predictions", grad_predictions.size(), predictions.size());
  check_delta("huber_backward", delta);
  const T limit = static_cast<T>(delta);
  const T scale = static_cast<T>(1.0 / static_cast<double>(predictions.size()));
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    // error^2 / 2 within delta, delta * |error| beyond; clamp hands a NaN through.
    grad_predictions[i] = scale * std::clamp(predictions[i] - targets[i], -limit, limit);
  }
}

template double mean_squared_error<float>(std::span<const float>, std::span<const float>);
template double mean_squared_error<double>(std::span<const double>, std::span<const double>);
template void mean_squared_error_backward<float>(std::span<const float>, std::span<const float>,
                                                 std::span<float>);
template void mean_squared_error_backward<double>(std::span<const double>, std::span<const double>,
                                                  std::span<double>);
template double huber<float>(std::span<const float>, std::span<const float>, double);
template double huber<double>(std::span<const double>, std::span<const double>, double);
template void huber_backward<float>(std::span<const float>, std::span<const float>, double,
                                    std::span<float>);
template void huber_backward<double>(std::span<const double>, std::span<const double>, double,
                                     std::span<double>);

}  // namespace memattn
