#include "forecast/series_forecast.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "check.h"
#include "layer/checks.h"

namespace memattn {
namespace {

constexpr std::size_t kFewestValues = 3;  // with fewer, the last value is the forecast
constexpr double kFar = 10.0;  // ranges of the series: the limit of a prior's forecasts beyond it

std::vector<double> without_holes(std::span<const double> values) {
  std::vector<double> filled(values.begin(), values.end());
  fill_holes(filled);
  return filled;
}

std::string in_words(std::span<const double> levels) {
  std::string text;
  for (const double level : levels) text += (text.empty() ? "" : " or ") + to_text(level);
  return text;
}

}  // namespace

SeriesForecast::SeriesForecast(SavedNetworks saved) : saved_(std::move(saved)) {
  for (const double level : saved_.levels) reaches_.push_back(normal_reach(level));
  if (!saved_.errors) return;
  const std::int64_t places = std::max<std::int64_t>(std::ssize(saved_.levels), 1);
  for (std::int64_t place = 0; place < places; ++place) {
    const Errors errors = saved_.errors->at(place, places, saved_.horizon, saved_.season);
    for (const bool logs : {false, true}) scores_.emplace_back(errors, logs);
  }
  saved_.errors.reset();  // the scores replace them
}

bool SeriesForecast::has_intervals() const {
  const bool as_trained = !saved_.levels.empty() && (saved_.trained || saved_.uses_prior);
  return as_trained || !scores_.empty();
}

void SeriesForecast::check(std::string_view function, std::span<const double> values,
                           std::span<const double> forecasts, std::span<const double> levels,
                           std::span<const double> bounds) const {
  check_between(function, "forecasts: length", std::ssize(forecasts), 1, saved_.horizon);
  if (values.empty()) fail_argument(function, "values", "none", "at least one");
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool hole = std::isnan(values[i]) && i != 0 && i + 1 != values.size();
    if (!hole && !(std::abs(values[i]) <= kLargestValue)) {
      fail_argument(function, concat("values[", i, "]"), values[i],
                    concat("a finite number up to ", kLargestValue));
    }
  }
  for (const double level : levels) {
    if (!(level >= 1 && level < 100)) {
      fail_argument(function, "levels", level, "percents from 1 to below 100");
    }
    if (!has_intervals()) {
      fail_argument(function, "levels", level, "no levels, since this forecaster has no intervals");
    }
    if (only_trained() && std::ranges::find(saved_.levels, level) == saved_.levels.end()) {
      fail_argument(function, "levels", level,
                    concat(in_words(saved_.levels), ", the trained levels"));
    }
  }
  check_size(function, "bounds", bounds.size(), "levels * 2 * forecasts",
             {std::ssize(levels), 2, std::ssize(forecasts)});
}

std::vector<double> SeriesForecast::quantiles_of(std::span<const double> values,
                                                 const WindowDomain& domain,
                                                 std::size_t horizon) const {
  const PanelForecasterOptions& options = saved_.forecaster.options();
  const auto outputs = static_cast<std::size_t>(options.outputs());
  std::vector<double> quantiles(outputs * horizon, values.back());
  if (values.size() < kFewestValues || !(domain.roughness > 0)) {
    if (saved_.uses_prior && values.size() < kFewestValues) {
      // The error of the last value is unknown.
      const auto middle = quantiles.begin() + static_cast<std::ptrdiff_t>(outputs / 2 * horizon);
      std::fill(quantiles.begin(), middle, std::numeric_limits<double>::quiet_NaN());
      std::fill(middle + static_cast<std::ptrdiff_t>(horizon), quantiles.end(),
                std::numeric_limits<double>::quiet_NaN());
    }
    return quantiles;
  }
  std::span<const double> seen = values;
  if (saved_.rows_seen > 0 && std::ssize(seen) > saved_.rows_seen) {
    seen = seen.last(static_cast<std::size_t>(saved_.rows_seen));
  }
  const auto most = static_cast<std::size_t>(options.horizon);
  std::vector<double> found(outputs * most);
  const std::int64_t offsets[] = {0, std::ssize(seen)}, series[] = {0}, times[] = {offsets[1]};
  saved_.forecaster.predict({seen, offsets}, {series, times}, found);
  const auto [low, high] = std::ranges::minmax(values);
  const double reach = kFar * (high - low);
  for (std::size_t q = 0; q < outputs; ++q) {
    for (std::size_t k = 0; k < horizon; ++k) {
      const double one = found[q * most + k];
      quantiles[q * horizon + k] =
          saved_.uses_prior ? std::clamp(one, low - reach, high + reach) : one;
    }
  }
  return quantiles;
}

