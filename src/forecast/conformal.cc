#include "forecast/conformal.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <numeric>
#include <utility>

#include "forecast/panel.h"

namespace memattn {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kHalfLifeHorizons = 3.5;  // a lower limit
constexpr double kFewestInHalfLife = 60;   // windows, if they begin more than a row apart
constexpr double kRecentRange = 4;         // limit of the change of roughness, up or down
constexpr double kLeastSeasonal = 0.01;    // as a share of the roughness from value to value
constexpr std::int64_t kEnough = 20;       // scores of a domain; with fewer, both domains count
constexpr std::int64_t kOldest = std::int64_t{1} << 62;  // rows

std::size_t place_of(std::int64_t index) { return static_cast<std::size_t>(index); }

double nan_or_less(double a, double b) {
  return std::isnan(a) || std::isnan(b) ? kNaN : std::min(a, b);
}
double nan_or_more(double a, double b) {
  return std::isnan(a) || std::isnan(b) ? kNaN : std::max(a, b);
}

// The mean changes among the first values of a series, as they are or in logs.
class Changes {
 public:
  Changes(std::vector<double> values, std::int64_t season)
      : values_(std::move(values)), season_(season) {
    nearest_ = sums(1);
    seasonal_ = season == 1 ? nearest_ : sums(season);
  }

  // The roughness from value to value and over a season, and its change, up to a row.
  struct Found {
    double nearest, seasonal, change;
  };
  Found before(std::int64_t stop) const {
    const std::int64_t size = stop;
    Found found{};
    found.nearest = mean(nearest_, stop, 1);
    found.seasonal = size > season_ ? mean(seasonal_, stop, season_) : found.nearest;
    const std::int64_t recent =
        std::max<std::int64_t>(0, stop - std::max(kRecentRows, kRecentSeasons * season_));
    found.change = 1;
    if (recent > 0) {
      if (found.nearest > 0) found.change *= mean_from(recent, stop, 1) / found.nearest;
      if (found.seasonal > 0) found.change *= mean_from(recent, stop, season_) / found.seasonal;
    }
    const double most = kRecentRange * kRecentRange;
    found.change = std::sqrt(std::sqrt(std::clamp(found.change, 1 / most, most)));
    return found;
  }

 private:
  double step(std::int64_t i, std::int64_t lag) const {
    return std::abs(values_[place_of(i + lag)] - values_[place_of(i)]);
  }
  // Returns the sums of the first changes, with 0 in front.
  std::vector<double> sums(std::int64_t lag) const {
    std::vector<double> found = {0};
    for (std::int64_t i = 0; i + lag < std::ssize(values_); ++i) {
      found.push_back(found.back() + step(i, lag));
    }
    return found;
  }
  static double mean(const std::vector<double>& sums, std::int64_t stop, std::int64_t lag) {
    const std::int64_t count = std::max<std::int64_t>(stop - lag, 0);
    return sums[place_of(count)] / static_cast<double>(std::max<std::int64_t>(count, 1));
  }
  double mean_from(std::int64_t start, std::int64_t stop, std::int64_t lag) const {
    double sum = 0;
    for (std::int64_t i = start; i + lag < stop; ++i) sum += step(i, lag);
    return sum / static_cast<double>(std::max<std::int64_t>(stop - lag - start, 1));
  }

