// Many series, each in the domain in which it is forecast, and the origins of forecasts.
//
// Terms in this module:
//
//   origin   a series and a time: the first `time` values are known, the forecast begins after them
//   window   the last values of a series before an origin, as many as the lookback
//   phase    the place of a value within its season: position modulo season
//   domain   what a series is forecast in: logarithms if it is positive and no step is a
//            thousandfold, else the values themselves
//   level    the value, in the domain, that a window is relative to
//   scale    what the network's inputs and outputs are measured in; each window has its own
//   spread   how far the values up to an origin vary: mean |difference| of neighbours or over a
//            season, or standard deviation
//   unit     what an error is measured in: the spread, but in logs 1 for a spread of kRough or more
//            (with a long season the spread itself)
//   slot     a row of the memory of a memory layer
//   member   one network of the ensemble
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "forecast/seasonality.h"
#include "forecast/two_seasons.h"
#include "memattn/panel_forecaster.h"

namespace memattn {

// The spread in logs, 5 % a step, from which errors count unscaled, as in sMAPE. Errors of smoother
// series are enlarged to the size that they would have at this spread. Otherwise a series that
// moves by a thousandth a step would teach the networks nothing beside rough ones. Of 0.005, 0.02,
// 0.05 and 0.1 this value has the best sMAPE on M3's validation set (`python -m bench.forecasting
// --validate`).
inline constexpr double kRough = 0.05;

// A larger factor between neighbouring values, up or down, ends the logs of a series: 1e-9 after
// 100 is a missing reading, like 0, and its logarithm would outweigh all others. M3 contains
// factors of up to 587, and those series are better forecast in logs.
inline constexpr double kLargestStep = 1000.0;

struct Origin {
  std::int64_t series = 0;
  std::int64_t time = 0;
};

// How a panel prepares its series.
struct PanelRules {
  std::int64_t season = 1;
  std::int64_t long_season = 0;  // 0: none
  bool logs = true;              // forecast suitable series in logs
  bool past_seasons = false;     // for windows of past seasons, without a seasonal index
  std::int64_t covariates = 0;   // columns of the table of covariates
  std::int64_t horizon = 0;      // rows of the table after each series
};

// A series to prepare.
struct RawSeries {
  std::span<const double> values;  // finite
  std::int64_t first_time = 0;     // the earliest time of an origin
  // The rows of its covariates, finite: one for each value, and `horizon` more.
  std::span<const float> covariates = {};
};

// Returns series i of a view with its rows of covariates.
RawSeries raw_series(const SeriesView& view, std::size_t i, const PanelRules& rules);

// One series in its domain. Its covariates must outlive it. In logs, a season or an error is a
// share of the level.
struct PanelSeries {
  PanelSeries(const RawSeries& series, const PanelRules& rules);

  std::int64_t size() const { return static_cast<std::int64_t>(values.size()); }
  double to_domain(double value) const;
  // Returns a forecast from the origin `time` as a value: finite, and not negative unless one of
  // the first `time` values is.
  double from_domain(double value, std::int64_t time) const;

  // Returns the spread of the first `time` values; 0 for constant ones. With past seasons it is the
  // standard deviation. With a long season, once three seasons are known, it is the mean
  // |difference| over a season, otherwise that of neighbours.
  double spread(std::int64_t time) const;
  double unit(std::int64_t time) const;

  bool log_domain;
  std::vector<double> values;         // in the domain
  Seasonality seasonality;            // of `values`
  TwoSeasons two_seasons;             // likewise, with a long season
  std::span<const float> covariates;  // as in RawSeries, not copied

 private:
  std::vector<double> spreads_;  // by time, from 0 on
  bool by_season_;               // spreads are of changes over a season
  std::int64_t negative_from_;   // the first time with a negative value before it
};

class Panel {
 public:
  // Prepares all `series`. Calls `poll`, if given, before each one; an exception from it ends the
  // construction. The covariates must outlive the panel.
  Panel(std::span<const RawSeries> series, const PanelRules& rules,
        const std::function<void()>& poll = {});
  // The same for all series of a view.
  Panel(const SeriesView& view, const PanelRules& rules, const std::function<void()>& poll = {});

  std::int64_t size() const { return static_cast<std::int64_t>(series_.size()); }
  std::int64_t length(std::int64_t i) const { return series_[static_cast<std::size_t>(i)].size(); }
  // Returns the series as it is forecast from an origin. Only the values before the origin decide
  // its domain. Up to its first value that is not fit for logs, a series is in logs, and it ends
  // there.
  const PanelSeries& at(const Origin& origin) const;

 private:
  std::vector<PanelSeries> series_;
  // For series with values unfit for logs, the part before the first such value.
  std::unordered_map<std::int64_t, PanelSeries> starts_in_logs_;
};

// Draws origins with at least min_history values before them, and a positive multiple of `stride`
// values after them. It draws first a series, uniformly among those with such an origin, then one
// of its origins, uniformly.
class OriginSampler {
 public:
  OriginSampler(const Panel& panel, std::int64_t min_history, std::int64_t stride = 1);

  // Returns the number of origins of all series.
  std::int64_t count() const { return count_; }
  // Fills `origins`; origins[i] depends only on seed, step and i. count() must not be 0.
  void draw(std::uint64_t seed, std::int64_t step, std::span<Origin> origins) const;

 private:
  std::int64_t choices(std::int64_t series) const {
    return std::max<std::int64_t>(panel_.length(series) - min_history_, 0) / stride_;
  }

  const Panel& panel_;
  std::int64_t min_history_;
  std::int64_t stride_;
  std::int64_t count_ = 0;
  std::vector<std::int64_t> eligible_;  // series that have an origin
};

}  // namespace memattn
