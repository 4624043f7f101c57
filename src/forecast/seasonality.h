// The seasonal index of a series at each of its origins, from the values before the origin alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace memattn {

// The additive decomposition of Naive2 (Makridakis and Hibon 2000, appendix). The trend is a
// centred moving average over one season. The index of a phase is the mean of value less trend at
// that phase, shifted so that the indices of all phases sum to 0. All indices are 0 when the
// autocorrelation at one season is not significant at 90 %, or fewer than three seasons are known.
//
// Construction takes size * season operations, mostly for the test, and keeps one number per value.
// An index then takes `season` operations.
class Seasonality {
 public:
  // Only origins from `first_origin` on may be passed later; earlier ones are not tested.
  Seasonality(std::span<const double> values, std::int64_t season, std::int64_t first_origin = 0);

  // Returns whether the first `origin` values pass the test of significance.
  bool seasonal(std::int64_t origin) const {
    return !seasonal_.empty() && seasonal_[static_cast<std::size_t>(origin)];
  }

  // Fills index (season), by phase, from the first `origin` values.
  void index(std::int64_t origin, std::span<double> index) const;

 private:
  std::int64_t season_;
  std::vector<bool> seasonal_;     // by origin; empty when none passes
  std::vector<double> remainder_;  // value - trend, summed along each phase up to each position
};

}  // namespace memattn
