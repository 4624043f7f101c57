// The domains of series, and random draws of origins.
#include "forecast/panel.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/random.h"

namespace memattn {
namespace {

// Maps 64 random bits to a number in [0, count), with a bias below count / 2^64.
std::int64_t below(std::int64_t count, std::uint64_t bits) {
  return static_cast<std::int64_t>(bits % static_cast<std::uint64_t>(count));
}

// Returns the mean |difference| of neighbours among the first 0, 1, ..., size values.
std::vector<double> mean_differences(std::span<const double> values) {
  std::vector<double> result(values.size() + 1, 0.0);
  double sum = 0;
  for (std::size_t i = 1; i < values.size(); ++i) {
    sum += std::abs(values[i] - values[i - 1]);
    result[i + 1] = sum / static_cast<double>(i);
  }
  return result;
}

// Returns the same, but from three seasons on for values one season apart.
std::vector<double> mean_changes(std::span<const double> values, std::size_t season) {
  std::vector<double> result = mean_differences(values);
  double sum = 0;
  for (std::size_t i = season; i < values.size(); ++i) {
    sum += std::abs(values[i] - values[i - season]);
    if (i + 1 >= 3 * season) result[i + 1] = sum / static_cast<double>(i - season + 1);
  }
  return result;
}

// Returns the standard deviation of the first 0, 1, ..., size values. Mean and variance are updated
// value by value (Welford's formula, divided by the number of values), since a sum of squares could
// overflow.
std::vector<double> deviations(std::span<const double> values) {
  std::vector<double> result(values.size() + 1, 0.0);
  double mean = 0, variance = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto count = static_cast<double>(i + 1);
    const double difference = values[i] - mean;
    mean += difference / count;
    variance = (variance + difference * (difference / count)) * (static_cast<double>(i) / count);
    result[i + 1] = std::sqrt(variance);
  }
  return result;
}

// Returns how many first values of a series are fit for logs: all before the first one that is not
// positive or too large a step from its predecessor.
std::size_t count_in_logs(std::span<const double> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!(values[i] > 0)) return i;
    if (i == 0) continue;
    const auto [low, high] = std::minmax(values[i], values[i - 1]);
    if (high / low > kLargestStep) return i;
  }
  return values.size();
}

std::vector<RawSeries> all_series(const SeriesView& view, const PanelRules& rules) {
  std::vector<RawSeries> series;
  series.reserve(view.offsets.size() - 1);
  for (std::size_t i = 0; i + 1 < view.offsets.size(); ++i) {
    series.push_back(raw_series(view, i, rules));
  }
  return series;
}

}  // namespace

RawSeries raw_series(const SeriesView& view, std::size_t i, const PanelRules& rules) {
  const std::int64_t first = view.offsets[i], size = view.offsets[i + 1] - first;
  const std::int64_t row = first + static_cast<std::int64_t>(i) * rules.horizon;
  const auto part = [](auto all, std::int64_t begin, std::int64_t count) {
    return all.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
  };
  RawSeries series{.values = part(view.values, first, size)};
  if (rules.covariates > 0) {
    series.covariates =
        part(view.covariates, row * rules.covariates, (size + rules.horizon) * rules.covariates);
  }
  return series;
}

PanelSeries::PanelSeries(const RawSeries& series, const PanelRules& rules)
    : log_domain(rules.logs && count_in_logs(series.values) == series.values.size()),
      values([&] {
        std::vector<double> result(series.values.size());
        std::ranges::transform(series.values, result.begin(),
                               [&](double value) { return to_domain(value); });
        return result;
      }()),
      seasonality(values, rules.past_seasons || rules.long_season > 0 ? 1 : rules.season,
                  series.first_time),
      two_seasons(values, rules.season, rules.long_season),
      covariates(series.covariates),
      spreads_(rules.past_seasons ? deviations(values)
               : rules.long_season == 0
                   ? mean_differences(values)
                   : mean_changes(values, static_cast<std::size_t>(rules.season))),
      by_season_(rules.long_season > 0),
      negative_from_(
          1 + std::ranges::distance(
                  series.values.begin(),
                  std::ranges::find_if(series.values, [](double value) { return value < 0; }))) {}

double PanelSeries::spread(std::int64_t time) const {
  return spreads_[static_cast<std::size_t>(time)];
}

double PanelSeries::unit(std::int64_t time) const {
  return log_domain && !by_season_ ? std::min(spread(time) / kRough, 1.0) : spread(time);
}

double PanelSeries::to_domain(double value) const { return log_domain ? std::log(value) : value; }

double PanelSeries::from_domain(double value, std::int64_t time) const {
  constexpr double kLargest = std::numeric_limits<double>::max();
  const double least = time < negative_from_ ? 0.0 : -kLargest;
  return std::clamp(log_domain ? std::exp(value) : value, least, kLargest);
}

Panel::Panel(std::span<const RawSeries> all, const PanelRules& rules,
             const std::function<void()>& poll) {
  series_.reserve(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (poll) poll();
    const std::span<const double> series = all[i].values;
    series_.emplace_back(all[i], rules);
    if (series_.back().log_domain || !rules.logs) continue;
    const std::size_t count = count_in_logs(series);
    if (count == 0) continue;
    starts_in_logs_.try_emplace(
        static_cast<std::int64_t>(i),
        RawSeries{series.first(count), all[i].first_time, all[i].covariates}, rules);
  }
}

Panel::Panel(const SeriesView& view, const PanelRules& rules, const std::function<void()>& poll)
    : Panel(all_series(view, rules), rules, poll) {}

const PanelSeries& Panel::at(const Origin& origin) const {
  const PanelSeries& whole = series_[static_cast<std::size_t>(origin.series)];
  if (whole.log_domain) return whole;
  const auto start = starts_in_logs_.find(origin.series);
  return start != starts_in_logs_.end() && origin.time <= start->second.size() ? start->second
                                                                               : whole;
}

OriginSampler::OriginSampler(const Panel& panel, std::int64_t min_history, std::int64_t stride)
    : panel_(panel), min_history_(min_history), stride_(stride) {
  for (std::int64_t i = 0; i < panel.size(); ++i) {
    if (choices(i) == 0) continue;
    eligible_.push_back(i);
    count_ += choices(i);
  }
}

void OriginSampler::draw(std::uint64_t seed, std::int64_t step, std::span<Origin> origins) const {
  const std::uint64_t key = kernels::mix(seed, static_cast<std::uint64_t>(step));
  const auto eligible = static_cast<std::int64_t>(eligible_.size());
  for (std::size_t i = 0; i < origins.size(); ++i) {
    const std::int64_t series =
        eligible_[static_cast<std::size_t>(below(eligible, kernels::mix(key, 2 * i)))];
    const std::int64_t back =
        choices(series) - below(choices(series), kernels::mix(key, 2 * i + 1));
    origins[i] = {series, panel_.length(series) - back * stride_};
  }
}

}  // namespace memattn
