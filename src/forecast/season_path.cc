// Plain loops over runs of one season; they take a small part of a training step.
#include "forecast/season_path.h"

#include <algorithm>

namespace memattn {
namespace {

// Calls body(first, size) for each run of outputs that begins at phase 0.
template <typename Body>
void for_each_run(const SeasonPath& path, std::int64_t outputs, Body body) {
  for (std::int64_t group = 0; group < outputs; group += path.horizon) {
    for (std::int64_t k = 0; k < path.horizon; k += path.season) {
      body(group + k, std::min(path.season, path.horizon - k));
    }
  }
}

}  // namespace

template <typename T>
void SeasonPath::forward(std::int64_t count, std::int64_t outputs, const T* values, const T* kernel,
                         T* output) const {
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t p = 0; p < seasons; ++p) {
      const T* x = values + (n * seasons + p) * season;
      for_each_run(*this, outputs, [&](std::int64_t first, std::int64_t size) {
        const T* w = kernel + p * outputs + first;
        T* out = output + n * outputs + first;
        for (std::int64_t k = 0; k < size; ++k) out[k] += x[k] * w[k];
      });
    }
  }
}

template <typename T>
void SeasonPath::backward(std::int64_t count, std::int64_t outputs, const T* values,
                          const T* grad_output, T* grad_kernel) const {
  std::fill_n(grad_kernel, seasons * outputs, T(0));
  for (std::int64_t n = 0; n < count; ++n) {
    for (std::int64_t p = 0; p < seasons; ++p) {
      const T* x = values + (n * seasons + p) * season;
      for_each_run(*this, outputs, [&](std::int64_t first, std::int64_t size) {
        const T* grad = grad_output + n * outputs + first;
        T* out = grad_kernel + p * outputs + first;
        for (std::int64_t k = 0; k < size; ++k) out[k] += x[k] * grad[k];
      });
    }
  }
}

template void SeasonPath::forward<float>(std::int64_t, std::int64_t, const float*, const float*,
                                         float*) const;
template void SeasonPath::forward<double>(std::int64_t, std::int64_t, const double*, const double*,
                                          double*) const;
template void SeasonPath::backward<float>(std::int64_t, std::int64_t, const float*, const float*,
                                          float*) const;
template void SeasonPath::backward<double>(std::int64_t, std::int64_t, const double*, const double*,
                                           double*) const;

}  // namespace memattn
