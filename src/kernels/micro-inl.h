// The one matrix product of the library, for vectors of any length. It stands behind every sum that
// is longer than a softmax row. Included once for each instruction set by simd.cc.
//
// Every element of C is one chain of fused multiply-adds in the order of k, whatever the shape, the
// blocking and the place of the element in a vector: so no way of cutting the work changes a bit.
#if defined(MEMATTN_KERNELS_MICRO_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_MICRO_INL_H_
#undef MEMATTN_KERNELS_MICRO_INL_H_
#else
#define MEMATTN_KERNELS_MICRO_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 32 vector registers, or 16? The accumulators, a row of b and one broadcast value have to fit.
#if HWY_TARGET == HWY_AVX3 || HWY_ARCH_ARM_A64
inline constexpr int kBlock3 = 8;   // rows of a block that is 3 vectors wide
inline constexpr int kBlock2 = 12;  // 2 vectors wide
inline constexpr int kBlock1 = 8;
inline constexpr int kPackedRows = 8;
#else
inline constexpr int kBlock3 = 4;
inline constexpr int kBlock2 = 4;
inline constexpr int kBlock1 = 8;
inline constexpr int kPackedRows = 4;
#endif

// What the first addend of each element of C is.
enum class Start {
  kZero,
  kAdd,      // what C holds
  kRowBias,  // bias[row]
};

// The left operand A (m, k): element (i, p) is data[i * row + p * step]. If packed, it lies block
// after block, each of the rows that next_block gives, with the block's rows fastest.
template <typename T>
struct Left {
  const T* data = nullptr;
  std::int64_t row = 0;
  std::int64_t step = 0;
  bool packed = false;
};

// How many of `rows` rows the next block takes, at most `largest`.
constexpr int next_block(std::int64_t rows, int largest) {
  if (rows >= largest) return largest;
  for (const int size : {8, 4, 2}) {
    if (size < largest && rows >= size) return size;
  }
  return 1;
}

template <int kRows, int kVectors, class D, typename T = hn::TFromD<D>>
HWY_INLINE void micro(D d, Start start, std::int64_t k, const T* HWY_RESTRICT a, std::int64_t row,
                      std::int64_t step, const T* HWY_RESTRICT b, std::int64_t ldb,
                      T* HWY_RESTRICT c, std::int64_t ldc, const T* HWY_RESTRICT bias) {
  using V = hn::VFromD<D>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V sums[kRows][kVectors];
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kVectors; ++v) {
      sums[i][v] = start == Start::kAdd       ? hn::LoadU(d, c + i * ldc + v * lanes)
                   : start == Start::kRowBias ? hn::Set(d, bias[i])
                                              : hn::Zero(d);
    }
  }
  for (std::int64_t p = 0; p < k; ++p) {
    V line[kVectors];
    for (int v = 0; v < kVectors; ++v) line[v] = hn::LoadU(d, b + p * ldb + v * lanes);
    for (int i = 0; i < kRows; ++i) {
      const V factor = hn::Set(d, a[i * row + p * step]);
      for (int v = 0; v < kVectors; ++v) sums[i][v] = hn::MulAdd(factor, line[v], sums[i][v]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[i][v], d, c + i * ldc + v * lanes);
  }
}

// C (m, kVectors vectors).
template <int kVectors, class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void panel(D d, Start start, std::int64_t m, std::int64_t k, Left<T> a, const T* b,
                        std::int64_t ldb, T* c, std::int64_t ldc, const T* bias) {
  constexpr int kLargest = kVectors == 3 ? kBlock3 : kVectors == 2 ? kBlock2 : kBlock1;
  for (std::int64_t i = 0; i < m;) {
    const int rows = next_block(m - i, a.packed ? kPackedRows : kLargest);
    const T* block = a.packed ? a.data + i * k : a.data + i * a.row;
    const std::int64_t row = a.packed ? 1 : a.row;
    const std::int64_t step = a.packed ? rows : a.step;
    T* out = c + i * ldc;
    const T* start_at = bias ? bias + i : nullptr;
    switch (rows) {
      case 12:
        if constexpr (kVectors == 2) {
          micro<12, kVectors>(d, start, k, block, row, step, b, ldb, out, ldc, start_at);
        }
        break;
      case 8:
        micro<8, kVectors>(d, start, k, block, row, step, b, ldb, out, ldc, start_at);
        break;
      case 4:
        micro<4, kVectors>(d, start, k, block, row, step, b, ldb, out, ldc, start_at);
        break;
      case 2:
        micro<2, kVectors>(d, start, k, block, row, step, b, ldb, out, ldc, start_at);
        break;
      default:
        micro<1, kVectors>(d, start, k, block, row, step, b, ldb, out, ldc, start_at);
    }
    i += rows;
  }
}

