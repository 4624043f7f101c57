// Losses over flat buffers: the mean over all elements, and its gradient beside it.
#pragma once

#include <span>

namespace memattn {

// mean (p - t)^2, summed in double in the order of the elements. For T = float or double.
template <typename T>
double mean_squared_error(std::span<const T> predictions, std::span<const T> targets);
template <typename T>
void mean_squared_error_backward(std::span<const T> predictions, std::span<const T> targets,
                                 std::span<T> grad_predictions);

// mean of, with e = p - t: e^2 / 2 where |e| <= delta, and delta (|e| - delta / 2) beyond, where
// one wild target pulls with delta and no more. Huber 1964; keras.losses.Huber.
template <typename T>
double huber(std::span<const T> predictions, std::span<const T> targets, double delta);
template <typename T>
void huber_backward(std::span<const T> predictions, std::span<const T> targets, double delta,
                    std::span<T> grad_predictions);

// All of them throw std::invalid_argument when the lengths differ or are 0, and huber when delta is
// not positive. NaN in gives NaN out.

}  // namespace memattn
