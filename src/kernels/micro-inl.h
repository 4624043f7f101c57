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

#include <algorithm>
#include <cstdint>
#include <cstring>

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

// out = values.
template <typename T>
HWY_INLINE void copy(std::int64_t size, const T* values, T* out) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) hn::StoreU(hn::LoadU(d, values + i), d, out + i);
  for (; i < size; ++i) out[i] = values[i];
}

#if HWY_TARGET != HWY_SCALAR
// The blocks of 16 bytes of a vector, each to a place of its own.
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

// Columns of kSide = 16 / sizeof(T) rows of a to rows of out, a vector of columns at a time;
// returns how many columns that were.
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

// out (n, m) = aᵀ for a (m, n).
template <typename T>
void transpose(std::int64_t m, std::int64_t n, const T* a, std::int64_t lda, T* out,
               std::int64_t ldo) {
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

// What the first addend of each element of C is.
enum class Start {
  kZero,
  kAdd,      // what C holds
  kRowBias,  // bias[row]
};

// The left operand A (m, k): element (i, p) is data[i * row + p * step]. If packed (depth > 0), it
// is columns first to first + k - 1 of a matrix of `depth` columns that lies block after block,
// each of the rows that next_block gives, with the block's rows fastest.
template <typename T>
struct Left {
  const T* data = nullptr;
  std::int64_t row = 0;
  std::int64_t step = 0;
  std::int64_t depth = 0;
  std::int64_t first = 0;
};

// The right operand B (k, n): rows `row` values apart. If packed (depth > 0), it is rows first to
// first + k - 1 of a matrix of `depth` rows that lies panel after panel, each of the columns that
// next_panel gives: so a panel's rows share no cache set, however wide the matrix is.
template <typename T>
struct Right {
  const T* data = nullptr;
  std::int64_t row = 0;
  std::int64_t depth = 0;
  std::int64_t first = 0;
};

// How many of `rows` rows the next block takes, at most `largest`.
constexpr int next_block(std::int64_t rows, int largest) {
  if (rows >= largest) return largest;
  for (const int size : {8, 4, 2}) {
    if (size < largest && rows >= size) return size;
  }
  return 1;
}

// Whether a vector may be loaded in part: else the columns behind the last whole vector go one by
// one, of which there are at most three.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
inline constexpr bool kPartVectors = true;

// The first `part` lanes of a vector.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void store_part(D d, hn::VFromD<D> v, T* to, std::int64_t part) {
#if HWY_TARGET == HWY_AVX3
  hn::BlendedStore(v, hn::FirstN(d, static_cast<std::size_t>(part)), d, to);
#else
  // By halves: a masked store is microcode on AMD processors before Zen 4.
  if constexpr (hn::MaxLanes(D()) > 1) {
    const hn::Half<D> half;
    constexpr auto kHalf = static_cast<std::int64_t>(hn::MaxLanes(half));
    auto rest = hn::LowerHalf(half, v);
    if (part >= kHalf) {
      hn::StoreU(rest, half, to);
      rest = hn::UpperHalf(half, v);
      to += kHalf;
      part -= kHalf;
    }
    store_part(half, rest, to, part);
  } else if (part > 0) {
    hn::StoreU(v, d, to);
  }
#endif
}

#else
inline constexpr bool kPartVectors = false;
#endif

// How many of `columns` columns the next panel takes: up to three vectors, of which the last may be
// a part.
inline std::int64_t next_panel(std::int64_t columns, std::int64_t lanes) {
  const std::int64_t vectors = (columns + (kPartVectors ? lanes - 1 : 0)) / lanes;
  if (vectors == 0) return 1;
  // 4 go better as 2 and 2 than as 3 and 1.
  return std::min(columns, (vectors >= 5 || vectors == 3 ? 3 : vectors >= 2 ? 2 : 1) * lanes);
}

