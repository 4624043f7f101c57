// Keeps everything that depends on the origin for each position, so that an index takes only as
// many operations as a long season has rows.
#include "forecast/two_seasons.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace memattn {
namespace {

// Averages of the shape: a new value has the weight 1 / count, but at least this.
constexpr std::array kForget = {0.0, 0.1, 0.3, 0.6, 1.0};  // for a phase
constexpr std::array kLongForget = {0.0, 0.5};             // for a long phase
constexpr std::size_t kFirstLong = kForget.size();         // in averages_

// A predictor of the shape: the average of a phase, that of a long phase, and the share of the
// latter.
struct Predictor {
  std::size_t average, long_average;
  double long_share;
};
constexpr std::size_t kNone = 0;  // no predictor: the shape is 0
constexpr std::array<Predictor, 10> kPredictors = {{{0, 0, 0},
                                                    {0, 0, 0},
                                                    {1, 0, 0},
                                                    {2, 0, 0},
                                                    {3, 0, 0},
                                                    {4, 0, 0},
                                                    {0, kFirstLong, 0.5},
                                                    {2, kFirstLong, 0.5},
                                                    {0, kFirstLong, 1},
                                                    {0, kFirstLong + 1, 1}}};
constexpr std::size_t kShort = 6;  // predictors without a long season

// Returns the centred moving average over `window` values. An even window uses one more value, and
// the first and last count half. Where the window does not fit, the average is 0.
std::vector<double> moving_average(std::span<const double> values, std::int64_t window) {
  const auto size = static_cast<std::int64_t>(values.size());
  std::vector<double> sums(values.size() + 1, 0.0), result(values.size(), 0.0);
  // Of values less the first one: with a large mean, differences of sums would lose their digits.
  const double* x = values.data();
  for (std::int64_t i = 0; i < size; ++i) {
    sums[static_cast<std::size_t>(i + 1)] = sums[static_cast<std::size_t>(i)] + (x[i] - x[0]);
  }
  const std::int64_t half = window / 2;
  for (std::int64_t i = half; i + half < size; ++i) {
    double sum =
        sums[static_cast<std::size_t>(i + half + 1)] - sums[static_cast<std::size_t>(i - half)];
    if (window % 2 == 0) sum -= 0.5 * ((x[i - half] - x[0]) + (x[i + half] - x[0]));
    result[static_cast<std::size_t>(i)] = x[0] + sum / static_cast<double>(window);
  }
  return result;
}

}  // namespace

TwoSeasons::TwoSeasons(std::span<const double> values, std::int64_t season,
                       std::int64_t long_season)
    : season_(season), long_season_(long_season) {
  const auto size = static_cast<std::int64_t>(values.size());
  if (long_season == 0 || size < 3 * season) return;
  const std::vector<double> smooth = moving_average(values, season);
  std::vector<double> shape(values.size(), 0.0);
  for (std::size_t i = 0; i < shape.size(); ++i) shape[i] = values[i] - smooth[i];
  choose_shape(shape);
  if (size < 3 * long_season) return;
  const std::vector<double> trend = moving_average(values, long_season);
  levels_.assign(values.size(), 0.0);
  squares_.assign(values.size(), 0.0);
  const std::int64_t half = long_season / 2;
  for (std::int64_t i = half; i + half < size; ++i) {
    const auto place = static_cast<std::size_t>(i);
    const double level = smooth[place] - trend[place];
    levels_[place] = level;
    squares_[place] = level * level;
    if (i < half + long_season) continue;
    levels_[place] += levels_[place - static_cast<std::size_t>(long_season)];
    squares_[place] += squares_[place - static_cast<std::size_t>(long_season)];
  }
}

