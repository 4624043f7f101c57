// Computes the inputs of windows of past seasons, in float64 up to the final conversion.
#include "forecast/past_seasons.h"

#include <algorithm>
#include <span>

namespace memattn {
namespace {

double mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

}  // namespace

template <typename T>
void make_past_seasons(const PanelSeries& series, const WindowShape& shape, std::int64_t time,
                       std::vector<double>& window, const PastSeasonsRow<T>& row) {
  const std::int64_t season = shape.season, seasons = shape.seasons(), size = seasons * season;
  window.resize(static_cast<std::size_t>(size));
  double* const x = window.data();
  for (std::int64_t i = 0; i < size; ++i) {
    std::int64_t place = time - size + i;
    if (place < 0) {
      // Before the history: the earliest value of the same phase, or the first value if there is
      // none.
      place = (place % season + season) % season;
      if (place >= time) place = 0;
    }
    x[i] = series.values[static_cast<std::size_t>(place)];
  }
  const auto values = [&](std::int64_t first, std::int64_t count) {
    return std::span<const double>(x + first, static_cast<std::size_t>(count));
  };
  const double level = mean(values(size - season, season));
  row.unit = series.unit(time);
  row.scale = series.spread(time);

  // Returns the mean of a phase over all seasons, relative to the level.
  const auto phase_mean = [&](std::int64_t phase) {
    double sum = 0;
    for (std::int64_t i = phase; i < size; i += season) sum += x[i] - level;
    return sum / static_cast<double>(seasons);
  };
  for (std::int64_t k = 0; k < shape.horizon; ++k) {
    row.baseline[k] = level + phase_mean(k % season);
  }

  const auto scaled = [&](double value) {
    if (!(row.scale > 0)) return T(0);
    return static_cast<T>(std::clamp(value / row.scale, -kLargestFeature, kLargestFeature));
  };
  for (std::int64_t i = 0; i < size; ++i) row.seasons[i] = scaled(x[i] - level);
  T *features = row.features, *skip = row.skip;
  for (std::int64_t p = 0; p < seasons; ++p) {
    *features++ = *skip++ = scaled(mean(values(p * season, season)) - level);
  }
  const T* const end = row.seasons + size;
  features = std::copy(end - std::min<std::int64_t>(seasons, 2) * season, end, features);
  std::copy(end - std::min<std::int64_t>(seasons, 3) * season, end, skip);
  for (std::int64_t phase = 0; phase < season; ++phase) *features++ = scaled(phase_mean(phase));
}

template void make_past_seasons<float>(const PanelSeries&, const WindowShape&, std::int64_t,
                                       std::vector<double>&, const PastSeasonsRow<float>&);
template void make_past_seasons<double>(const PanelSeries&, const WindowShape&, std::int64_t,
                                        std::vector<double>&, const PastSeasonsRow<double>&);

}  // namespace memattn
