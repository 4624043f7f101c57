// Computes sums along each phase, and the test of significance, updated value by value.
#include "forecast/seasonality.h"

#include <algorithm>
#include <cmath>

namespace memattn {
namespace {

constexpr double kQuantile = 1.645;  // of the standard normal at 95 %: two-sided 90 %

// A variance below this share of the sum of squares is rounding error: all values are equal.
constexpr double kRounding = 1e-12;

// Returns the test at every origin from first_origin on. All sums are of values less the first one,
// since with a large mean their differences would lose most digits.
std::vector<bool> significant(std::span<const double> values, std::int64_t season,
                              std::int64_t first_origin) {
  const auto size = static_cast<std::int64_t>(values.size());
  std::vector<bool> result(values.size() + 1, false);
  std::vector<double> centred(values.size()), sums(values.size() + 1, 0.0);
  std::vector<double> products(static_cast<std::size_t>(season) + 1, 0.0);  // by lag
  for (std::int64_t i = 0; i < size; ++i) {
    double* c = centred.data();
    c[i] = values[static_cast<std::size_t>(i)] - values[0];
    sums[static_cast<std::size_t>(i + 1)] = sums[static_cast<std::size_t>(i)] + c[i];
    const std::int64_t lags = std::min(season, i);
    for (std::int64_t k = 0; k <= lags; ++k)
      products[static_cast<std::size_t>(k)] += c[i] * c[i - k];

    const std::int64_t n = i + 1;
    if (n < std::max(3 * season, first_origin)) continue;
    const auto sum = [&](std::int64_t end) { return sums[static_cast<std::size_t>(end)]; };
    const double mean = sum(n) / static_cast<double>(n);
    const auto covariance = [&](std::int64_t k) {
      return products[static_cast<std::size_t>(k)] - mean * (sum(n) - sum(k) + sum(n - k)) +
             static_cast<double>(n - k) * mean * mean;
    };
    const double variance = covariance(0);
    if (!(variance > kRounding * products[0])) continue;
    double squares = 0;
    for (std::int64_t k = 1; k < season; ++k) {
      const double correlation = covariance(k) / variance;
      squares += correlation * correlation;
    }
    const double limit = kQuantile * std::sqrt((1 + 2 * squares) / static_cast<double>(n));
    result[static_cast<std::size_t>(n)] = std::abs(covariance(season) / variance) > limit;
  }
  return result;
}

}  // namespace

Seasonality::Seasonality(std::span<const double> values, std::int64_t season,
                         std::int64_t first_origin)
    : season_(season) {
  const auto size = static_cast<std::int64_t>(values.size());
  if (season < 2 || size < 3 * season) return;
  seasonal_ = significant(values, season, first_origin);
  // An even season needs season + 1 values, of which the first and the last count half.
  const std::int64_t half = season / 2;
  const double end_weight = season % 2 == 0 ? 0.5 : 1.0;
  remainder_.assign(values.size(), 0.0);
  const double* x = values.data();
  for (std::int64_t i = half; i + half < size; ++i) {
    double sum = end_weight * (x[i - half] + x[i + half]);
    for (std::int64_t k = 1 - half; k < half; ++k) sum += x[i + k];
    const double before = i >= season ? remainder_[static_cast<std::size_t>(i - season)] : 0.0;
    remainder_[static_cast<std::size_t>(i)] = before + x[i] - sum / static_cast<double>(season);
  }
}

void Seasonality::index(std::int64_t origin, std::span<double> index) const {
  std::fill(index.begin(), index.end(), 0.0);
  if (!seasonal(origin)) return;
  // Positions half .. origin - half - 1 have a trend; there are at least two of each phase.
  const std::int64_t half = season_ / 2, end = origin - half;
  double mean = 0;
  for (std::int64_t i = end - season_; i < end; ++i) {
    const auto phase = static_cast<std::size_t>(i % season_);
    const auto count = static_cast<double>((i - half) / season_ + 1);
    index[phase] = remainder_[static_cast<std::size_t>(i)] / count;
    mean += index[phase];
  }
  mean /= static_cast<double>(season_);
  for (double& value : index) value -= mean;
}

}  // namespace memattn
