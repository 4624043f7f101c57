// Rounds floats to pairs of bfloat16 numbers. Included once for each instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_ROUNDING_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_ROUNDING_INL_H_
#undef MEMATTN_KERNELS_ROUNDING_INL_H_
#else
#define MEMATTN_KERNELS_ROUNDING_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/bfloat16.h"

#if HWY_TARGET == HWY_AVX3
#include <immintrin.h>
#endif

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Uses integer operations. DotRounding has the same functions and gives the same bits.
struct EmulatedRounding {
  // Rounds the rows of b (k, n) to pairs in out (pairs_of(k), n), rows ldo apart: a right operand,
  // or the transpose of a left one.
  static void columns(std::int64_t k, std::int64_t n, const float* b, std::int64_t ldb, Pair* out,
                      std::int64_t ldo) {
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

  // Rounds the columns of a (m, k) to pairs in out (m, pairs_of(k)), rows ldo apart: a left
  // operand.
  static void rows(std::int64_t m, std::int64_t k, const float* a, std::int64_t lda, Pair* out,
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

 private:
  // Returns each float as bfloat16 in the upper 16 bits; the lower bits are undefined. See
  // bfloat16.h.
  template <class D>
  static HWY_INLINE hn::VFromD<hn::RebindToUnsigned<D>> round_vector(D d, hn::VFromD<D> value) {
    const hn::RebindToUnsigned<D> bits;
    const auto raw = hn::BitCast(bits, value);
    const auto tie = hn::And(hn::ShiftRight<16>(raw), hn::Set(bits, 1u));
    const auto rounded = hn::Add(hn::Add(raw, hn::Set(bits, 0x7fffu)), tie);
    const auto normal = hn::Ge(hn::Abs(value), hn::Set(d, 0x1p-126f));  // also false for NaN
    const auto other =
        hn::IfThenElse(hn::IsNaN(value), hn::Or(value, hn::BitCast(d, hn::Set(bits, 0x00400000u))),
                       hn::And(value, hn::BitCast(d, hn::Set(bits, 0x80000000u))));
    return hn::BitCast(bits, hn::IfThenElse(normal, hn::BitCast(d, rounded), other));
  }
};

#if HWY_TARGET == HWY_AVX3
// Marks functions that use AVX512-BF16, for which Highway 1.0 has no target.
#define MEMATTN_AVX512_BF16 __attribute__((target("avx512bf16")))

// Uses VCVTNE2PS2BF16. Whole vectors are stored without a mask, since a load must wait for a masked
// store.
struct DotRounding {
  static HWY_NOINLINE MEMATTN_AVX512_BF16 void columns(std::int64_t k, std::int64_t n,
                                                       const float* b, std::int64_t ldb, Pair* out,
                                                       std::int64_t ldo) {
    alignas(64) static constexpr std::uint16_t kInterleaved[32] = {
        0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
        8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i order = _mm512_load_si512(kInterleaved);
    const __mmask16 last = mask_of(n % 16);
    for (std::int64_t p = 0; p < k; p += 2) {
      const float* const first = b + p * ldb;
      const float* const second = first + ldb;
      const bool there = p + 1 < k;
      Pair* const to = out + p / 2 * ldo;
      std::int64_t j = 0;
      for (; j + 16 <= n; j += 16) {
        const __m512 odd = there ? _mm512_loadu_ps(second + j) : _mm512_setzero_ps();
        const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(odd, _mm512_loadu_ps(first + j));
        _mm512_storeu_si512(to + j, _mm512_permutexvar_epi16(order, both));
      }
      if (j == n) continue;
      const __m512 odd = there ? _mm512_maskz_loadu_ps(last, second + j) : _mm512_setzero_ps();
      const __m512i both =
          (__m512i)_mm512_cvtne2ps_pbh(odd, _mm512_maskz_loadu_ps(last, first + j));
      _mm512_mask_storeu_epi32(to + j, last, _mm512_permutexvar_epi16(order, both));
    }
  }

  static HWY_NOINLINE MEMATTN_AVX512_BF16 void rows(std::int64_t m, std::int64_t k, const float* a,
                                                    std::int64_t lda, Pair* out, std::int64_t ldo) {
    if (lda == k && 2 * ldo == k) {  // without gaps, the rows are a single one
      k *= m;
      m = 1;
    }
    const std::int64_t rest = k % 32;
    for (std::int64_t i = 0; i < m; ++i) {
      const float* from = a + i * lda;
      Pair* to = out + i * ldo;
      for (const float* const end = from + k - rest; from < end; from += 32, to += 16) {
        const __m512 low = _mm512_loadu_ps(from), high = _mm512_loadu_ps(from + 16);
        _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
      }
      if (rest == 0) continue;
      const __m512 low = _mm512_maskz_loadu_ps(mask_of(rest), from);
      const __m512 high = _mm512_maskz_loadu_ps(mask_of(rest - 16), from + 16);
      _mm512_mask_storeu_epi32(to, mask_of(pairs_of(rest)),
                               (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
  }

 private:
  // Returns a mask of the first `lanes` of 16 lanes.
  static __mmask16 mask_of(std::int64_t lanes) {
    return static_cast<__mmask16>((1u << std::clamp<std::int64_t>(lanes, 0, 16)) - 1);
  }
};
#endif

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_ROUNDING_INL_H_
