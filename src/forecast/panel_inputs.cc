// Refuses what no forecast can be made from, before anything is computed.
#include "forecast/panel_inputs.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "check.h"

namespace memattn {
namespace {

// Differences and sums of such values, and products of two of them, are finite.
constexpr double kLargestValue = 1e150;

}  // namespace

void check_series(std::string_view function, const SeriesView& series) {
  const auto size = static_cast<std::int64_t>(series.values.size());
  const std::span<const std::int64_t> offsets = series.offsets;
  if (offsets.empty() || offsets.front() != 0 || offsets.back() != size) {
    fail_argument(
        function, "offsets",
        offsets.empty() ? std::string("none") : concat(offsets.front(), " to ", offsets.back()),
        concat("numbers from 0 to ", size, ", the number of values"));
  }
  for (std::size_t i = 1; i < offsets.size(); ++i) {
    if (offsets[i] < offsets[i - 1] || offsets[i] > size) {
      fail_argument(function, concat("offsets[", i, "]"), offsets[i],
                    concat("a number from ", offsets[i - 1], " to ", size));
    }
  }
  for (std::size_t i = 0; i < series.values.size(); ++i) {
    if (!(std::abs(series.values[i]) <= kLargestValue)) {
      fail_argument(function, concat("values[", i, "]"), series.values[i],
                    concat("a finite number, at most ", kLargestValue, " in size"));
    }
  }
}

void check_origins(std::string_view function, const SeriesView& series,
                   const OriginsView& origins) {
  check_series(function, series);
  const auto count = static_cast<std::int64_t>(series.offsets.size()) - 1;
  if (origins.times.size() != origins.series.size()) {
    fail_argument(function, "times", concat(origins.times.size(), " values"),
                  concat(origins.series.size(), " values, as many as series"));
  }
  for (std::size_t i = 0; i < origins.series.size(); ++i) {
    const std::int64_t which = origins.series[i], time = origins.times[i];
    if (which < 0 || which >= count) {
      fail_argument(function, concat("series[", i, "]"), which,
                    concat("a number from 0 to ", count - 1));
    }
    const auto place = static_cast<std::size_t>(which);
    const std::int64_t length = series.offsets[place + 1] - series.offsets[place];
    if (time < 1 || time > length) {
      fail_argument(function, concat("times[", i, "]"), time,
                    concat("a number from 1 to ", length, ", the length of series ", which));
    }
  }
}

PanelAtOrigins prepare_origins(const SeriesView& series, const OriginsView& origins,
                               const PanelRules& rules, const std::function<void()>& poll) {
  std::vector<std::int64_t> places(series.offsets.size() - 1, -1);  // in `needed`
  std::vector<RawSeries> needed;
  std::vector<Origin> placed;
  placed.reserve(origins.series.size());
  for (std::size_t i = 0; i < origins.series.size(); ++i) {
    const auto which = static_cast<std::size_t>(origins.series[i]);
    if (places[which] < 0) {
      const std::int64_t first = series.offsets[which], end = series.offsets[which + 1];
      places[which] = static_cast<std::int64_t>(needed.size());
      needed.push_back({series.values.subspan(static_cast<std::size_t>(first),
                                              static_cast<std::size_t>(end - first)),
                        origins.times[i]});
    }
    RawSeries& raw = needed[static_cast<std::size_t>(places[which])];
    raw.first_time = std::min(raw.first_time, origins.times[i]);
    placed.push_back({places[which], origins.times[i]});
  }
  return {Panel(needed, rules, poll), std::move(placed)};
}

}  // namespace memattn
