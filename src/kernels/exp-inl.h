// exp for softmax: arguments are at most 0, or NaN. Included once for each instruction set.
#if defined(MEMATTN_KERNELS_EXP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_EXP_INL_H_
#undef MEMATTN_KERNELS_EXP_INL_H_
#else
#define MEMATTN_KERNELS_EXP_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// e^x = 2^n e^r with n = round(x / ln 2), r = x - n ln 2 in two steps, and a polynomial for e^r on
// [-ln 2 / 2, ln 2 / 2] that is least-squares close to minimax, relative error 2.2e-9 (float) and
// 3.1e-18 (double) before rounding. Below the smallest normal number the result is 0.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V exp_not_positive(D d, V x) {
  using T = hn::TFromD<D>;
  const hn::RebindToSigned<D> integers;
  constexpr bool kSingle = sizeof(T) == 4;
  constexpr T kSmallest = kSingle ? T(-87.3365402f) : T(-708.39641853226408);
  constexpr T kInverseLn2 = T(1.4426950408889634);
  // ln 2 in two parts, the first with trailing zeros so that n times it is exact.
  constexpr T kLn2High = kSingle ? T(0.693145752f) : T(0.693147180369123816490);
  constexpr T kLn2Low = kSingle ? T(1.42860677e-6f) : T(1.90821492927058770002e-10);

  const auto below = hn::Lt(x, hn::Set(d, kSmallest));  // false for NaN, which goes through
  const V safe = hn::IfThenElse(below, hn::Set(d, kSmallest), x);
  const V n = hn::Round(hn::Mul(safe, hn::Set(d, kInverseLn2)));
  V r = hn::NegMulAdd(n, hn::Set(d, kLn2High), safe);
  r = hn::NegMulAdd(n, hn::Set(d, kLn2Low), r);
  V y;
  if constexpr (kSingle) {
    y = hn::Set(d, T(1.385929108e-03f));
    for (const T c : {T(8.374763975e-03f), T(4.166772432e-02f), T(1.666642095e-01f),
                      T(4.999999535e-01f), T(1.000000036e+00f), T(1)}) {
      y = hn::MulAdd(y, r, hn::Set(d, c));
    }
  } else {
    y = hn::Set(d, T(2.49943148162369530e-08));
    for (const T c :
         {T(2.76322932297056278e-07), T(2.75576224993118451e-06), T(2.48014865215809216e-05),
          T(1.98412694327152980e-04), T(1.38888889512238248e-03), T(8.33333333355925319e-03),
          T(4.16666666664927687e-02), T(1.66666666666661689e-01), T(5.00000000000001776e-01), T(1),
          T(1)}) {
      y = hn::MulAdd(y, r, hn::Set(d, c));
    }
  }
  constexpr int kMantissa = kSingle ? 23 : 52;
  constexpr int kExponentBias = kSingle ? 127 : 1023;
  const auto exponent = hn::Add(hn::ConvertTo(integers, n), hn::Set(integers, kExponentBias));
  const V power = hn::BitCast(d, hn::ShiftLeft<kMantissa>(exponent));
  return hn::IfThenZeroElse(below, hn::Mul(y, power));  // a product: NaN stays NaN
}

// y = e^x for `size` values at most 0; y may be x.
template <typename T>
void exp_array(const T* x, T* y, std::int64_t size) noexcept {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    hn::StoreU(exp_not_positive(d, hn::LoadU(d, x + i)), d, y + i);
  }
  const hn::CappedTag<T, 1> one;
  for (; i < size; ++i) hn::StoreU(exp_not_positive(one, hn::LoadU(one, x + i)), one, y + i);
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_EXP_INL_H_
