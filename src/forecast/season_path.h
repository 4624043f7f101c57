// The linear path from past seasons. The forecast of each step ahead uses only the values of its
// own phase, one per season, so each step has as many weights as there are seasons.
#pragma once

#include <cstdint>

namespace memattn {

struct SeasonPath {
  std::int64_t seasons = 0;  // P, the seasons of a window; 0: no such path
  std::int64_t season = 1;   // S, the values of a season
  std::int64_t horizon = 1;  // outputs come in groups of this size, each starting at phase 0

  // output[n, o] += sum over p of values[n, p, phase(o)] * kernel[p, o], phase(o) = o mod horizon
  // mod S.
  template <typename T>
  void forward(std::int64_t count, std::int64_t outputs,
               const T* values,  // (N, P, S)
               const T* kernel,  // (P, O)
               T* output) const;

  // grad_kernel[p, o] = sum over n of values[n, p, phase(o)] * grad_output[n, o]
  template <typename T>
  void backward(std::int64_t count, std::int64_t outputs, const T* values, const T* grad_output,
                T* grad_kernel) const;
};

}  // namespace memattn