void TwoSeasons::choose_shape(std::span<const double> shape) {
  const auto size = static_cast<std::int64_t>(shape.size());
  const std::int64_t half = season_ / 2;
  averages_.assign(kForget.size() + kLongForget.size(), std::vector<double>(shape.size(), 0.0));
  chosen_.assign(shape.size(), kNone);
  // Predictors compete on the same positions: those where all of them predict.
  std::array<double, kPredictors.size()> errors{}, all_errors{};
  const auto best = [](std::span<const double> those) {
    return static_cast<std::uint8_t>(std::ranges::min_element(those) - those.begin());
  };
  for (std::int64_t i = half; i + half < size; ++i) {
    const auto place = static_cast<std::size_t>(i);
    const std::int64_t count = (i - half) / season_, long_count = (i - half) / long_season_;
    const auto before = [&](std::size_t average) {
      const std::int64_t back = average < kFirstLong ? season_ : long_season_;
      return averages_[average][place - static_cast<std::size_t>(back)];
    };
    for (std::size_t k = 0; k < kPredictors.size() && count > 0; ++k) {
      const Predictor& one = kPredictors[k];
      if (one.long_share > 0 && long_count == 0) break;
      double predicted = k == kNone ? 0.0 : before(one.average);
      if (one.long_share > 0) predicted += one.long_share * (before(one.long_average) - predicted);
      const double error = std::abs(shape[place] - predicted);
      errors[k] += error;
      if (long_count > 0) all_errors[k] += error;
    }
    const auto update = [&](std::size_t average, std::int64_t known, double least) {
      double& found = averages_[average][place];
      found = shape[place];
      if (known == 0) return;
      const double weight = std::max(least, 1 / static_cast<double>(known + 1));
      found = before(average) + weight * (shape[place] - before(average));
    };
    for (std::size_t k = 0; k < kForget.size(); ++k) update(k, count, kForget[k]);
    for (std::size_t k = 0; k < kLongForget.size(); ++k) {
      update(kFirstLong + k, long_count, kLongForget[k]);
    }
    chosen_[place] = long_count > 1 ? best(all_errors) : best(std::span(errors).first(kShort));
  }
}

TwoSeasons::Found TwoSeasons::index(std::int64_t origin, std::span<double> index) const {
  std::fill(index.begin(), index.end(), 0.0);
  Found found;
  if (!chosen_.empty() && origin >= 3 * season_) add_shape(origin, index, found);
  if (!levels_.empty() && origin >= 3 * long_season_) add_level(origin, index, found);
  return found;
}

void TwoSeasons::add_shape(std::int64_t origin, std::span<double> index, Found& found) const {
  const std::int64_t end = origin - season_ / 2;  // the end of the positions with a shape
  const std::size_t chosen = chosen_[static_cast<std::size_t>(end - 1)];
  if (chosen == kNone) return;
  const Predictor& one = kPredictors[chosen];
  found.long_share = one.long_share;
  found.forgets =
      one.long_share < 1 ? kForget[one.average] : kLongForget[one.long_average - kFirstLong];
  // Returns the last position of a phase before `end`.
  const auto last = [&](std::int64_t phase, std::int64_t period) {
    return static_cast<std::size_t>(end - 1 - ((end - 1 - phase) % period + period) % period);
  };
  double mean = 0;
  for (std::int64_t phase = 0; phase < long_season_; ++phase) {
    double value = averages_[one.average][last(phase % season_, season_)];
    if (one.long_share > 0) {
      value += one.long_share * (averages_[one.long_average][last(phase, long_season_)] - value);
    }
    index[static_cast<std::size_t>(phase)] = value;
    mean += value;
  }
  mean /= static_cast<double>(long_season_);
  for (double& value : index) value -= mean;
}

void TwoSeasons::add_level(std::int64_t origin, std::span<double> index, Found& found) const {
  // Positions half .. end - 1 have a level; there are at least two of each long phase.
  const std::int64_t half = long_season_ / 2, end = origin - half;
  std::vector<double> levels(static_cast<std::size_t>(long_season_));
  double within = 0, freedom = 0, inverse = 0, mean = 0;
  for (std::int64_t i = end - long_season_; i < end; ++i) {
    const auto place = static_cast<std::size_t>(i);
    const auto count = static_cast<double>((i - half) / long_season_ + 1);
    const double level = levels_[place] / count;
    within += std::max(squares_[place] - levels_[place] * level, 0.0);
    freedom += count - 1;
    inverse += 1 / count;
    levels[static_cast<std::size_t>(i % long_season_)] = level;
    mean += level;
  }
  const auto size = static_cast<double>(long_season_);
  mean /= size;
  double between = 0;
  for (double& level : levels) {
    level -= mean;
    between += level * level;
  }
  between /= size;
  if (!(between > 0)) return;
  const double noise = within / freedom * inverse / size;
  found.level = std::clamp(1 - noise / between, 0.0, 1.0);
  for (std::size_t phase = 0; phase < levels.size(); ++phase) {
    index[phase] += found.level * levels[phase];
  }
}

}  // namespace memattn
