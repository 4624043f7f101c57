// Fills one row of inputs and of targets for each origin.
#include "forecast/origin_windows.h"

#include <algorithm>

#include "forecast/covariates.h"
#include "forecast/last_values.h"
#include "forecast/past_seasons.h"

namespace memattn {

template <typename T>
void make_windows(const Panel& panel, const WindowShape& shape, std::span<const Origin> origins,
                  OriginWindows<T>& windows) {
  const auto width = static_cast<std::size_t>(shape.features());
  const auto horizon = static_cast<std::size_t>(shape.horizon);
  windows.features.resize(origins.size() * width);
  windows.baseline.resize(origins.size() * horizon);
  windows.scale.resize(origins.size());
  windows.unit.resize(origins.size());
  const auto skip = static_cast<std::size_t>(shape.past_seasons() ? shape.skip_features() : 0);
  const auto size = static_cast<std::size_t>(shape.seasons() * shape.season);
  const auto covariates = static_cast<std::size_t>(shape.covariate_features());
  windows.skip.resize(origins.size() * skip);
  windows.seasons.resize(origins.size() * size);
  LastValuesScratch scratch;
  std::vector<double> window;
  for (std::size_t n = 0; n < origins.size(); ++n) {
    const PanelSeries& series = panel.at(origins[n]);
    T* const features = windows.features.data() + n * width;
    double* const baseline = windows.baseline.data() + n * horizon;
    if (covariates > 0) {
      T* const place = features + width - covariates;
      put_covariates<T>(series, shape, origins[n].time, place);
      if (shape.past_seasons()) {
        std::copy_n(place, covariates, windows.skip.data() + (n + 1) * skip - covariates);
      }
    }
    if (shape.past_seasons()) {
      make_past_seasons<T>(
          series, shape, origins[n].time, window,
          {features, windows.skip.data() + n * skip, windows.seasons.data() + n * size, baseline,
           windows.scale[n], windows.unit[n]});
    } else {
      make_last_values<T>(series, shape, origins[n].time, scratch,
                          {features, baseline, windows.scale[n], windows.unit[n]});
    }
  }
}

template <typename T>
void make_targets(const Panel& panel, std::int64_t horizon, std::span<const Origin> origins,
                  const OriginWindows<T>& windows, OriginTargets<T>& targets) {
  const std::size_t size = origins.size() * static_cast<std::size_t>(horizon);
  targets.targets.assign(size, T(0));
  targets.slope.assign(origins.size(), T(0));
  targets.counts.assign(size, 0);
  for (std::size_t n = 0; n < origins.size(); ++n) {
    const PanelSeries& series = panel.at(origins[n]);
    const double unit = windows.unit[n];
    if (!(unit > 0)) continue;
    targets.slope[n] = static_cast<T>(windows.scale[n] / unit);
    const std::int64_t known = std::min(horizon, series.size() - origins[n].time);
    for (std::int64_t k = 0; k < known; ++k) {
      const auto place = n * static_cast<std::size_t>(horizon) + static_cast<std::size_t>(k);
      const double truth = series.values[static_cast<std::size_t>(origins[n].time + k)];
      targets.targets[place] = static_cast<T>(
          std::clamp((truth - windows.baseline[place]) / unit, -kLargestTarget, kLargestTarget));
      targets.counts[place] = 1;
    }
  }
}

template void make_windows<float>(const Panel&, const WindowShape&, std::span<const Origin>,
                                  OriginWindows<float>&);
template void make_windows<double>(const Panel&, const WindowShape&, std::span<const Origin>,
                                   OriginWindows<double>&);
template void make_targets<float>(const Panel&, std::int64_t, std::span<const Origin>,
                                  const OriginWindows<float>&, OriginTargets<float>&);
template void make_targets<double>(const Panel&, std::int64_t, std::span<const Origin>,
                                   const OriginWindows<double>&, OriginTargets<double>&);

}  // namespace memattn
