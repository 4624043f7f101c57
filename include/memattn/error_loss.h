// The losses that a forecaster can be trained on.
#pragma once

namespace memattn {

// The loss of one error e = forecast - truth.
enum class ErrorLoss {
  kSmape,    // 2 tanh(|e| / 2): of an error of logarithms, exactly sMAPE / 100
  kMae,      // |e|
  kHuber,    // e^2 / 2 up to |e| = delta, delta (|e| - delta / 2) beyond
  kPinball,  // (1 - q) e for e > 0, -q e for e < 0: smallest at quantile q
};

}  // namespace memattn