  std::vector<double> values_;
  std::int64_t season_;
  std::vector<double> nearest_, seasonal_;
};

// How many of the first values are fit for logs, and how many precede the first negative one.
struct Beginning {
  std::int64_t in_logs = 0, not_negative = 0;
};

Beginning beginning_of(std::span<const double> values, std::vector<double>& logarithms) {
  Beginning found;
  for (const double value : values) {
    if (!(value > 0)) break;
    const double one = std::log(value);
    if (found.in_logs > 0 && !(std::abs(one - logarithms.back()) <= std::log(kLargestStep))) break;
    logarithms.push_back(one);
    ++found.in_logs;
  }
  found.not_negative =
      std::ranges::find_if(values, [](double value) { return value < 0; }) - values.begin();
  return found;
}

std::vector<double> weights_of(const Errors& errors) {
  std::int64_t youngest = kOldest;
  for (const std::int64_t age : errors.ages) youngest = std::min(youngest, age);
  std::vector<double> weights;
  for (const std::int64_t age : errors.ages) {
    weights.push_back(std::exp2(-static_cast<double>(age - youngest) / errors.half_life));
  }
  return weights;
}

// The windows whose errors become the scores of a domain.
struct Chosen {
  std::vector<std::size_t> windows;
  bool all;  // also windows of the other domain
};

Chosen chosen_of(const Errors& errors, bool logs) {
  Chosen own{{}, false}, usable{{}, true};
  for (std::size_t i = 0; i < errors.domains.size(); ++i) {
    if (!(errors.domains[i].roughness > 0)) continue;
    usable.windows.push_back(i);
    if (errors.domains[i].logs == logs) own.windows.push_back(i);
  }
  const bool few = std::ssize(own.windows) < kEnough && own.windows.size() < usable.windows.size();
  return few ? usable : own;
}

double error_at(const Errors& errors, std::size_t window, std::int64_t step) {
  const std::int64_t row = static_cast<std::int64_t>(window) * errors.places + errors.place;
  return errors.values[place_of(row * errors.horizon + step)];
}

// Returns the mean negative log-likelihood of the errors, up to a constant, if they follow Laplace
// distributions with one scale per step in these units.
double cost_of(const Errors& errors, const std::vector<std::size_t>& windows, double power) {
  std::vector<double> units;
  for (const std::size_t window : windows) units.push_back(errors.domains[window].unit(power));
  double cost = 0;
  for (std::int64_t step = 0; step < errors.horizon; ++step) {
    double sum = 0, logarithms = 0, count = 0;
    for (std::size_t i = 0; i < windows.size(); ++i) {
      const double error = error_at(errors, windows[i], step);
      if (!std::isfinite(error)) continue;
      sum += std::abs(error) / units[i];
      logarithms += std::log(units[i]);
      ++count;
    }
    if (count == 0) continue;
    cost += logarithms / count;
    if (sum > 0) cost += std::log(sum / count);
  }
  return cost;
}

double likeliest_power(const Errors& errors, const std::vector<std::size_t>& windows) {
  double best = kRoughnessPowers[0], least = kInfinity;
  for (const double power : kRoughnessPowers) {
    const double cost = cost_of(errors, windows, power);
    if (cost < least) best = power, least = cost;
  }
  return best;
}

RankedScores ranked(const Errors& errors, const std::vector<std::size_t>& windows, double power) {
  const std::vector<double> all = weights_of(errors);
  std::vector<double> scores, weights;
  for (const std::size_t window : windows) {
    const double unit = errors.domains[window].unit(power);
    for (std::int64_t step = 0; step < errors.horizon; ++step) {
      scores.push_back(error_at(errors, window, step) / unit);
    }
    weights.push_back(all[window]);
  }
  return {scores, errors.horizon, weights, errors.apart};
}

}  // namespace

double WindowDomain::unit(double power) const {
  return (logs ? std::pow(roughness, power) : roughness) * change;
}

void find_domains(std::span<const double> series, std::span<const std::int64_t> stops,
                  std::int64_t season, bool logs, std::span<WindowDomain> domains) {
  if (stops.empty()) return;
  const std::span<const double> known = series.first(place_of(std::ranges::max(stops)));
  std::vector<double> logarithms;
  const Beginning beginning = beginning_of(known, logarithms);
  const std::int64_t in_logs = logs ? beginning.in_logs : 0;
  // Each is computed only if some window needs it.
  std::optional<Changes> of_logs, of_values;
  for (std::size_t i = 0; i < stops.size(); ++i) {
    const std::int64_t stop = stops[i];
    WindowDomain& domain = domains[i];
    domain.logs = stop <= in_logs;
    domain.least = stop <= beginning.not_negative ? 0 : -kInfinity;
    std::optional<Changes>& changes = domain.logs ? of_logs : of_values;
    if (!changes) {
      changes.emplace(domain.logs ? logarithms : std::vector(known.begin(), known.end()), season);
    }
    const Changes::Found found = changes->before(stop);
    domain.roughness = found.nearest;
    domain.change = found.change;
    if (domain.logs) {
      const double least = kLeastSeasonal * found.nearest;
      domain.roughness = std::min(found.nearest, std::max(found.seasonal, least));
    }
  }
}

double half_life_of(std::int64_t season, std::int64_t horizon, std::int64_t apart) {
  const auto recent = static_cast<double>(std::max(kRecentRows, kRecentSeasons * season));
  const double rows = std::max(recent, kHalfLifeHorizons * static_cast<double>(horizon));
  return apart == 1 ? rows : std::max(rows, kFewestInHalfLife * static_cast<double>(apart));
}

RankedScores::RankedScores(std::span<const double> scores, std::int64_t horizon,
                           std::span<const double> weights, std::int64_t apart)
    : horizon_(horizon), count_(std::ssize(weights)), apart_(apart) {
  scores_.resize(scores.size());
  sums_.resize(scores.size());
  std::vector<std::size_t> order(weights.size());
  for (std::int64_t step = 0; step < horizon; ++step) {
    const auto score = [&](std::size_t window) {
      return scores[window * place_of(horizon) + place_of(step)];
    };
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto numbers = std::partition(order.begin(), order.end(),
                                        [&](std::size_t i) { return !std::isnan(score(i)); });
    std::sort(order.begin(), numbers, [&](std::size_t a, std::size_t b) {
      return score(a) != score(b) ? score(a) < score(b) : a < b;
    });
    known_.push_back(numbers - order.begin());
    double sum = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const std::size_t place = place_of(step * count_) + i;
      if (static_cast<std::int64_t>(i) < known_.back()) sum += weights[order[i]];
      scores_[place] = score(order[i]);
      sums_[place] = sum;
    }
  }
}

