// Forecasts of one series by the networks of a prior file, and their bounds. The same steps as
// Python's: memattn/forecast/fitting.py and conformal.py.
#include "memattn/quick_forecaster.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string_view>
#include <utility>
#include <vector>

#include "check.h"
#include "forecast/prior_file.h"
#include "io/safetensors.h"
#include "layer/checks.h"

namespace memattn {
namespace {

constexpr std::string_view kFunction = "QuickForecaster::forecast";
constexpr std::size_t kFewestValues = 3;  // not to be forecast by the last one
constexpr double kFar = 10.0;             // times the range of a series that a forecast may go
constexpr double kLargest = 1e100;        // value
constexpr double kLargestStep = 1000.0;   // from one value to the next, of a series in logs

// Returns z for which a normal number lies within z deviations with a probability of level percent.
double normal_reach(double level) {
  const double tail = 0.5 + level / 200;
  double z = 0;  // Newton's method comes from below: the distribution function is concave here
  for (int i = 0; i < 100; ++i) {
    const double distribution = std::erfc(-z / std::numbers::sqrt2) / 2;
    const double density = std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi);
    const double step = (tail - distribution) / density;
    z += step;
    if (std::abs(step) <= 1e-15 * z) break;
  }
  return z;
}

// What is known of a series before its forecast.
struct Past {
  double last, low, high;
  bool in_logs;  // its bounds are: all values are positive, and none is far from its neighbour
  bool still;    // no value differs from the last one, as far as logs tell
  bool negative;
};

Past past_of(std::span<const double> values, bool logs) {
  const auto [low, high] = std::ranges::minmax(values);
  Past past{values.back(), low, high, logs && low > 0, true, low < 0};
  for (std::size_t i = 1; i < values.size() && past.in_logs; ++i) {
    past.in_logs =
        std::abs(std::log(values[i]) - std::log(values[i - 1])) <= std::log(kLargestStep);
  }
  for (std::size_t i = 1; i < values.size() && past.still; ++i) {
    past.still =
        past.in_logs ? std::log(values[i]) == std::log(values[i - 1]) : values[i] == values[i - 1];
  }
  return past;
}

// The two ends of a level (horizon each).
struct Ends {
  std::vector<double> low, high;
};

}  // namespace

struct QuickForecaster::Impl {
  explicit Impl(PriorNetworks read) : networks(std::move(read)) {
    reaches.push_back(0);
    for (const double level : networks.levels) reaches.push_back(normal_reach(level));
  }

  // The quantiles (2 K + 1, horizon) of the rows after a series, in order.
  std::vector<double> quantiles_of(std::span<const double> values, const Past& past,
                                   std::size_t horizon) const;
  // The ends of the trained levels from quantiles (2 K + 1, horizon).
  std::vector<Ends> trained_ends(std::span<const double> quantiles, const Past& past,
                                 std::size_t horizon) const;
  // An end of any level, of one step ahead, between those of the trained ones.
  double end_between(double level, bool upper, std::size_t step, double point,
                     const std::vector<Ends>& ends, const Past& past) const;

  PriorNetworks networks;
  std::vector<double> reaches;  // normal_reach of 0 and of each trained level
};

