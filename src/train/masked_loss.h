// Mean losses of the forecast errors that count.
#pragma once

#include <cstdint>
#include <span>

#include "memattn/error_loss.h"

namespace memattn {

struct MaskedLoss {
  ErrorLoss kind = ErrorLoss::kMae;
  double parameter = 1.0;  // delta of kHuber, q of kPinball; the others ignore it

  // Returns the mean loss over the errors with counts[i] != 0, or 0 when there are none, and
  // overwrites grad_errors with its gradient, which is 0 where counts[i] == 0. An error that does
  // not count may be NaN. Throws std::invalid_argument, before anything is written, when the
  // lengths differ, `kind` is not an ErrorLoss, delta is not positive or q not in (0, 1).
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
