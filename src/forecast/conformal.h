// Intervals of forecasts by split conformal prediction, from errors in units that make windows
// comparable. python/memattn/forecast/conformal.py, which calls these functions, explains the rules
// and their sources.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace memattn {

// Powers of roughness in logs, by which errors may be divided.
inline constexpr double kRoughnessPowers[] = {0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0};
// The larger of them are the last rows, and the half-life of errors.
inline constexpr std::int64_t kRecentRows = 168, kRecentSeasons = 7;
inline constexpr double kSharedWindows = 0.5;  // of those that overlap with a window

// What is known of a window before it begins.
struct WindowDomain {
  bool logs = false;     // whether errors are counted in logs
  double roughness = 0;  // the mean change from value to value, or over a season
  double change = 1;     // how much rougher the last rows are than all
  double least = 0;      // that a truth can be: 0 or -infinity

  // The unit of errors; 0 for a constant series.
  double unit(double power) const;
};

// The domains of windows of one series, from its first stops[i] values each, at least 1 and
// without holes; without `logs` none has logs. Quickest for stops that ascend.
void find_domains(std::span<const double> series, std::span<const std::int64_t> stops,
                  std::int64_t season, bool logs, std::span<WindowDomain> domains);

// The rows after which the weight of an error halves; windows of a series begin `apart` rows from
// each other.
double half_life_of(std::int64_t season, std::int64_t horizon, std::int64_t apart);

// The errors of n windows.
struct Errors {
  // (n, places, horizon), of which one place counts: NaN where there is no truth.
  std::span<const double> values;
  std::int64_t places = 1, place = 0, horizon = 1;
  std::span<const WindowDomain> domains;  // (n)
  std::span<const std::int64_t> ages;     // (n), in rows
  double half_life = 1;
  std::int64_t apart = 1;
};

// Scores of each step in order, for quantiles.
class RankedScores {
 public:
  // Of scores (n, horizon), NaN is none, with weights (n) of at most 1.
  RankedScores(std::span<const double> scores, std::int64_t horizon,
               std::span<const double> weights, std::int64_t apart);

  std::int64_t horizon() const { return horizon_; }
  // The quantile of a level, in percent, some steps ahead, the first of them 0: the window at hand
  // counts as one with the largest score. NaN without any score.
  double quantile(std::int64_t step, double level) const;

 private:
  std::int64_t horizon_, count_, apart_;
  // (horizon, n): what is no number at the end; the sums of weights up to each.
  std::vector<double> scores_, sums_;
  std::vector<std::int64_t> known_;  // (horizon), scores that are numbers
};

// The scores of errors in logs, or of the others, and the power of roughness that divided them.
class ErrorScores {
 public:
  ErrorScores(const Errors& errors, bool logs);

  double power() const { return power_; }
  std::int64_t horizon() const { return scores_.horizon(); }
  // How far the interval of a level, in percent, reaches from the forecast, or from trained ends:
  // less than 0 where these have to come closer. NaN for steps without any score.
  double half_width(const WindowDomain& domain, std::int64_t step, double level) const;

 private:
  double power_ = 1;
  RankedScores scores_;
};

struct Ends {
  double low, high;
};

// The ends of one level from those of a forecast (both equal to it) or trained ones, moved by a
// width; nothing moves without one. No end lies above or below what a truth can be, but where the
// forecast does.
Ends moved_ends(const WindowDomain& domain, double point, Ends ends, std::optional<double> width);

// The ends so that those of a lower level, or the forecast, lie between them. NaN stays.
Ends around(Ends inner, Ends outer);

// Returns z for which a normal number lies within z deviations with a probability of level percent.
double normal_reach(double level);

// The ends of any level from those of some, in ascending order: linear in normal_reach, in logs
// where the domain has them, and beyond the largest one as between the last two. known_reaches has
// normal_reach of each of the known levels.
Ends ends_between(const WindowDomain& domain, double point, std::span<const Ends> known,
                  std::span<const double> known_reaches, double reach);

// Writes straight lines in place of NaN; the first and the last value are none.
void fill_holes(std::span<double> values);

}  // namespace memattn
