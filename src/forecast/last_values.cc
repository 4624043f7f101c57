// Computes the features of windows of last values, in float64 up to the final conversion.
#include "forecast/last_values.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace memattn {
namespace {

// This share of the spread of the series is added to the mean |difference| of a window. Without it,
// a window that hardly moves would inflate its features and forecasts.
constexpr double kSmallestScale = 0.1;

// They bring the logarithms of a typical scale and length near 0. In logs, scales below kSmoothest
// are all treated alike, since a network must generalise to any of them.
constexpr double kUsualLogScale = -2.5, kSmoothest = 0.005, kUsualLength = 50.0;

double bounded(double value) { return std::clamp(value, -kLargestFeature, kLargestFeature); }

// Writes the season of the next steps in units of its own mean size, and log(1 + size / scale). In
// units of the scale it would be clipped: a season that repeats closely is many times the scale.
template <typename Put>
void put_shape(std::span<const double> index, std::int64_t time, std::int64_t season, double factor,
               const Put& put) {
  double size = 0;
  for (const double value : index) size += std::abs(value);
  size /= static_cast<double>(index.size());
  const double inverse = size >= std::numeric_limits<double>::min() ? 1 / size : 0.0;
  for (std::int64_t k = 0; k < season; ++k) {
    const auto place = static_cast<std::size_t>(time + k) % index.size();
    put(bounded(index[place] * inverse));
  }
  put(bounded(std::log1p(size * factor)));
}

}  // namespace

template <typename T>
void make_last_values(const PanelSeries& series, const WindowShape& shape, std::int64_t time,
                      LastValuesScratch& scratch, const LastValuesRow<T>& row) {
  const std::int64_t period = std::max(shape.season, shape.long_season);
  const auto phase = [&](std::int64_t i) { return static_cast<std::size_t>(i % period); };
  const std::int64_t known = std::min(time, shape.lookback), first = time - known;
  std::vector<double>& index = scratch.index;
  index.resize(static_cast<std::size_t>(period));
  TwoSeasons::Found found;
  if (shape.long_season > 0) {
    found = series.two_seasons.index(time, index);
  } else {
    series.seasonality.index(time, index);
  }
  scratch.adjusted.resize(static_cast<std::size_t>(known));
  double* w = scratch.adjusted.data();
  for (std::int64_t i = 0; i < known; ++i) {
    w[i] = series.values[static_cast<std::size_t>(first + i)] - index[phase(first + i)];
  }
  const double level = w[known - 1];
  // With a long season, windows and series are measured alike: by changes over a season.
  const bool seasons = shape.long_season > 0 && time >= 3 * shape.season && known > shape.season;
  const std::int64_t lag = seasons ? shape.season : 1;
  double difference = 0;
  for (std::int64_t i = lag; i < known; ++i) difference += std::abs(w[i] - w[i - lag]);
  if (known > lag) difference /= static_cast<double>(known - lag);
  row.unit = series.unit(time);
  row.scale = difference + series.spread(time) * kSmallestScale;
  for (std::int64_t k = 0; k < shape.horizon; ++k) {
    row.baseline[k] = level + index[phase(time + k)];
  }

  // 1 / scale would overflow for a subnormal scale, so such a window counts as constant.
  const double factor = row.scale >= std::numeric_limits<double>::min() ? 1 / row.scale : 0.0;
  T* out = row.features;
  const auto put = [&](double value) { *out++ = static_cast<T>(value); };
  for (std::int64_t i = known - shape.lookback; i < known - 1; ++i) {
    put(bounded((w[std::max<std::int64_t>(i, 0)] - level) * factor));
  }
  if (shape.long_season > 0) {
    put_shape(index, time, shape.season, factor, put);
    put(found.forgets);
    put(found.long_share);
    put(found.level);
  } else if (shape.season > 1) {
    for (std::int64_t k = 0; k < shape.season; ++k) {
      put(bounded(index[phase(time + k)] * factor));
    }
    put(series.seasonality.seasonal(time) ? 1.0 : 0.0);
  }
  put(row.scale > 0
          ? bounded(series.log_domain ? std::log(std::max(row.scale, kSmoothest)) - kUsualLogScale
                                      : std::log(row.scale / row.unit))
          : 0.0);
  put(std::log(static_cast<double>(time) / kUsualLength));
}

template void make_last_values<float>(const PanelSeries&, const WindowShape&, std::int64_t,
                                      LastValuesScratch&, const LastValuesRow<float>&);
template void make_last_values<double>(const PanelSeries&, const WindowShape&, std::int64_t,
                                       LastValuesScratch&, const LastValuesRow<double>&);

}  // namespace memattn
