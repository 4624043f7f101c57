// Features of windows, in float64 until the last conversion.
#include "forecast/origin_windows.h"

#include <algorithm>
#include <cmath>

#include "forecast/past_seasons.h"

namespace memattn {
namespace {

constexpr double kLargestFeature = 10.0;

// Added to the mean |difference| of a window, in units of the series: a window that stands still
// for once would blow up whatever follows.
constexpr double kSmallestScale = 0.005, kSmallestAdditiveScale = 0.1;

// Bring the logarithms of a usual scale and of a usual length near 0.
constexpr double kUsualLogScale = -2.5, kUsualLength = 50.0;

double bounded(double value) { return std::clamp(value, -kLargestFeature, kLargestFeature); }

// Space for one window, in float64.
struct Workspace {
  std::vector<double> index;     // by phase
  std::vector<double> adjusted;  // w: the values of the window less their season
};

template <typename T>
void make_window(const PanelSeries& series, const WindowShape& shape, std::int64_t time,
                 Workspace& work, T* features, double* baseline, double& scale, double& unit) {
  const auto phase = [&](std::int64_t i) { return static_cast<std::size_t>(i % shape.season); };
  const std::int64_t known = std::min(time, shape.lookback), first = time - known;
  work.index.resize(static_cast<std::size_t>(shape.season));
  series.seasonality.index(time, work.index);
  work.adjusted.resize(static_cast<std::size_t>(known));
  double* w = work.adjusted.data();
  for (std::int64_t i = 0; i < known; ++i) {
    w[i] = series.values[static_cast<std::size_t>(first + i)] - work.index[phase(first + i)];
  }
  const double level = w[known - 1];
  double difference = 0;
  for (std::int64_t i = 1; i < known; ++i) difference += std::abs(w[i] - w[i - 1]);
  if (known > 1) difference /= static_cast<double>(known - 1);
  unit = series.unit(time);
  scale = difference + unit * (series.log_domain ? kSmallestScale : kSmallestAdditiveScale);
  for (std::int64_t k = 0; k < shape.horizon; ++k) {
    baseline[k] = level + work.index[phase(time + k)];
  }

  const double factor = scale > 0 ? 1 / scale : 0.0;
  T* out = features;
  const auto put = [&](double value) { *out++ = static_cast<T>(value); };
  // A history shorter than the window stands still before it begins.
  for (std::int64_t i = known - shape.lookback; i < known - 1; ++i) {
    put(bounded((w[std::max<std::int64_t>(i, 0)] - level) * factor));
  }
  if (shape.season > 1) {
    for (std::int64_t k = 0; k < shape.season; ++k) {
      put(bounded(work.index[phase(time + k)] * factor));
    }
    put(series.seasonality.seasonal(time) ? 1.0 : 0.0);
  }
  put(scale > 0
          ? bounded(series.log_domain ? std::log(scale) - kUsualLogScale : std::log(scale / unit))
          : 0.0);
  put(std::log(static_cast<double>(time) / kUsualLength));
}

}  // namespace

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
  windows.skip.resize(origins.size() * skip);
  windows.seasons.resize(origins.size() * size);
  Workspace work;
  for (std::size_t n = 0; n < origins.size(); ++n) {
    if (shape.past_seasons()) {
      make_past_seasons<T>(
          panel.at(origins[n]), shape, origins[n].time, work.adjusted,
          {windows.features.data() + n * width, windows.skip.data() + n * skip,
           windows.seasons.data() + n * size, windows.baseline.data() + n * horizon,
           windows.scale[n], windows.unit[n]});
      continue;
    }
    make_window(panel.at(origins[n]), shape, origins[n].time, work,
                windows.features.data() + n * width, windows.baseline.data() + n * horizon,
                windows.scale[n], windows.unit[n]);
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
      targets.targets[place] = static_cast<T>((truth - windows.baseline[place]) / unit);
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
