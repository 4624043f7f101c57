// Sums and copies over rows. Included once for each instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_ROWS_INL_H_
#undef MEMATTN_KERNELS_ROWS_INL_H_
#else
#define MEMATTN_KERNELS_ROWS_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sets every row of out (rows, n) to `line`, or to 0 if that is null.
template <typename T>
void fill_rows(std::int64_t rows, std::int64_t n, const T* line, T* out) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < n; ++j) out[i * n + j] = line ? line[j] : T(0);
  }
}

// Returns the sum of `size` values, first lane by lane and then across lanes.
template <typename T>
T sum(std::int64_t size, const T* values) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto total = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) total = hn::Add(total, hn::LoadU(d, values + i));
  T result = hn::GetLane(hn::SumOfLanes(d, total));
  for (; i < size; ++i) result += values[i];
  return result;
}

// Returns the sum of the squares of `size` values, in the same order.
template <typename T>
T sum_of_squares(std::int64_t size, const T* values) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto total = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto value = hn::LoadU(d, values + i);
    total = hn::MulAdd(value, value, total);
  }
  T result = hn::GetLane(hn::SumOfLanes(d, total));
  for (; i < size; ++i) result += values[i] * values[i];
  return result;
}

// Adds the rows of a (rows, n) to sums (n).
template <typename T>
void add_rows(std::int64_t rows, std::int64_t n, const T* a, T* HWY_RESTRICT sums) noexcept {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < n; ++j) sums[j] += a[i * n + j];
  }
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_ROWS_INL_H_
