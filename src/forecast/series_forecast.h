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
  // Whether there are intervals, and whether those of the trained levels alone.
  bool has_intervals() const;
  bool only_trained() const { return !saved_.uses_prior && !saved_.levels.empty(); }

  // Throws std::invalid_argument unless all values but those inside, which may be NaN, are finite,
  // there is one, all levels can be had, and bounds are of levels * 2 * forecasts.
  void check(std::string_view function, std::span<const double> values,
             std::span<const double> forecasts, std::span<const double> levels,
             std::span<const double> bounds) const;
  // Computes what check() has checked; bounds are (levels, 2, forecasts).
  void forecast(std::span<const double> values, std::span<double> forecasts,
                std::span<const double> levels, std::span<double> bounds) const;

 private:
  // A level that is wanted, and its place among those that are.
  struct Wanted {
    double level;
    double reach;  // see normal_reach
    std::size_t place;
  };

  // The quantiles (2 K + 1, horizon) of the rows after a series, or its forecasts (horizon).
  std::vector<double> quantiles_of(std::span<const double> values, const WindowDomain& domain,
                                   std::size_t horizon) const;
  // The ends of a level before they are made to nest, from the quantiles of one step.
  Ends ends_of(double level, std::size_t step, const WindowDomain& domain,
               std::span<const double> quantiles) const;
  void put_ends(const std::vector<Wanted>& wanted, std::size_t step, const WindowDomain& domain,
                std::span<const double> quantiles, std::span<Ends> found) const;

  SavedNetworks saved_;
  std::vector<double> reaches_;      // normal_reach of each trained level
  std::vector<ErrorScores> scores_;  // of each place, not in logs and in logs; none without errors
};

}  // namespace memattn
