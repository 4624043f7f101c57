// The matrix product of the library, for vectors of any length. It computes every sum that is
// longer than a softmax row. Included once for each instruction set by simd.cc.
//
// Every element of C is one chain of fused multiply-adds in the order of k, independent of shape,
// blocking and position in a vector. So no split of the work changes a bit.
#if defined(MEMATTN_KERNELS_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_PRODUCT_INL_H_
#undef MEMATTN_KERNELS_PRODUCT_INL_H_
#else
#define MEMATTN_KERNELS_PRODUCT_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "hwy/highway.h"
#include "kernels/pack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Depends on 32 or 16 vector registers: the accumulators, a row of b and one broadcast value must
// fit.
#if HWY_TARGET == HWY_AVX3 || HWY_ARCH_ARM_A64
inline constexpr int kBlock3 = 8;   // rows of a block that is 3 vectors wide
inline constexpr int kBlock2 = 12;  // 2 vectors wide
inline constexpr int kBlock1 = 8;
#else
inline constexpr int kBlock3 = 4;
inline constexpr int kBlock2 = 4;
inline constexpr int kBlock1 = 8;
#endif

// The first addend of each element of C.
enum class Start {
  kZero,
  kAdd,      // the old value of C
  kRowBias,  // bias[row]
};

// The left operand A (m, k), stored as Stored: element (i, p) is data[i * row_stride + p *
// k_stride]. If packed (depth > 0), it is columns first to first + k - 1 of a matrix of `depth`
// columns that pack_left has packed.
template <typename Stored>
struct Left {
  const Stored* data = nullptr;
  std::int64_t row_stride = 0;
  std::int64_t k_stride = 0;
  std::int64_t depth = 0;
  std::int64_t first = 0;
};

// The right operand B (k, n), stored as Stored, with rows row_stride values apart. If packed (depth
// > 0), it is rows first to first + k - 1 of a matrix of `depth` rows that pack_right has packed.
// Then a panel's rows share no cache set, however wide the matrix is.
template <typename Stored>
struct Right {
  const Stored* data = nullptr;
  std::int64_t row_stride = 0;
  std::int64_t depth = 0;
  std::int64_t first = 0;
};

// Loads a vector of operands in the type of the arithmetic, exactly if the stored type is narrower.
template <class D, typename Stored>
HWY_INLINE hn::VFromD<D> load_operand(D d, const Stored* from) {
  if constexpr (std::is_same_v<Stored, hn::TFromD<D>>) {
    return hn::LoadU(d, from);
  } else {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<Stored, D>(), from));
  }
}

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
// Stores the first `part` lanes of a vector.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void store_part(D d, hn::VFromD<D> v, T* to, std::int64_t part) {
#if HWY_TARGET == HWY_AVX3
  hn::BlendedStore(v, hn::FirstN(d, static_cast<std::size_t>(part)), d, to);
#else
  // By halves, since a masked store is microcode on AMD processors before Zen 4.
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
#endif

// Loads the first `part` lanes, those of `in_part`; the others are 0.
template <class D, class M, typename Stored>
HWY_INLINE hn::VFromD<D> load_part(D d, M in_part, std::int64_t part, const Stored* from) {
  if constexpr (std::is_same_v<Stored, hn::TFromD<D>>) {
    return hn::MaskedLoad(in_part, d, from);
  } else {
    const hn::Rebind<Stored, D> stored;
    return hn::PromoteTo(
        d, hn::MaskedLoad(hn::FirstN(stored, static_cast<std::size_t>(part)), stored, from));
  }
}