// C (kRows, kVectors vectors); with kPart the last vector has `part` lanes.
template <int kRows, int kVectors, bool kPart, class D, typename T = hn::TFromD<D>>
HWY_INLINE void micro(D d, Start start, std::int64_t part, std::int64_t k, const T* HWY_RESTRICT a,
                      std::int64_t row, std::int64_t step, const T* HWY_RESTRICT b,
                      std::int64_t ldb, T* HWY_RESTRICT c, std::int64_t ldc,
                      const T* HWY_RESTRICT bias) {
  using V = hn::VFromD<D>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto in_part = hn::FirstN(d, static_cast<std::size_t>(kPart ? part : lanes));
  const auto load = [&](const T* from, int v) HWY_ATTR {
    if constexpr (kPart) {
      if (v == kVectors - 1) return hn::MaskedLoad(in_part, d, from);
    }
    return hn::LoadU(d, from);
  };
  V sums[kRows][kVectors];
  if (start == Start::kAdd) {
    for (int i = 0; i < kRows; ++i) {
      for (int v = 0; v < kVectors; ++v) sums[i][v] = load(c + i * ldc + v * lanes, v);
    }
  } else {
    for (int i = 0; i < kRows; ++i) {
      const V first = start == Start::kRowBias ? hn::Set(d, bias[i]) : hn::Zero(d);
      for (int v = 0; v < kVectors; ++v) sums[i][v] = first;
    }
  }
  for (std::int64_t p = 0; p < k; ++p) {
    V line[kVectors];
    for (int v = 0; v < kVectors; ++v) line[v] = load(b + p * ldb + v * lanes, v);
    for (int i = 0; i < kRows; ++i) {
      const V factor = hn::Set(d, a[i * row + p * step]);
      for (int v = 0; v < kVectors; ++v) sums[i][v] = hn::MulAdd(factor, line[v], sums[i][v]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int v = 0; v < kVectors; ++v) {
      T* const to = c + i * ldc + v * lanes;
      if constexpr (kPart) {
        if (v == kVectors - 1) {
          store_part(d, sums[i][v], to, part);
          continue;
        }
      }
      hn::StoreU(sums[i][v], d, to);
    }
  }
}

// So many rows of a panel lie in L1 beside a block of A, and so much of A, for the next panel, in
// L2.
inline constexpr std::int64_t kDepth = 256, kLeftBytes = 1 << 18;

// C (m, kVectors vectors), from at most kDepth rows of B, ldb apart.
template <int kVectors, bool kPart, class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void panel(D d, Start start, std::int64_t part, std::int64_t m, std::int64_t k,
                        Left<T> a, const T* b, std::int64_t ldb, T* c, std::int64_t ldc,
                        const T* bias) {
  constexpr int kLargest = kVectors == 3 ? kBlock3 : kVectors == 2 ? kBlock2 : kBlock1;
  // Rows far apart share few of L1's sets: they are packed first when enough rows of A make up for
  // it.
  constexpr std::int64_t kFar = 1024 / sizeof(T), kManyRows = 32;
  const std::int64_t columns =
      (kVectors - (kPart ? 1 : 0)) * static_cast<std::int64_t>(Lanes(d)) + part;
  HWY_ALIGN T packed[kDepth * kVectors * hn::MaxLanes(D())];
  if (ldb >= kFar && m >= kManyRows) {
    for (std::int64_t p = 0; p < k; ++p) copy(columns, b + p * ldb, packed + p * columns);
    b = packed;
    ldb = columns;
  }
  for (std::int64_t i = 0; i < m;) {
    const int rows = next_block(m - i, a.depth > 0 ? kPackedRows : kLargest);
    const T* block = a.depth > 0 ? a.data + i * a.depth + a.first * rows : a.data + i * a.row;
    const std::int64_t row = a.depth > 0 ? 1 : a.row;
    const std::int64_t step = a.depth > 0 ? rows : a.step;
    T* out = c + i * ldc;
    const T* start_at = bias ? bias + i : nullptr;
    const auto run = [&]<int kRows>() HWY_ATTR {
      micro<kRows, kVectors, kPart>(d, start, part, k, block, row, step, b, ldb, out, ldc,
                                    start_at);
    };
    switch (rows) {
      case 12:
        if constexpr (kLargest >= 12) run.template operator()<12>();
        break;
      case 8:
        if constexpr (kLargest >= 8) run.template operator()<8>();
        break;
      case 4:
        run.template operator()<4>();
        break;
      case 2:
        run.template operator()<2>();
        break;
      default:
        run.template operator()<1>();
    }
    i += rows;
  }
}

// Up to so many rows go best one by one, each by as many vectors at once as there are: by three, a
// row would wait for its own sums.
inline constexpr std::int64_t kFewRows = 3;

// The first columns of a single row of C; returns how many.
template <typename T>
std::int64_t multiply_row(Start start, std::int64_t n, std::int64_t k, const Left<T>& a,
                          const Right<T>& b, T* c, const T* bias) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t j = 0;
  const auto run = [&]<int kVectors>() HWY_ATTR {
    micro<1, kVectors, false>(d, start, 0, k, a.data, 0, a.step, b.data + j, b.row, c + j, 0, bias);
    j += kVectors * lanes;
  };
  for (std::int64_t left = n / lanes; left >= 4; left = (n - j) / lanes) {
    if (left >= 12) {
      run.template operator()<12>();
    } else if (left >= 10) {
      run.template operator()<10>();
    } else if (left >= 8) {
      run.template operator()<8>();
    } else if (left >= 6) {
      run.template operator()<6>();
    } else if (left == 5) {
      run.template operator()<5>();
    } else {
      run.template operator()<4>();
    }
  }
  return j;
}

