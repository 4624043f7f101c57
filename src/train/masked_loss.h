// Losses of forecasts by their errors, forecast less truth, with elements that do not count.
#pragma once

#include <cstdint>
#include <span>

namespace memattn {

enum class ErrorLoss {
  kSmape,    // 2 tanh(|e| / 2): of an error of logarithms, sMAPE / 100 exactly
  kMae,      // |e|
  kHuber,    // e^2 / 2 up to |e| = delta, delta (|e| - delta / 2) beyond
  kPinball,  // (1 - q) e for e > 0, -q e for e < 0: least at quantile q
};

struct MaskedLoss {
  ErrorLoss kind = ErrorLoss::kMae;
  double parameter = 1.0;  // delta of kHuber, q of kPinball

  // The mean loss over the elements that count, counts[i] != 0, and its gradient; 0 when none does.
  // What stands where nothing counts, even NaN, reaches neither. Throws std::invalid_argument when
  // the lengths differ.
  template <typename T>
  double operator()(std::span<const T> errors, std::span<const std::uint8_t> counts,
                    std::span<T> grad_errors) const;
};

extern template double MaskedLoss::operator()<float>(std::span<const float>,
                                                     std::span<const std::uint8_t>,
                                                     std::span<float>) const;
extern template double MaskedLoss::operator()<double>(std::span<const double>,
                                                      std::span<const std::uint8_t>,
                                                      std::span<double>) const;

}  // namespace memattn