// C (m, n) = start + A (m, k) * B (k, n), rows of B and C ldb and ldc values apart.
template <typename T>
void multiply(Start start, std::int64_t m, std::int64_t n, std::int64_t k, const Left<T>& a,
              const T* b, std::int64_t ldb, T* c, std::int64_t ldc, const T* bias = nullptr) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t j = 0;
  while (n - j >= lanes) {
    const std::int64_t vectors = (n - j) / lanes;
    if (vectors >= 5 || vectors == 3) {
      panel<3>(d, start, m, k, a, b + j, ldb, c + j, ldc, bias);
      j += 3 * lanes;
    } else if (vectors >= 2) {  // 4 go better as 2 and 2 than as 3 and 1
      panel<2>(d, start, m, k, a, b + j, ldb, c + j, ldc, bias);
      j += 2 * lanes;
    } else {
      panel<1>(d, start, m, k, a, b + j, ldb, c + j, ldc, bias);
      j += lanes;
    }
  }
#if HWY_TARGET != HWY_SCALAR
  const hn::CappedTag<T, 4> four;
  for (; n - j >= 4 && hn::Lanes(four) == 4; j += 4) {
    panel<1>(four, start, m, k, a, b + j, ldb, c + j, ldc, bias);
  }
#endif
  const hn::CappedTag<T, 1> one;
  for (; j < n; ++j) panel<1>(one, start, m, k, a, b + j, ldb, c + j, ldc, bias);
}

// Packs A (m, k), element (i, p) at a[i * row + p * step], for Left::packed: m * k values.
template <typename T>
void pack(std::int64_t m, std::int64_t k, const T* a, std::int64_t row, std::int64_t step, T* out) {
  for (std::int64_t i = 0; i < m;) {
    const int rows = next_block(m - i, kPackedRows);
    for (std::int64_t p = 0; p < k; ++p) {
      for (int r = 0; r < rows; ++r) *out++ = a[(i + r) * row + p * step];
    }
    i += rows;
  }
}

// out (n, m) = aᵀ for a (m, n).
template <typename T>
void transpose(std::int64_t m, std::int64_t n, const T* a, std::int64_t lda, T* out,
               std::int64_t ldo) {
  std::int64_t whole_m = 0, whole_n = 0;
#if HWY_TARGET != HWY_SCALAR
  if constexpr (sizeof(T) == 4) {
    const hn::FixedTag<T, 4> d;
    whole_m = m & ~std::int64_t{3}, whole_n = n & ~std::int64_t{3};
    for (std::int64_t i = 0; i < whole_m; i += 4) {
      for (std::int64_t j = 0; j < whole_n; j += 4) {
        const T* from = a + i * lda + j;
        const auto row0 = hn::LoadU(d, from), row1 = hn::LoadU(d, from + lda);
        const auto row2 = hn::LoadU(d, from + 2 * lda), row3 = hn::LoadU(d, from + 3 * lda);
        const auto even_low = hn::InterleaveLower(d, row0, row2);
        const auto odd_low = hn::InterleaveLower(d, row1, row3);
        const auto even_high = hn::InterleaveUpper(d, row0, row2);
        const auto odd_high = hn::InterleaveUpper(d, row1, row3);
        T* to = out + j * ldo + i;
        hn::StoreU(hn::InterleaveLower(d, even_low, odd_low), d, to);
        hn::StoreU(hn::InterleaveUpper(d, even_low, odd_low), d, to + ldo);
        hn::StoreU(hn::InterleaveLower(d, even_high, odd_high), d, to + 2 * ldo);
        hn::StoreU(hn::InterleaveUpper(d, even_high, odd_high), d, to + 3 * ldo);
      }
    }
  } else {
    const hn::FixedTag<T, 2> d;
    whole_m = m & ~std::int64_t{1}, whole_n = n & ~std::int64_t{1};
    for (std::int64_t i = 0; i < whole_m; i += 2) {
      for (std::int64_t j = 0; j < whole_n; j += 2) {
        const auto row0 = hn::LoadU(d, a + i * lda + j);
        const auto row1 = hn::LoadU(d, a + (i + 1) * lda + j);
        hn::StoreU(hn::InterleaveLower(d, row0, row1), d, out + j * ldo + i);
        hn::StoreU(hn::InterleaveUpper(d, row0, row1), d, out + (j + 1) * ldo + i);
      }
    }
  }
#endif
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = i < whole_m ? whole_n : 0; j < n; ++j) out[j * ldo + i] = a[i * lda + j];
  }
}

// Every row of out (rows, n) becomes `line`, or 0 when that is null.
template <typename T>
void fill_rows(std::int64_t rows, std::int64_t n, const T* line, T* out) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < n; ++j) out[i * n + j] = line ? line[j] : T(0);
  }
}

// sums (n) += the rows of a (rows, n).
template <typename T>
void add_rows(std::int64_t rows, std::int64_t n, const T* a, T* HWY_RESTRICT sums) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < n; ++j) sums[j] += a[i * n + j];
  }
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_MICRO_INL_H_