Ends SeriesForecast::ends_of(double level, std::size_t step, const WindowDomain& domain,
                             std::span<const double> quantiles) const {
  const std::size_t middle = quantiles.size() / 2;
  const std::size_t place =
      static_cast<std::size_t>(std::ranges::find(saved_.levels, level) - saved_.levels.begin());
  const std::size_t reach = saved_.levels.empty() ? 0 : place + 1;
  std::optional<double> width;
  if (!scores_.empty()) {
    const ErrorScores& scores = scores_[2 * (saved_.levels.empty() ? 0 : place) + domain.logs];
    width = scores.half_width(domain, static_cast<std::int64_t>(step), level);
  }
  return moved_ends(domain, quantiles[middle],
                    {quantiles[middle - reach], quantiles[middle + reach]}, width);
}

void SeriesForecast::put_ends(const std::vector<Wanted>& wanted, std::size_t step,
                              const WindowDomain& domain, std::span<const double> quantiles,
                              std::span<Ends> found) const {
  const double point = quantiles[quantiles.size() / 2];
  Ends inner = {point, point};
  if (!saved_.uses_prior) {
    for (const Wanted& one : wanted) {
      inner = around(inner, ends_of(one.level, step, domain, quantiles));
      found[one.place] = inner;
    }
    return;
  }
  std::vector<Ends> known;
  for (const double level : saved_.levels) {
    inner = around(inner, ends_of(level, step, domain, quantiles));
    known.push_back(inner);
  }
  for (const Wanted& one : wanted) {
    const auto trained = std::ranges::find(saved_.levels, one.level) - saved_.levels.begin();
    found[one.place] = trained < std::ssize(known)
                           ? known[static_cast<std::size_t>(trained)]
                           : ends_between(domain, point, known, reaches_, one.reach);
  }
}

void SeriesForecast::forecast(std::span<const double> values, std::span<double> forecasts,
                              std::span<const double> levels, std::span<double> bounds) const {
  const std::vector<double> filled = without_holes(values);
  const std::int64_t stops[] = {std::ssize(filled)};
  WindowDomain domain;
  find_domains(filled, stops, saved_.season, saved_.forecaster.options().logs, {&domain, 1});
  const std::size_t horizon = forecasts.size();
  const std::vector<double> quantiles = quantiles_of(filled, domain, horizon);
  const std::size_t outputs = quantiles.size() / horizon;
  std::vector<Wanted> wanted;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    wanted.push_back({levels[i], saved_.uses_prior ? normal_reach(levels[i]) : 0, i});
  }
  std::ranges::sort(wanted, {}, &Wanted::level);  // so that bounds can nest
  std::vector<double> of_step(outputs);
  std::vector<Ends> ends(levels.size());
  for (std::size_t k = 0; k < horizon; ++k) {
    for (std::size_t q = 0; q < outputs; ++q) of_step[q] = quantiles[q * horizon + k];
    forecasts[k] = of_step[outputs / 2];
    put_ends(wanted, k, domain, of_step, ends);
    for (std::size_t i = 0; i < levels.size(); ++i) {
      bounds[2 * i * horizon + k] = ends[i].low;
      bounds[(2 * i + 1) * horizon + k] = ends[i].high;
    }
  }
}

}  // namespace memattn
