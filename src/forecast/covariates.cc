// Copies rows of covariates from the caller's table into a window.
#include "forecast/covariates.h"

#include <algorithm>

namespace memattn {

template <typename T>
void put_covariates(const PanelSeries& series, const WindowShape& shape, std::int64_t time,
                    T* out) {
  constexpr auto kLargest = static_cast<float>(kLargestFeature);
  for (const CovariateBlock& block : shape.blocks) {
    for (std::int64_t i = 0; i < block.rows; ++i) {
      const std::int64_t row = std::max<std::int64_t>(time + block.first_row + i, 0);
      const float* const values =
          series.covariates.data() + row * shape.covariates + block.first_column;
      out = std::transform(values, values + block.columns, out, [&](float value) {
        return static_cast<T>(std::clamp(value, -kLargest, kLargest));
      });
    }
  }
}

template void put_covariates<float>(const PanelSeries&, const WindowShape&, std::int64_t, float*);
template void put_covariates<double>(const PanelSeries&, const WindowShape&, std::int64_t, double*);

}  // namespace memattn
