// Many series, each in the domain in which it is forecast, and the origins to forecast from.
//
// The words of this module:
//
//   origin   a series and a time: the first `time` values are known, the forecast begins after them
//   window   the last values of a series before an origin, as many as the lookback
//   phase    the place of a value within its season: position modulo season
//   domain   what a series is forecast in: logarithms if it is positive, else the values themselves
//   level    the value, in the domain, that a window is relative to
//   scale    what the network's inputs and outputs are measured in; each window has its own
//   spread   how far the values up to an origin vary: mean |difference| or standard deviation
//   unit     what an error is measured in: 1 in logs, else the spread
//   slot     a row of the memory of a memory layer
//   member   one network of the ensemble
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "forecast/seasonality.h"

namespace memattn {

struct Origin {
  std::int64_t series = 0;
  std::int64_t time = 0;
};

// How a panel prepares its series.
struct PanelRules {
  std::int64_t season = 1;
  bool logs = true;           // forecast positive series in logs
  bool past_seasons = false;  // for windows of past seasons, which need no seasonal index
};

// A series to prepare.
struct RawSeries {
  std::span<const double> values;  // finite
  std::int64_t first_time = 0;     // no origin before this time will be asked for
};

// One series in its domain. In logs a season or an error is a share of the level.
struct PanelSeries {
  PanelSeries(const RawSeries& series, const PanelRules& rules);

  std::int64_t size() const { return static_cast<std::int64_t>(values.size()); }
  double to_domain(double value) const;
  double from_domain(double value) const;

  // Returns the spread of the first `time` values: with past seasons the standard deviation, else
  // the mean |difference| of neighbours; 0 while they stand still. A series in logs has one with
  // past seasons only.
  double spread(std::int64_t time) const;
  double unit(std::int64_t time) const { return log_domain ? 1.0 : spread(time); }

  bool log_domain;
  std::vector<double> values;  // in the domain
  Seasonality seasonality;     // of `values`

 private:
  std::vector<double> spreads_;  // by time, from 0 on
};

class Panel {
 public:
  // Prepares all `series`. Calls `poll`, if there is one, before each of them; what it throws ends
  // the construction.
  Panel(std::span<const RawSeries> series, const PanelRules& rules,
        const std::function<void()>& poll = {});
  // The same for the series values[offsets[i]] .. values[offsets[i + 1] - 1].
  Panel(std::span<const double> values, std::span<const std::int64_t> offsets,
        const PanelRules& rules, const std::function<void()>& poll = {});

  std::int64_t size() const { return static_cast<std::int64_t>(series_.size()); }
  std::int64_t length(std::int64_t i) const { return series_[static_cast<std::size_t>(i)].size(); }
  // Returns the series as it is forecast from an origin. Only the values before the origin decide
  // on its domain: up to its first value that is not positive, a series is in logs and ends there.
  const PanelSeries& at(const Origin& origin) const;

 private:
  std::vector<PanelSeries> series_;
  // The part before the first value that is not positive, of series that have such a value.
  std::unordered_map<std::int64_t, PanelSeries> positive_starts_;
};

// Draws origins with at least min_history values before them and one after: first a series,
// uniformly among those that have such an origin, then one of its origins, uniformly.
class OriginSampler {
 public:
  OriginSampler(const Panel& panel, std::int64_t min_history);

  // Returns the number of origins of all series.
  std::int64_t count() const { return count_; }
  // Fills `origins`; origins[i] depends on seed, step and i alone. count() must not be 0.
  void draw(std::uint64_t seed, std::int64_t step, std::span<Origin> origins) const;

 private:
  const Panel& panel_;
  std::int64_t min_history_;
  std::int64_t count_ = 0;
  std::vector<std::int64_t> eligible_;  // series that have an origin
};

}  // namespace memattn
