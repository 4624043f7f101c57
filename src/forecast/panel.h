// Many series, each in the domain in which it is forecast, and the origins to forecast from.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "forecast/seasonality.h"

namespace memattn {

// A point to forecast from: the first `time` values of a series are known.
struct Origin {
  std::int64_t series = 0;
  std::int64_t time = 0;
};

// How the series of a panel are seen.
struct PanelRules {
  std::int64_t season = 1;
  bool logs = true;           // of series that are positive
  bool past_seasons = false;  // no seasonal index is needed
};

// One series: positive ones in logs, where a season or an error is a share of the level; others as
// they are, in units of their own scale.
struct PanelSeries {
  PanelSeries(std::span<const double> series, const PanelRules& rules);

  std::int64_t size() const { return static_cast<std::int64_t>(values.size()); }
  double to_domain(double value) const;
  double from_domain(double value) const;

  // How far the first `time` values are spread: the mean |difference| of neighbours or, with past
  // seasons, the standard deviation; 0 while they stand still. In logs it is kept for the latter
  // alone.
  double spread(std::int64_t time) const;
  // What an error counts in: 1 in logs, else spread(time).
  double unit(std::int64_t time) const { return log_domain ? 1.0 : spread(time); }

  bool log_domain;
  std::vector<double> values;  // in the domain
  Seasonality seasonality;     // of `values`

 private:
  std::vector<double> spreads_;  // by time, from 0 on
};

class Panel {
 public:
  // Series i is values[offsets[i]] .. values[offsets[i + 1] - 1]. What comes in must be checked
  // already: offsets in order and inside, all values finite.
  Panel(std::span<const double> values, std::span<const std::int64_t> offsets,
        const PanelRules& rules);

  std::int64_t size() const { return static_cast<std::int64_t>(series_.size()); }
  std::int64_t length(std::int64_t i) const { return series_[static_cast<std::size_t>(i)].size(); }
  // The series as it is forecast from an origin. Whether that is in logs is for the values before
  // the origin to say: up to its first value that is not positive a series is as if it ended there.
  const PanelSeries& at(const Origin& origin) const;

 private:
  std::vector<PanelSeries> series_;
  std::unordered_map<std::int64_t, PanelSeries> positive_starts_;  // of series that are not in logs
};

// Draws origins: uniform over the series that have one, then over those of the series, which are
// all with min_history values before them and one after.
class OriginSampler {
 public:
  OriginSampler(const Panel& panel, std::int64_t min_history);

  // Origins in all.
  std::int64_t count() const { return count_; }
  // origins[i] depends on seed, step and i alone. There must be one to draw.
  void draw(std::uint64_t seed, std::int64_t step, std::span<Origin> origins) const;

 private:
  const Panel& panel_;
  std::int64_t min_history_;
  std::int64_t count_ = 0;
  std::vector<std::int64_t> eligible_;  // series
};

}  // namespace memattn