// Columns j to n - 1 of C, for at most kDepth rows of B and kLeftBytes of A.
template <typename T>
void multiply_panels(Start start, std::int64_t m, std::int64_t j, std::int64_t n, std::int64_t k,
                     const Left<T>& a, const Right<T>& b, T* c, std::int64_t ldc, const T* bias) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  while (j < n) {
    const std::int64_t columns = next_panel(n - j, lanes);
    const std::int64_t ldb = b.depth > 0 ? columns : b.row;
    const T* from = b.depth > 0 ? b.data + j * b.depth + b.first * columns : b.data + j;
    const std::int64_t part = columns % lanes;
    const auto run = [&]<int kVectors, bool kPart>() HWY_ATTR {
      panel<kVectors, kPart>(d, start, part, m, k, a, from, ldb, c + j, ldc, bias);
    };
    if (part == 0) {
      switch (columns / lanes) {
        case 3:
          run.template operator()<3, false>();
          break;
        case 2:
          run.template operator()<2, false>();
          break;
        default:
          run.template operator()<1, false>();
      }
    } else if constexpr (kPartVectors) {
      switch (columns / lanes) {
        case 2:
          run.template operator()<3, true>();
          break;
        case 1:
          run.template operator()<2, true>();
          break;
        default:
          run.template operator()<1, true>();
      }
    } else {
      panel<1, false>(hn::CappedTag<T, 1>(), start, 0, m, k, a, from, ldb, c + j, ldc, bias);
    }
    j += columns;
  }
}

// C (m, n) = start + A (m, k) * B (k, n), rows of C ldc values apart.
template <typename T>
void multiply(Start start, std::int64_t m, std::int64_t n, std::int64_t k, Left<T> a, Right<T> b,
              T* c, std::int64_t ldc, const T* bias = nullptr) {
  constexpr std::int64_t kRows = kLeftBytes / sizeof(T) / kDepth;
  std::int64_t j = 0;
  for (std::int64_t i = 0; i < m && m <= kFewRows && a.depth == 0 && b.depth == 0; ++i) {
    j = multiply_row(start, n, k, {a.data + i * a.row, 0, a.step}, b, c + i * ldc,
                     bias ? bias + i : nullptr);
  }
  for (std::int64_t p = 0; p == 0 || p < k; p += kDepth) {
    const std::int64_t depth = std::min(kDepth, k - p);
    for (std::int64_t i = 0; i < m; i += kRows) {
      Left<T> left = a;
      left.data += i * (a.depth > 0 ? a.depth : a.row);
      multiply_panels(start, std::min(kRows, m - i), j, n, depth, left, b, c + i * ldc, ldc,
                      bias ? bias + i : nullptr);
    }
    a.data += a.depth > 0 ? 0 : depth * a.step;
    a.first += depth;
    b.data += b.depth > 0 ? 0 : depth * b.row;
    b.first += depth;
    start = Start::kAdd;
  }
}

// Packs A (m, k), element (i, p) at a[i * row + p * step], for Left::depth = k: m * k values.
template <typename T>
void pack_left(std::int64_t m, std::int64_t k, const T* a, std::int64_t row, std::int64_t step,
               T* out) {
  for (std::int64_t i = 0; i < m;) {
    const int rows = next_block(m - i, kPackedRows);
    if (step == 1) {
      transpose(rows, k, a + i * row, row, out + i * k, rows);
    } else if (row == 1 && rows == kPackedRows) {
      for (std::int64_t p = 0; p < k; ++p) {
        std::memcpy(out + i * k + p * kPackedRows, a + i + p * step, kPackedRows * sizeof(T));
      }
    } else {
      for (std::int64_t p = 0; p < k; ++p) {
        for (int r = 0; r < rows; ++r) out[i * k + p * rows + r] = a[(i + r) * row + p * step];
      }
    }
    i += rows;
  }
}

// Packs B (k, n), rows `row` values apart, for Right::depth = k: k * n values.
template <typename T>
void pack_right(std::int64_t k, std::int64_t n, const T* b, std::int64_t row, T* out) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  for (std::int64_t j = 0; j < n;) {
    const std::int64_t columns = next_panel(n - j, lanes);
    for (std::int64_t p = 0; p < k; ++p) copy(columns, b + p * row + j, out + j * k + p * columns);
    j += columns;
  }
}

// Every row of out (rows, n) becomes `line`, or 0 when that is null.
template <typename T>
void fill_rows(std::int64_t rows, std::int64_t n, const T* line, T* out) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < n; ++j) out[i * n + j] = line ? line[j] : T(0);
  }
}

// The sum of `size` values, lane by lane and then across.
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