// Adds one product at a time with a fused multiply-add. pairs-inl.h has other kinds of sums.
struct PlainSums {
  // Computes C (kRows, kVectors vectors) from A (kRows, k), element (i, p) at a[i * row_stride + p
  // * k_stride], and B (k, kVectors vectors), rows ldb apart. With kPart, the last vector has
  // `part` lanes.
  template <int kRows, int kVectors, bool kPart, class D, typename A, typename B,
            typename T = hn::TFromD<D>>
  static HWY_INLINE void block(D d, Start start, std::int64_t part, std::int64_t k,
                               const A* HWY_RESTRICT a, std::int64_t row_stride,
                               std::int64_t k_stride, const B* HWY_RESTRICT b, std::int64_t ldb,
                               T* HWY_RESTRICT c, std::int64_t ldc, const T* HWY_RESTRICT bias) {
    using V = hn::VFromD<D>;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const auto in_part = hn::FirstN(d, static_cast<std::size_t>(kPart ? part : lanes));
    const auto load = [&](const auto* from, int v) HWY_ATTR {
      if constexpr (kPart) {
        if (v == kVectors - 1) return load_part(d, in_part, part, from);
      }
      return load_operand(d, from);
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
        const V factor = hn::Set(d, static_cast<T>(a[i * row_stride + p * k_stride]));
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
};

// Sized so that kDepth rows of a panel of B and a block of A fit in L1, and the whole block of A in
// L2. Not measured.
inline constexpr std::int64_t kDepth = 256, kLeftBytes = 1 << 18;

// Computes C (m, kVectors vectors) from at most kDepth rows of B, ldb apart.
template <class Sums, int kVectors, bool kPart, class D, typename A, typename B,
          typename T = hn::TFromD<D>>
HWY_NOINLINE void panel(D d, Start start, std::int64_t part, std::int64_t m, std::int64_t k,
                        Left<A> a, const B* b, std::int64_t ldb, T* c, std::int64_t ldc,
                        const T* bias) {
  constexpr int kLargest = kVectors == 3 ? kBlock3 : kVectors == 2 ? kBlock2 : kBlock1;
  // Rows far apart use few of L1's sets, so they are packed first if there are enough rows of A to
  // make up for it. Neither bound was measured.
  constexpr std::int64_t kFar = 1024 / sizeof(B), kManyRows = 32;
  const std::int64_t columns =
      (kVectors - (kPart ? 1 : 0)) * static_cast<std::int64_t>(Lanes(d)) + part;
  HWY_ALIGN B packed[kDepth * kVectors * hn::MaxLanes(D())];
  if (ldb >= kFar && m >= kManyRows) {
    for (std::int64_t p = 0; p < k; ++p) copy(columns, b + p * ldb, packed + p * columns);
    b = packed;
    ldb = columns;
  }
  for (std::int64_t i = 0; i < m;) {
    const int rows = next_block(m - i, a.depth > 0 ? kPackedRows : kLargest);
    const A* block =
        a.depth > 0 ? a.data + i * a.depth + a.first * rows : a.data + i * a.row_stride;
    const std::int64_t row_stride = a.depth > 0 ? 1 : a.row_stride;
    const std::int64_t k_stride = a.depth > 0 ? rows : a.k_stride;
    T* out = c + i * ldc;
    const T* start_at = bias ? bias + i : nullptr;
    const auto run = [&]<int kRows>() HWY_ATTR {
      Sums::template block<kRows, kVectors, kPart>(d, start, part, k, block, row_stride, k_stride,
                                                   b, ldb, out, ldc, start_at);
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

// Up to this many rows are computed one by one, each with as many vectors at once as there are.
// With three vectors at a time, a row would wait for its own sums. The bound was not measured.
inline constexpr std::int64_t kFewRows = 3;

// Computes the first columns of a single row of C; returns how many.
template <class Sums, typename T, typename A, typename B>
std::int64_t multiply_row(Start start, std::int64_t n, std::int64_t k, const Left<A>& a,
                          const Right<B>& b, T* c, const T* bias) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t j = 0;
  const auto run = [&]<int kVectors>() HWY_ATTR {
    Sums::template block<1, kVectors, false>(d, start, 0, k, a.data, 0, a.k_stride, b.data + j,
                                             b.row_stride, c + j, 0, bias);
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

// Computes columns j to n - 1 of C, for at most kDepth rows of B and kLeftBytes of A.
template <class Sums, typename T, typename A, typename B>
void multiply_panels(Start start, std::int64_t m, std::int64_t j, std::int64_t n, std::int64_t k,
                     const Left<A>& a, const Right<B>& b, T* c, std::int64_t ldc, const T* bias) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  while (j < n) {
    const std::int64_t columns = next_panel(n - j, lanes);
    const std::int64_t ldb = b.depth > 0 ? columns : b.row_stride;
    const B* from = b.depth > 0 ? b.data + j * b.depth + b.first * columns : b.data + j;
    const std::int64_t part = columns % lanes;
    const auto run = [&]<int kVectors, bool kPart>() HWY_ATTR {
      panel<Sums, kVectors, kPart>(d, start, part, m, k, a, from, ldb, c + j, ldc, bias);
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
      panel<Sums, 1, false>(hn::CappedTag<T, 1>(), start, 0, m, k, a, from, ldb, c + j, ldc, bias);
    }
    j += columns;
  }
}

// Computes C (m, n) = start + A (m, k) * B (k, n) in T, with rows of C ldc values apart.
template <typename T, typename A = T, typename B = T, class Sums = PlainSums>
void multiply(Start start, std::int64_t m, std::int64_t n, std::int64_t k, Left<A> a, Right<B> b,
              T* c, std::int64_t ldc, const T* bias = nullptr) {
  constexpr std::int64_t kRows = kLeftBytes / sizeof(A) / kDepth;
  if (m == 0 || n == 0) return;  // An operand without elements may be a null pointer.
  std::int64_t j = 0;
  for (std::int64_t i = 0; i < m && m <= kFewRows && a.depth == 0 && b.depth == 0; ++i) {
    const Left<A> row{a.data + i * a.row_stride, 0, a.k_stride};
    j = multiply_row<Sums>(start, n, k, row, b, c + i * ldc, bias ? bias + i : nullptr);
  }
  for (std::int64_t p = 0; p == 0 || p < k; p += kDepth) {
    const std::int64_t depth = std::min(kDepth, k - p);
    for (std::int64_t i = 0; i < m; i += kRows) {
      Left<A> left = a;
      left.data += i * (a.depth > 0 ? a.depth : a.row_stride);
      multiply_panels<Sums>(start, std::min(kRows, m - i), j, n, depth, left, b, c + i * ldc, ldc,
                            bias ? bias + i : nullptr);
    }
    a.data += a.depth > 0 ? 0 : depth * a.k_stride;
    a.first += depth;
    b.data += b.depth > 0 ? 0 : depth * b.row_stride;
    b.first += depth;
    start = Start::kAdd;
  }
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_PRODUCT_INL_H_
