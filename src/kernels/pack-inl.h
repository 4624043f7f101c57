// Packs operands in the order in which the products read them, and transposes. Included once for
// each instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_PACK_INL_H_
#undef MEMATTN_KERNELS_PACK_INL_H_
#else
#define MEMATTN_KERNELS_PACK_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows of a block of a packed left operand: as many as the products process at once.
#if HWY_TARGET == HWY_AVX3 || HWY_ARCH_ARM_A64
inline constexpr int kPackedRows = 8;
#else
inline constexpr int kPackedRows = 4;
#endif

// Whether partial vector loads are available. Otherwise the columns after the last whole vector, at
// most three, are loaded one by one.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
inline constexpr bool kPartVectors = true;
#else
inline constexpr bool kPartVectors = false;
#endif

// Sets out = values.
template <typename T>
HWY_INLINE void copy(std::int64_t size, const T* values, T* out) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) hn::StoreU(hn::LoadU(d, values + i), d, out + i);
  for (; i < size; ++i) out[i] = values[i];
}

#if HWY_TARGET != HWY_SCALAR
// Stores each 16-byte block of a vector at its own address.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void store_blocks(D d, hn::VFromD<D> v, T* to, std::int64_t distance) {
  if constexpr (hn::MaxLanes(D()) * sizeof(T) <= 16) {
    hn::StoreU(v, d, to);
  } else {
    const hn::Half<D> half;
    store_blocks(half, hn::LowerHalf(half, v), to, distance);
    constexpr auto kBlocks = static_cast<std::int64_t>(hn::MaxLanes(D()) * sizeof(T) / 32);
    store_blocks(half, hn::UpperHalf(half, v), to + kBlocks * distance, distance);
  }
}

// Turns columns of kSide = 16 / sizeof(T) rows of a into rows of out, a vector of columns at a
// time; returns how many columns that were.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE std::int64_t transpose_rows(D d, std::int64_t n, const T* a, std::int64_t lda, T* out,
                                       std::int64_t ldo) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t j = 0;
  for (; j + lanes <= n; j += lanes) {
    const T* from = a + j;
    T* to = out + j * ldo;
    const auto row0 = hn::LoadU(d, from), row1 = hn::LoadU(d, from + lda);
    if constexpr (sizeof(T) == 4) {
      const auto row2 = hn::LoadU(d, from + 2 * lda), row3 = hn::LoadU(d, from + 3 * lda);
      const auto even_low = hn::InterleaveLower(d, row0, row2);
      const auto odd_low = hn::InterleaveLower(d, row1, row3);
      const auto even_high = hn::InterleaveUpper(d, row0, row2);
      const auto odd_high = hn::InterleaveUpper(d, row1, row3);
      store_blocks(d, hn::InterleaveLower(d, even_low, odd_low), to, 4 * ldo);
      store_blocks(d, hn::InterleaveUpper(d, even_low, odd_low), to + ldo, 4 * ldo);
      store_blocks(d, hn::InterleaveLower(d, even_high, odd_high), to + 2 * ldo, 4 * ldo);
      store_blocks(d, hn::InterleaveUpper(d, even_high, odd_high), to + 3 * ldo, 4 * ldo);
    } else {
      store_blocks(d, hn::InterleaveLower(d, row0, row1), to, 2 * ldo);
      store_blocks(d, hn::InterleaveUpper(d, row0, row1), to + ldo, 2 * ldo);
    }
  }
  return j;
}
#endif

// Computes out (n, m) = aᵀ for a (m, n).
template <typename T>
void transpose(std::int64_t m, std::int64_t n, const T* a, std::int64_t lda, T* out,
               std::int64_t ldo) noexcept {
  std::int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  constexpr std::int64_t kSide = 16 / sizeof(T);
  const hn::ScalableTag<T> d;
  const hn::CappedTag<T, kSide> block;
  for (; i + kSide <= m; i += kSide) {
    const T* from = a + i * lda;
    std::int64_t j = transpose_rows(d, n, from, lda, out + i, ldo);
    j += transpose_rows(block, n - j, from + j, lda, out + j * ldo + i, ldo);
    for (; j < n; ++j) {
      for (std::int64_t r = 0; r < kSide; ++r) out[j * ldo + i + r] = from[r * lda + j];
    }
  }
#endif
  for (; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) out[j * ldo + i] = a[i * lda + j];
  }
}

// Returns how many of `rows` rows the next block takes, at most `largest`.
constexpr int next_block(std::int64_t rows, int largest) {
  if (rows >= largest) return largest;
  for (const int size : {8, 4, 2}) {
    if (size < largest && rows >= size) return size;
  }
  return 1;
}

// Returns how many of `columns` columns the next panel takes: up to three vectors, the last of
// which may be partial.
inline std::int64_t next_panel(std::int64_t columns, std::int64_t lanes) {
  const std::int64_t vectors = (columns + (kPartVectors ? lanes - 1 : 0)) / lanes;
  if (vectors == 0) return 1;
  // 4 are faster as 2 and 2 than as 3 and 1.
  return std::min(columns, (vectors >= 5 || vectors == 3 ? 3 : vectors >= 2 ? 2 : 1) * lanes);
}

// Packs A (m, k), element (i, p) at a[i * row_stride + p * k_stride], for Left::depth = k. Writes m
// * k values, block after block of the rows that next_block gives, with a block's rows fastest.
template <typename T>
void pack_left(std::int64_t m, std::int64_t k, const T* a, std::int64_t row_stride,
               std::int64_t k_stride, T* out) {
  for (std::int64_t i = 0; i < m;) {
    const int rows = next_block(m - i, kPackedRows);
    if (k_stride == 1) {
      transpose(rows, k, a + i * row_stride, row_stride, out + i * k, rows);
    } else if (row_stride == 1 && rows == kPackedRows) {
      for (std::int64_t p = 0; p < k; ++p) {
        std::memcpy(out + i * k + p * kPackedRows, a + i + p * k_stride, kPackedRows * sizeof(T));
      }
    } else {
      for (std::int64_t p = 0; p < k; ++p) {
        for (int r = 0; r < rows; ++r)
          out[i * k + p * rows + r] = a[(i + r) * row_stride + p * k_stride];
      }
    }
    i += rows;
  }
}

// Packs B (k, n), rows `row_stride` values apart, for Right::depth = k. Writes k * n values, panel
// after panel of the columns that next_panel gives, with a row's columns fastest.
template <typename T>
void pack_right(std::int64_t k, std::int64_t n, const T* b, std::int64_t row_stride, T* out) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  for (std::int64_t j = 0; j < n;) {
    const std::int64_t columns = next_panel(n - j, lanes);
    for (std::int64_t p = 0; p < k; ++p)
      copy(columns, b + p * row_stride + j, out + j * k + p * columns);
    j += columns;
  }
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_PACK_INL_H_