double RankedScores::quantile(std::int64_t step, double level) const {
  const std::int64_t known = known_[place_of(step)];
  if (known == 0) return kNaN;
  const auto sums = std::span(sums_).subspan(place_of(step * count_), place_of(known));
  // The weight of the window at hand, which counts as the largest score.
  const double shared =
      kSharedWindows * static_cast<double>(step + 1) / static_cast<double>(apart_);
  const double own = std::max(1.0, shared);
  // 1e-9, since the sum may lie a rounding error below the share.
  const double share = (sums.back() + own) * level / 100 - 1e-9;
  const std::int64_t below = std::ranges::lower_bound(sums, share) - sums.begin();
  return scores_[place_of(step * count_ + std::min(below, known - 1))];
}

ErrorScores::ErrorScores(const Errors& errors, bool logs) : scores_({}, 0, {}, 1) {
  const Chosen chosen = chosen_of(errors, logs);
  if (logs && !chosen.all) power_ = likeliest_power(errors, chosen.windows);
  scores_ = ranked(errors, chosen.windows, power_);
  for (std::int64_t step = 0; step < errors.horizon; ++step) {
    bool known = false;
    for (std::size_t i = 0; i < errors.domains.size() && !known; ++i) {
      known = !std::isnan(error_at(errors, i, step));
    }
    known_.push_back(known);
  }
}

double ErrorScores::half_width(const WindowDomain& domain, std::int64_t step, double level) const {
  const double unit = domain.unit(power_);
  // A unit of 0 is a width of 0, also if the score is infinite or every error is of a constant
  // series.
  if (unit == 0) return known_[place_of(step)] ? 0 : kNaN;
  return unit * scores_.quantile(step, level);
}

Ends moved_ends(const WindowDomain& domain, double point, Ends ends, std::optional<double> width) {
  if (width && domain.logs) {
    const double factor = std::exp(*width);
    ends = {ends.low / factor, ends.high * factor};
  } else if (width) {
    ends = {ends.low - *width, ends.high + *width};
  }
  // Infinite even if exp() of the forecast is finite: no error is too large.
  if (width == kInfinity) ends.high = kInfinity;
  ends.low = nan_or_more(ends.low, nan_or_less(domain.least, point));
  return ends;
}

Ends around(Ends inner, Ends outer) {
  return {nan_or_less(outer.low, inner.low), nan_or_more(outer.high, inner.high)};
}

double normal_reach(double level) {
  const double tail = 0.5 + level / 200;
  double z = 0;  // Newton's method rises to it: the distribution function is concave here
  for (int i = 0; i < 100; ++i) {
    const double distribution = std::erfc(-z / std::numbers::sqrt2) / 2;
    const double density = std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi);
    const double step = (tail - distribution) / density;
    z += step;
    if (std::abs(step) <= 1e-15 * z) break;
  }
  return z;
}

Ends ends_between(const WindowDomain& domain, double point, std::span<const Ends> known,
                  std::span<const double> known_reaches, double reach) {
  const auto after = std::ranges::lower_bound(known_reaches, reach) - known_reaches.begin();
  const auto above = std::min(static_cast<std::size_t>(after), known.size() - 1);
  const double start = above == 0 ? 0 : known_reaches[above - 1];
  const double share = (reach - start) / (known_reaches[above] - start);
  const Ends near = above == 0 ? Ends{point, point} : known[above - 1];
  const auto end_of = [&](double from, double to) {
    if (!std::isfinite(to)) return nan_or_more(to, nan_or_less(domain.least, point));
    const bool in_logs = domain.logs && from > 0 && to > 0;
    const double end = in_logs ? from * std::pow(to / from, share) : from + share * (to - from);
    return nan_or_more(end, nan_or_less(domain.least, point));
  };
  return {end_of(near.low, known[above].low), end_of(near.high, known[above].high)};
}

void fill_holes(std::span<double> values) {
  std::size_t before = 0;  // the index of the last known value
  for (std::size_t i = 1; i < values.size(); ++i) {
    if (std::isnan(values[i])) continue;
    const double slope = (values[i] - values[before]) / static_cast<double>(i - before);
    for (std::size_t k = before + 1; k < i; ++k) {
      values[k] = values[before] + slope * static_cast<double>(k - before);
    }
    before = i;
  }
}

}  // namespace memattn
