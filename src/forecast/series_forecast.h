// Forecasts and intervals of single series by saved networks, in the same steps as Python's
// memattn/forecast/fitting.py.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "forecast/conformal.h"
#include "forecast/saved_file.h"

namespace memattn {

class SeriesForecast {
 public:
  explicit SeriesForecast(SavedNetworks saved);

  const SavedNetworks& saved() const { return saved_; }
  // Whether there are intervals, and whether only those of the trained levels.
  bool has_intervals() const;
  bool only_trained() const { return !saved_.uses_prior && !saved_.levels.empty(); }

  // Throws std::invalid_argument unless there is a value, all values are finite (inner ones may be
  // NaN), all levels are available, and `bounds` has levels * 2 * forecasts values.
  void check(std::string_view function, std::span<const double> values,
             std::span<const double> forecasts, std::span<const double> levels,
             std::span<const double> bounds) const;
  // Computes forecasts and bounds (levels, 2, forecasts) for arguments that check() accepted.
  void forecast(std::span<const double> values, std::span<double> forecasts,
                std::span<const double> levels, std::span<double> bounds) const;

 private:
  // A requested level, and its index among the requested levels.
  struct Wanted {
    double level;
    double reach;  // see normal_reach
    std::size_t place;
  };

  // Returns the quantiles (2 K + 1, horizon), or forecasts (horizon), of the rows after a series.
  std::vector<double> quantiles_of(std::span<const double> values, const WindowDomain& domain,
                                   std::size_t horizon) const;
  // Returns the bounds of a level from the quantiles of one step, before they are nested.
  Ends ends_of(double level, std::size_t step, const WindowDomain& domain,
               std::span<const double> quantiles) const;
  void put_ends(const std::vector<Wanted>& wanted, std::size_t step, const WindowDomain& domain,
                std::span<const double> quantiles, std::span<Ends> found) const;

  SavedNetworks saved_;
  std::vector<double> reaches_;      // normal_reach of each trained level
  std::vector<ErrorScores> scores_;  // per place, not in logs and in logs; empty without errors
};

}  // namespace memattn
