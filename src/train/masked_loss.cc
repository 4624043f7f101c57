// The losses of single errors and their slopes.
#include "train/masked_loss.h"

#include <algorithm>
#include <cmath>

#include "check.h"

namespace memattn {
namespace {

template <typename T>
struct ValueAndSlope {
  T value;
  T slope;
};

template <typename T>
T sign(T e) {
  return e > 0 ? T(1) : e < 0 ? T(-1) : e;  // NaN stays
}

template <typename T>
ValueAndSlope<T> smape(T e, T) {
  const T t = std::tanh(std::abs(e) / 2);
  return {2 * t, sign(e) * (1 - t * t)};
}

template <typename T>
ValueAndSlope<T> mae(T e, T) {
  return {std::abs(e), sign(e)};
}

template <typename T>
ValueAndSlope<T> huber(T e, T delta) {
  const T clamped = std::clamp(e, -delta, delta);
  return {clamped * (e - clamped / 2), clamped};
}

template <typename T>
ValueAndSlope<T> pinball(T e, T q) {
  const T slope = e > 0 ? 1 - q : e < 0 ? -q : e;
  return {slope * e, slope};
}

template <typename T, typename Loss>
double mean(std::span<const T> errors, std::span<const std::uint8_t> counts, T parameter, Loss loss,
            std::span<T> grad_errors) {
  const auto counted = std::ranges::count_if(counts, [](std::uint8_t c) { return c != 0; });
  const double share = counted > 0 ? 1 / static_cast<double>(counted) : 0.0;
  double sum = 0;
  for (std::size_t i = 0; i < errors.size(); ++i) {
    if (counts[i] == 0) {
      grad_errors[i] = 0;
      continue;
    }
    const auto [value, slope] = loss(errors[i], parameter);
    sum += static_cast<double>(value);
    grad_errors[i] = static_cast<T>(share) * slope;
  }
  return sum * share;
}

}  // namespace

template <typename T>
double MaskedLoss::operator()(std::span<const T> errors, std::span<const std::uint8_t> counts,
                              std::span<T> grad_errors) const {
  if (counts.size() != errors.size() || grad_errors.size() != errors.size()) {
    fail_argument("MaskedLoss", "counts, grad_errors",
                  concat(counts.size(), " and ", grad_errors.size(), " values"),
                  concat(errors.size(), " values each, as many as errors"));
  }
  // Checked as a double: a number too large would not fit a T.
  switch (kind) {
    case ErrorLoss::kSmape:
      return mean(errors, counts, T(0), smape<T>, grad_errors);
    case ErrorLoss::kMae:
      return mean(errors, counts, T(0), mae<T>, grad_errors);
    case ErrorLoss::kHuber:
      check_positive("MaskedLoss", "parameter (delta)", parameter);
      return mean(errors, counts, static_cast<T>(parameter), huber<T>, grad_errors);
    case ErrorLoss::kPinball:
      if (!(parameter > 0 && parameter < 1)) {
        fail_argument("MaskedLoss", "parameter (q)", parameter, "a number in (0, 1)");
      }
      return mean(errors, counts, static_cast<T>(parameter), pinball<T>, grad_errors);
  }
  fail_argument("MaskedLoss", "kind", static_cast<int>(kind), "one of ErrorLoss");
}

template double MaskedLoss::operator()<float>(std::span<const float>, std::span<const std::uint8_t>,
                                              std::span<float>) const;
template double MaskedLoss::operator()<double>(std::span<const double>,
                                               std::span<const std::uint8_t>,
                                               std::span<double>) const;

}  // namespace memattn