QuickForecaster::QuickForecaster(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
QuickForecaster::QuickForecaster(QuickForecaster&&) noexcept = default;
QuickForecaster& QuickForecaster::operator=(QuickForecaster&&) noexcept = default;
QuickForecaster::~QuickForecaster() = default;

QuickForecaster QuickForecaster::load(const std::filesystem::path& path) {
  return QuickForecaster(std::make_unique<Impl>(read_prior(SafetensorsReader(path))));
}

QuickForecaster QuickForecaster::load(std::span<const std::byte> content) {
  return QuickForecaster(std::make_unique<Impl>(read_prior(SafetensorsReader("prior", content))));
}

std::int64_t QuickForecaster::season() const { return impl_->networks.forecaster.options().season; }

std::int64_t QuickForecaster::horizon() const {
  return impl_->networks.forecaster.options().horizon;
}

std::span<const double> QuickForecaster::levels() const { return impl_->networks.levels; }

std::vector<double> QuickForecaster::Impl::quantiles_of(std::span<const double> values,
                                                        const Past& past,
                                                        std::size_t horizon) const {
  if (networks.rows_seen > 0 && std::ssize(values) > networks.rows_seen) {
    values = values.last(static_cast<std::size_t>(networks.rows_seen));
  }
  const PanelForecasterOptions& options = networks.forecaster.options();
  const auto outputs = static_cast<std::size_t>(options.outputs());
  const auto most = static_cast<std::size_t>(options.horizon);
  std::vector<double> found(outputs * most);
  const std::int64_t offsets[] = {0, std::ssize(values)}, series[] = {0}, times[] = {offsets[1]};
  networks.forecaster.predict({values, offsets}, {series, times}, found);
  const double reach = kFar * (past.high - past.low);
  std::vector<double> quantiles;
  for (std::size_t q = 0; q < outputs; ++q) {
    for (std::size_t k = 0; k < horizon; ++k) {
      quantiles.push_back(std::clamp(found[q * most + k], past.low - reach, past.high + reach));
    }
  }
  return quantiles;
}

std::vector<Ends> QuickForecaster::Impl::trained_ends(std::span<const double> quantiles,
                                                      const Past& past, std::size_t horizon) const {
  const std::size_t middle = networks.levels.size();
  const std::span<const double> points = quantiles.subspan(middle * horizon, horizon);
  Ends inner{{points.begin(), points.end()}, {points.begin(), points.end()}};
  std::vector<Ends> ends;
  for (std::size_t level = 1; level <= middle; ++level) {
    for (std::size_t k = 0; k < horizon; ++k) {
      double low = quantiles[(middle - level) * horizon + k];
      if (!past.negative) low = std::max(low, std::min(0.0, points[k]));
      inner.low[k] = std::min(low, inner.low[k]);
      inner.high[k] = std::max(quantiles[(middle + level) * horizon + k], inner.high[k]);
    }
    ends.push_back(inner);
  }
  return ends;
}

double QuickForecaster::Impl::end_between(double level, bool upper, std::size_t step, double point,
                                          const std::vector<Ends>& ends, const Past& past) const {
  const auto end_of = [&](std::size_t place) {  // 0: the forecast itself
    if (place == 0) return point;
    const Ends& found = ends[place - 1];
    return upper ? found.high[step] : found.low[step];
  };
  const auto trained = std::ranges::find(networks.levels, level);
  if (trained != networks.levels.end()) {
    return end_of(static_cast<std::size_t>(trained - networks.levels.begin()) + 1);
  }
  const double reach = normal_reach(level);
  const auto after = std::ranges::lower_bound(reaches, reach) - reaches.begin();
  const auto above =
      static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(after, 1, std::ssize(reaches) - 1));
  const double share = (reach - reaches[above - 1]) / (reaches[above] - reaches[above - 1]);
  const double near = end_of(above - 1), far = end_of(above);
  const bool in_logs = past.in_logs && near > 0 && far > 0;
  const double end = in_logs ? near * std::pow(far / near, share) : near + share * (far - near);
  return past.negative ? end : std::max(end, std::min(0.0, point));
}

void QuickForecaster::forecast(std::span<const double> values, std::span<double> forecasts,
                               std::span<const double> levels, std::span<double> bounds) const {
  check_between(kFunction, "forecasts: length", std::ssize(forecasts), 1, horizon());
  if (values.empty()) fail_argument(kFunction, "values", "none", "at least one");
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!(std::abs(values[i]) <= kLargest)) {
      fail_argument(kFunction, concat("values[", i, "]"), values[i],
                    concat("a finite number up to ", kLargest));
    }
  }
  for (const double level : levels) {
    if (!(level >= 1 && level < 100)) {
      fail_argument(kFunction, "levels", level, "percents from 1 to below 100");
    }
  }
  const std::size_t horizon = forecasts.size();
  check_size(kFunction, "bounds", bounds.size(), "levels * 2 * forecasts",
             {std::ssize(levels), 2, std::ssize(forecasts)});
  const Past past = past_of(values, impl_->networks.forecaster.options().logs);
  if (values.size() < kFewestValues || past.still) {
    std::ranges::fill(forecasts, past.last);
    const bool few = values.size() < kFewestValues;
    std::ranges::fill(bounds, few ? std::numeric_limits<double>::quiet_NaN() : past.last);
    return;
  }
  const std::vector<double> quantiles = impl_->quantiles_of(values, past, horizon);
  const std::vector<Ends> ends = impl_->trained_ends(quantiles, past, horizon);
  const std::size_t middle = impl_->networks.levels.size();
  std::copy_n(quantiles.begin() + static_cast<std::ptrdiff_t>(middle * horizon), horizon,
              forecasts.begin());
  for (std::size_t i = 0; i < levels.size(); ++i) {
    for (std::size_t k = 0; k < horizon; ++k) {
      for (const bool upper : {false, true}) {
        bounds[(2 * i + upper) * horizon + k] =
            impl_->end_between(levels[i], upper, k, forecasts[k], ends, past);
      }
    }
  }
}

}  // namespace memattn
