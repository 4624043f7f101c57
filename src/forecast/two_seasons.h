// The seasonal index of series with a short and a long season, such as day and week for hourly
// rows, from the values before an origin alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace memattn {

// A series is decomposed into
//
//   trend     the centred moving average over a long season
//   level     the centred moving average over a season, less the trend
//   shape     the remainder
//
// The index is the sum of a shape and a level for each long phase, the position modulo the long
// season.
//
// The shape comes from the best predictor so far, by the sum of |errors| a season or a long season
// ahead. Candidates are zero, moving averages over the same phase or the same long phase that
// forget slowly or fast, and combinations of the two. A pattern that repeats for long is averaged
// over a long time; a changing pattern is taken from the last days.
//
// The level is its mean at a long phase, times a share: with few long seasons, means differ by
// chance. Following James and Stein (1961), the share is 1 less the ratio of the variance that
// means of noise would have to the observed variance, at least 0.
class TwoSeasons {
 public:
  // Properties of the index that index() computed.
  struct Found {
    double forgets = 0;     // the weight of the last season in the shape of a phase
    double long_share = 0;  // the share of the long phase in the shape
    double level = 0;       // the share of the level (James and Stein)
  };

  // long_season is a multiple of season, or 0 for none.
  TwoSeasons(std::span<const double> values, std::int64_t season, std::int64_t long_season);

  // Fills index (long_season), by long phase, from the first `origin` values. With fewer than three
  // seasons there is no shape, with fewer than three long seasons no level.
  Found index(std::int64_t origin, std::span<double> index) const;

 private:
  void choose_shape(std::span<const double> shape);
  void add_shape(std::int64_t origin, std::span<double> index, Found& found) const;
  void add_level(std::int64_t origin, std::span<double> index, Found& found) const;

  std::int64_t season_, long_season_;
  // Averages of the shape, by position: of the phase and of the long phase up to there.
  std::vector<std::vector<double>> averages_;
  std::vector<std::uint8_t> chosen_;      // by position: the best predictor up to there
  std::vector<double> levels_, squares_;  // summed along each long phase up to each position
};

}  // namespace memattn
