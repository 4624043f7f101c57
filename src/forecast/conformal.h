// Intervals of forecasts by split conformal prediction, from errors in units that make windows
// comparable. python/memattn/forecast/conformal.py calls these functions, and explains the rules
// and their sources.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace memattn {

// The powers of roughness in logs by which errors may be divided.
inline constexpr double kRoughnessPowers[] = {0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0};
// The last rows, and the half-life of errors in rows: the larger of 168 rows and 7 seasons.
inline constexpr std::int64_t kRecentRows = 168, kRecentSeasons = 7;
inline constexpr double kSharedWindows = 0.5;  // the share of overlapping windows that counts

// What is known about a window before it begins.
struct WindowDomain {
  bool logs = false;     // whether errors are differences of logs
  double roughness = 0;  // the mean change from value to value, or over a season
  double change = 1;     // the roughness of the last rows over that of all rows
  double least = 0;      // the least possible truth: 0 or -infinity

  // Returns the unit of errors; 0 for a constant series.
  double unit(double power) const;
};

// Fills the domains of windows of one series, window i from its first stops[i] values, at least 1
// and without holes. Without `logs`, no domain is in logs. Fastest for ascending stops.
void find_domains(std::span<const double> series, std::span<const std::int64_t> stops,
                  std::int64_t season, bool logs, std::span<WindowDomain> domains);

// Returns the number of rows after which the weight of an error halves, for windows of a series
// that begin `apart` rows from each other.
double half_life_of(std::int64_t season, std::int64_t horizon, std::int64_t apart);

// The errors of n windows.
struct Errors {
  // (n, places, horizon), of which only index `place` counts; NaN where the truth is missing.
  std::span<const double> values;
  std::int64_t places = 1, place = 0, horizon = 1;
  std::span<const WindowDomain> domains;  // (n)
  std::span<const std::int64_t> ages;     // (n), in rows
  double half_life = 1;
  std::int64_t apart = 1;
};

// The scores of each step in ascending order, for quantiles.
class RankedScores {
 public:
  // From scores (n, horizon), with NaN for missing ones, and weights (n) of at most 1.
  RankedScores(std::span<const double> scores, std::int64_t horizon,
               std::span<const double> weights, std::int64_t apart);

  std::int64_t horizon() const { return horizon_; }
  // Returns the quantile of a level in percent at a step, from 0 on. The window at hand counts as a
  // window with the largest score. NaN if the step has no score.
  double quantile(std::int64_t step, double level) const;

 private:
  std::int64_t horizon_, count_, apart_;
  // (horizon, n): scores in order, NaN last, and the sums of weights up to each.
  std::vector<double> scores_, sums_;
  std::vector<std::int64_t> known_;  // (horizon), the number of scores that are not NaN
};

// The scores of errors in logs, or of other errors, and the power of roughness that divided them.
class ErrorScores {
 public:
  ErrorScores(const Errors& errors, bool logs);

  double power() const { return power_; }
  std::int64_t horizon() const { return scores_.horizon(); }
  // Returns how far the interval of a level in percent reaches beyond the forecast or the trained
  // bounds; negative if the trained bounds must come closer. 0 for a constant series. NaN for steps
  // without an error, and NaN for other series if all errors are of constant ones.
  double half_width(const WindowDomain& domain, std::int64_t step, double level) const;

 private:
  double power_ = 1;
  RankedScores scores_;
  std::vector<bool> known_;  // (horizon), whether any window has an error
};

struct Ends {
  double low, high;
};

// Returns the bounds of one level: those of the forecast (both equal to it) or trained ones, moved
// by the width, if there is one. The lower bound is at least the least possible truth, unless the
// forecast lies below it.
Ends moved_ends(const WindowDomain& domain, double point, Ends ends, std::optional<double> width);

// Widens `outer` to contain `inner`, the bounds of a lower level or the forecast. NaN stays.
Ends around(Ends inner, Ends outer);

// Returns z for which a normal number lies within z deviations with a probability of level percent.
double normal_reach(double level);

// Returns the bounds of any level from those of known levels, in ascending order. They are linear
// in normal_reach, in logs if the domain is in logs; beyond the largest level the last segment
// continues. known_reaches has the normal_reach of each known level.
Ends ends_between(const WindowDomain& domain, double point, std::span<const Ends> known,
                  std::span<const double> known_reaches, double reach);

// Replaces NaN by linear interpolation; the first and the last value must not be NaN.
void fill_holes(std::span<double> values);

}  // namespace memattn
