// Products of bfloat16 operands, held in pairs along k, with float sums; and how floats become
// pairs. Included once for each instruction set by simd.cc.
//
// Every element of C is one chain in the order of k, as in product-inl.h: of each pair first the
// odd element's product, then the even one's, each added with one rounding, subnormal numbers being
// 0. That is what VDPBF16PS computes, so that the two structs of sums below give the same bits
// (without fused multiply-adds, where an instruction set has none, unless a product is out of
// float's range).
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

#if HWY_TARGET == HWY_AVX3
#include <immintrin.h>
#endif

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sums of pairs, by two multiply-adds each.
struct EmulatedPairSums {
  static constexpr bool kEmulated = true;

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
// Sums of pairs, by AVX512-BF16, for which Highway 1.0 has no target: so this one function is
// compiled for it. A call of it is nothing beside its loop.
struct DotPairSums {
  static constexpr bool kEmulated = false;

  template <int kRows, int kVectors, bool kPart, class D>
  static HWY_NOINLINE __attribute__((target("avx512bf16"))) void block(
      D, Start start, std::int64_t part, std::int64_t k, const Pair* HWY_RESTRICT a,
      std::int64_t row_stride, std::int64_t k_stride, const Pair* HWY_RESTRICT b, std::int64_t ldb,
      float* HWY_RESTRICT c, std::int64_t ldc, const float* HWY_RESTRICT bias) {
    constexpr std::int64_t kLanes = 16;
    const auto in_part = static_cast<__mmask16>(kPart ? (1u << part) - 1 : 0xffffu);
    __m512 sums[kRows][kVectors];
    for (int i = 0; i < kRows; ++i) {
      for (int v = 0; v < kVectors; ++v) {
        const float* const from = c + i * ldc + v * kLanes;
        if (start != Start::kAdd) {
          sums[i][v] = start == Start::kRowBias ? _mm512_set1_ps(bias[i]) : _mm512_setzero_ps();
        } else if (kPart && v == kVectors - 1) {
          sums[i][v] = _mm512_maskz_loadu_ps(in_part, from);
        } else {
          sums[i][v] = _mm512_loadu_ps(from);
        }
      }
    }
    for (std::int64_t p = 0; p < k; ++p) {
      __m512i line[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        const Pair* const from = b + p * ldb + v * kLanes;
        line[v] = kPart && v == kVectors - 1 ? _mm512_maskz_loadu_epi32(in_part, from)
                                             : _mm512_loadu_si512(from);
      }
      for (int i = 0; i < kRows; ++i) {
        const __m512i factor =
            _mm512_set1_epi32(static_cast<int>(a[i * row_stride + p * k_stride]));
        for (int v = 0; v < kVectors; ++v) {
          sums[i][v] = _mm512_dpbf16_ps(sums[i][v], (__m512bh)factor, (__m512bh)line[v]);
        }
      }
    }
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

// C (m, n) = start + A (m, 2k) * B (2k, n) for operands in pairs: A (m, k) and B (k, n) of them.
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

// Each float as bfloat16 in the upper 16 bits; the lower ones are undefined. bfloat16.h says how.
template <class D>
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<D>> round_vector(D d, hn::VFromD<D> value) {
  const hn::RebindToUnsigned<D> bits;
  const auto raw = hn::BitCast(bits, value);
  const auto tie = hn::And(hn::ShiftRight<16>(raw), hn::Set(bits, 1u));
  const auto rounded = hn::Add(hn::Add(raw, hn::Set(bits, 0x7fffu)), tie);
  const auto normal = hn::Ge(hn::Abs(value), hn::Set(d, 0x1p-126f));  // not NaN either
  const auto other =
      hn::IfThenElse(hn::IsNaN(value), hn::Or(value, hn::BitCast(d, hn::Set(bits, 0x00400000u))),
                     hn::And(value, hn::BitCast(d, hn::Set(bits, 0x80000000u))));
  return hn::BitCast(bits, hn::IfThenElse(normal, hn::BitCast(d, rounded), other));
}

// out (pairs_of(k), n), rows ldo apart, = pairs of the rows of b (k, n): a right operand, or the
// transpose of a left one.
inline void round_columns(std::int64_t k, std::int64_t n, const float* b, std::int64_t ldb,
                          Pair* out, std::int64_t ldo) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> pairs;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto odd = hn::Set(pairs, 0xffff0000u);
  for (std::int64_t p = 0; p < k; p += 2) {
    const float* const first = b + p * ldb;
    const float* const second = p + 1 < k ? first + ldb : nullptr;
    Pair* const to = out + p / 2 * ldo;
    std::int64_t j = 0;
    for (; j + lanes <= n; j += lanes) {
      auto pair = hn::ShiftRight<16>(round_vector(d, hn::LoadU(d, first + j)));
      if (second) {
        pair = hn::Or(pair, hn::And(round_vector(d, hn::LoadU(d, second + j)), odd));
      }
      hn::StoreU(pair, pairs, to + j);
    }
    for (; j < n; ++j) to[j] = make_pair_of(first[j], second ? second[j] : 0.0f);
  }
}

// out (m, pairs_of(k)), rows ldo apart, = pairs of the columns of a (m, k): a left operand.
inline void round_rows(std::int64_t m, std::int64_t k, const float* a, std::int64_t lda, Pair* out,
                       std::int64_t ldo) {
  for (std::int64_t i = 0; i < m; ++i) {
    const float* const from = a + i * lda;
    Pair* const to = out + i * ldo;
    std::int64_t j = 0;
#if HWY_TARGET != HWY_SCALAR
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    const hn::RebindToUnsigned<decltype(d)> bits;
    const auto odd = hn::Set(bits, 0xffff0000u);
    for (; j + 2 * lanes <= k; j += 2 * lanes) {
      const auto low = round_vector(d, hn::LoadU(d, from + j));
      const auto high = round_vector(d, hn::LoadU(d, from + j + lanes));
      const auto first = hn::ConcatEven(bits, high, low), second = hn::ConcatOdd(bits, high, low);
      hn::StoreU(hn::Or(hn::ShiftRight<16>(first), hn::And(second, odd)), bits, to + j / 2);
    }
#endif
    for (; j + 2 <= k; j += 2) to[j / 2] = make_pair_of(from[j], from[j + 1]);
    if (j < k) to[j / 2] = make_pair_of(from[j], 0.0f);
  }
}

// Whether no element is NaN or infinite.
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
