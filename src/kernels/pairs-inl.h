// Products of bfloat16 operands, held in pairs along k, with float sums. Included once for each
// instruction set by simd.cc.
//
// Every element of C is one chain in the order of k, as in product-inl.h. Of each pair it adds
// first the odd element's product, then the even one's, each with one rounding, and subnormal
// numbers count as 0. VDPBF16PS computes in this way, so the two structs of sums below give the
// same bits. The exception is an instruction set without fused multiply-adds, if a product is out
// of float's range.
#if defined(MEMATTN_KERNELS_PAIRS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_PAIRS_INL_H_
#undef MEMATTN_KERNELS_PAIRS_INL_H_
#else
#define MEMATTN_KERNELS_PAIRS_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "hwy/highway.h"
#include "kernels/bfloat16.h"
#include "kernels/flush_mode.h"
#include "kernels/product-inl.h"
#include "kernels/rounding-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sums of pairs with two multiply-adds each.
struct EmulatedPairSums {
  static constexpr bool kEmulated = true;
  using Rounding = EmulatedRounding;

  template <int kRows, int kVectors, bool kPart, class D>
  static HWY_INLINE void block(D d, Start start, std::int64_t part, std::int64_t k,
                               const Pair* HWY_RESTRICT a, std::int64_t row_stride,
                               std::int64_t k_stride, const Pair* HWY_RESTRICT b, std::int64_t ldb,
                               float* HWY_RESTRICT c, std::int64_t ldc,
                               const float* HWY_RESTRICT bias) {
    using V = hn::VFromD<D>;
    const hn::RebindToUnsigned<D> pairs;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const auto load = [&](auto to, const auto* from, int v) HWY_ATTR {
      if constexpr (kPart) {
        if (v == kVectors - 1) {
          return hn::MaskedLoad(hn::FirstN(to, static_cast<std::size_t>(part)), to, from);
        }
      }
      return hn::LoadU(to, from);
    };
    V sums[kRows][kVectors];
    for (int i = 0; i < kRows; ++i) {
      const V first = start == Start::kRowBias ? hn::Set(d, bias[i]) : hn::Zero(d);
      for (int v = 0; v < kVectors; ++v) {
        sums[i][v] = start == Start::kAdd ? load(d, c + i * ldc + v * lanes, v) : first;
      }
    }
    const auto odd = hn::Set(pairs, 0xffff0000u);
    for (std::int64_t p = 0; p < k; ++p) {
      const auto add = [&](auto element) HWY_ATTR {
        V line[kVectors];
        for (int v = 0; v < kVectors; ++v) {
          line[v] = hn::BitCast(d, element(load(pairs, b + p * ldb + v * lanes, v)));
        }
        for (int i = 0; i < kRows; ++i) {
          const V factor =
              hn::BitCast(d, element(hn::Set(pairs, a[i * row_stride + p * k_stride])));
          for (int v = 0; v < kVectors; ++v) sums[i][v] = hn::MulAdd(factor, line[v], sums[i][v]);
        }
      };
      add([&](auto pair) HWY_ATTR { return hn::And(pair, odd); });
      add([&](auto pair) HWY_ATTR { return hn::ShiftLeft<16>(pair); });
    }
    for (int i = 0; i < kRows; ++i) {
      for (int v = 0; v < kVectors; ++v) {
        float* const to = c + i * ldc + v * lanes;
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

#if HWY_TARGET == HWY_AVX3
// Sums of pairs with AVX512-BF16. A function call per block costs little compared with its loop.
struct DotPairSums {
  static constexpr bool kEmulated = false;
  using Rounding = DotRounding;

  template <int kRows, int kVectors, bool kPart, class D>
  static HWY_NOINLINE MEMATTN_AVX512_BF16 void block(D d, Start start, std::int64_t part,
                                                     std::int64_t k, const Pair* HWY_RESTRICT a,
                                                     std::int64_t row_stride, std::int64_t k_stride,
                                                     const Pair* HWY_RESTRICT b, std::int64_t ldb,
                                                     float* HWY_RESTRICT c, std::int64_t ldc,
                                                     const float* HWY_RESTRICT bias) {
    static constexpr float kZeros[kRows] = {};
    if (k == 0) {
      run_nothing<kRows, kVectors, kPart>(d, start, part, c, ldc, bias);
    } else if (start == Start::kAdd) {
      run<kRows, kVectors, kPart, true>(part, k, a, row_stride, k_stride, b, ldb, c, ldc, bias);
    } else {
      run<kRows, kVectors, kPart, false>(part, k, a, row_stride, k_stride, b, ldb, c, ldc,
                                         start == Start::kRowBias ? bias : kZeros);
    }
  }

 private:
  template <int kRows, int kVectors, bool kPart, class D>
  static HWY_NOINLINE void run_nothing(D d, Start start, std::int64_t part, float* c,
                                       std::int64_t ldc, const float* bias) {
    EmulatedPairSums::block<kRows, kVectors, kPart>(d, start, part, 0, nullptr, 0, 0, nullptr, 0, c,
                                                    ldc, bias);
  }

  // For k > 0. Adds to C with kAdds, else to a bias per row. With a single loop for both, or one
  // that may not run at all, GCC 12 moves all sums through the stack: 5 % of a pass at cross96.
  template <int kRows, int kVectors, bool kPart, bool kAdds>
  static inline __attribute__((always_inline)) MEMATTN_AVX512_BF16 void run(
      std::int64_t part, std::int64_t k, const Pair* HWY_RESTRICT a, std::int64_t row_stride,
      std::int64_t k_stride, const Pair* HWY_RESTRICT b, std::int64_t ldb, float* HWY_RESTRICT c,
      std::int64_t ldc, const float* HWY_RESTRICT bias) {
    constexpr std::int64_t kLanes = 16;
    const auto in_part = static_cast<__mmask16>(kPart ? (1u << part) - 1 : 0xffffu);
    __m512 sums[kRows][kVectors];
    for (int i = 0; i < kRows; ++i) {
      for (int v = 0; v < kVectors; ++v) {
        const float* const from = c + i * ldc + v * kLanes;
        if constexpr (!kAdds) {
          sums[i][v] = _mm512_set1_ps(bias[i]);
        } else if (kPart && v == kVectors - 1) {
          sums[i][v] = _mm512_maskz_loadu_ps(in_part, from);
        } else {
          sums[i][v] = _mm512_loadu_ps(from);
        }
      }
    }
    do {
      __m512i line[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        line[v] = kPart && v == kVectors - 1 ? _mm512_maskz_loadu_epi32(in_part, b + v * kLanes)
                                             : _mm512_loadu_si512(b + v * kLanes);
      }
      for (int i = 0; i < kRows; ++i) {
        const __m512i factor = _mm512_set1_epi32(static_cast<int>(a[i * row_stride]));
        for (int v = 0; v < kVectors; ++v) {
          sums[i][v] = _mm512_dpbf16_ps(sums[i][v], (__m512bh)factor, (__m512bh)line[v]);
        }
      }
      a += k_stride;
      b += ldb;
    } while (--k > 0);
    for (int i = 0; i < kRows; ++i) {
      for (int v = 0; v < kVectors; ++v) {
        float* const to = c + i * ldc + v * kLanes;
        if (kPart && v == kVectors - 1) {
          _mm512_mask_storeu_ps(to, in_part, sums[i][v]);
        } else {
          _mm512_storeu_ps(to, sums[i][v]);
        }
      }
    }
  }
};
#endif

// Computes C (m, n) = start + A (m, 2k) * B (2k, n), with A (m, k) and B (k, n) in pairs.
template <class Sums>
void multiply_pairs(Start start, std::int64_t m, std::int64_t n, std::int64_t k, Left<Pair> a,
                    Right<Pair> b, float* c, std::int64_t ldc, const float* bias = nullptr) {
  if constexpr (Sums::kEmulated) {
    const FlushMode mode;
    multiply<float, Pair, Pair, Sums>(start, m, n, k, a, b, c, ldc, bias);
  } else {
    multiply<float, Pair, Pair, Sums>(start, m, n, k, a, b, c, ldc, bias);
  }
}

// Returns whether no element is NaN or infinite.
inline bool all_finite(std::int64_t size, const Pair* pairs) {
  std::uint32_t found = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    const Pair exponents = pairs[i] & 0x7f807f80u;
    found |= static_cast<std::uint32_t>((exponents & 0x7f80u) == 0x7f80u) |
             static_cast<std::uint32_t>(exponents >> 16 == 0x7f80u);
  }
  return found == 0;
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_PAIRS_INL_H_
