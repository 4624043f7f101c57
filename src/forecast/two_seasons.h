// The season of series that have a short and a long one, such as a day and a week of hours, from
// the values before an origin alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace memattn {

// A series is taken apart into
//
//   trend     the centred moving average over a long season
//   level     the centred moving average over a season, less the trend
//   shape     what is left
//
// The index is a shape and a level for each long phase, the position modulo the long season.
//
// The shape is what predicted best so far, by the sum of |errors|, a season or a long season ahead:
// none, a moving average over the same phase or the same long phase that forgets slowly or fast,
// or two of them together. A pattern that repeats for long is averaged for long, one that changes
// is that of the last days.
//
// The level is its mean at a long phase, times a share: with few long seasons known, means differ
// by chance. As James and Stein (1961) have it the share is 1 less the variance that means of noise
// would have over the variance that was found, at least 0.
class TwoSeasons {
 public:
  // What index() has found.
  struct Found {
    double forgets = 0;     // the weight of the last season in the shape of a phase
    double long_share = 0;  // of the shape that is that of the long phase
    double level = 0;       // the share of the level
  };

  // long_season is a multiple of season, or 0: there is none.
  TwoSeasons(std::span<const double> values, std::int64_t season, std::int64_t long_season);

  // Fills index (long_season), by long phase, from the first `origin` values. Fewer than three
  // seasons have no shape, fewer than three long seasons no level.
  Found index(std::int64_t origin, std::span<double> index) const;

 private:
  void choose_shape(std::span<const double> shape);
  void add_shape(std::int64_t origin, std::span<double> index, Found& found) const;
  void add_level(std::int64_t origin, std::span<double> index, Found& found) const;

  std::int64_t season_, long_season_;
  // Averages of the shape, by position: those of the phase and of the long phase up to there.
  std::vector<std::vector<double>> averages_;
  std::vector<std::uint8_t> chosen_;      // by position: what predicted best up to there
  std::vector<double> levels_, squares_;  // summed over a long phase up to each position
};

}  // namespace memattn
