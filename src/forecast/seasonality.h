// The seasonal index of a series at any of its origins, each from the values before it alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace memattn {

// Additive decomposition as Naive2 has it: the trend is a centred moving average over one season,
// the index of a phase the mean of what it leaves there, the indices of all phases sum to 0. Where
// the autocorrelation at one season is not significant at 90 %, or less than three seasons are
// known, all indices are 0. Makridakis and Hibon 2000, appendix.
//
// The phase of position i is i % season. Construction takes size * season operations, an index
// season of them; sums that all origins share are kept, one number a value.
class Seasonality {
 public:
  Seasonality(std::span<const double> values, std::int64_t season);

  // Whether the first `origin` values pass the test.
  bool seasonal(std::int64_t origin) const {
    return !seasonal_.empty() && seasonal_[static_cast<std::size_t>(origin)];
  }

  // index (season), by phase, from the first `origin` values.
  void index(std::int64_t origin, std::span<double> index) const;

 private:
  std::int64_t season_;
  std::vector<bool> seasonal_;     // by origin; empty when no origin can be
  std::vector<double> remainder_;  // value - trend, summed over a phase up to each position
};

}  // namespace memattn
