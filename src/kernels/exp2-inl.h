// Powers of 2 for the softmax, for arguments that are at most 0 or NaN. Included once for each
// instruction set.
#if defined(MEMATTN_KERNELS_EXP2_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_EXP2_INL_H_
#undef MEMATTN_KERNELS_EXP2_INL_H_
#else
#define MEMATTN_KERNELS_EXP2_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Returns the larger of x and `least`, or NaN if x is NaN. It is one instruction on x86, where max
// takes its second operand if either is NaN. Highway's max for NEON takes the number; its emulation
// may.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V at_least(D d, hn::TFromD<D> least, V x) {
#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_NEON
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, least)), hn::Set(d, least), x);
#else
  return hn::Max(hn::Set(d, least), x);
#endif
}

// 2^x = 2^n 2^r with n = round(x) and r = x - n, which is exact. Adding 1.5 * 2^23 (2^52 for
// double) rounds to a whole number; with the exponent's bias added, the lowest bits hold the
// exponent field of 2^n. 2^r on [-1/2, 1/2] is the minimax polynomial that is 1 at 0, with relative
// error 2.6e-9 (float) and 1.8e-17 (double) before rounding. Where n is at most -127 (-1023), the
// field is 0 and so is the result; just above that, the result is subnormal.
template <class D, class V = hn::VFromD<D>>
HWY_INLINE V exp2_not_positive(D d, V x) {
  using T = hn::TFromD<D>;
  const hn::RebindToUnsigned<D> bits;
  constexpr bool kSingle = sizeof(T) == 4;
  constexpr int kMantissa = kSingle ? 23 : 52;
  constexpr T kExponentBias = kSingle ? T(127) : T(1023);
  constexpr T kRound = (kSingle ? T(0x1.8p23) : T(0x1.8p52)) + kExponentBias;

  x = at_least(d, -kExponentBias, x);
  const V rounded = hn::Add(x, hn::Set(d, kRound));
  const V r = hn::Sub(x, hn::Sub(rounded, hn::Set(d, kRound)));
  V y;
  if constexpr (kSingle) {
    y = hn::Set(d, T(1.55946781613e-4));
    for (const T c : {T(1.34066439024e-3), T(9.61769297299e-3), T(5.55031055101e-2),
                      T(2.40226527829e-1), T(6.93147214968e-1), T(1)}) {
      y = hn::MulAdd(y, r, hn::Set(d, c));
    }
  } else {
    y = hn::Set(d, T(4.078071929588336665e-10));
    for (const T c :
         {T(7.072570412814423510e-9), T(1.018064765923413889e-7), T(1.321544267532982214e-6),
          T(1.525272738519386820e-5), T(1.540353044157213033e-4), T(1.333355815343996475e-3),
          T(9.618129107607002380e-3), T(5.550410866479039455e-2), T(2.402265069591009801e-1),
          T(6.931471805599456968e-1), T(1)}) {
      y = hn::MulAdd(y, r, hn::Set(d, c));
    }
  }
  const V power = hn::BitCast(d, hn::ShiftLeft<kMantissa>(hn::BitCast(bits, rounded)));
  return hn::Mul(y, power);  // a product: NaN stays NaN
}

// Computes y = 2^x for `size` values that are at most 0; y may be x.
template <typename T>
void exp2_array(const T* x, T* y, std::int64_t size) noexcept {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    hn::StoreU(exp2_not_positive(d, hn::LoadU(d, x + i)), d, y + i);
  }
  const hn::CappedTag<T, 1> one;
  for (; i < size; ++i) hn::StoreU(exp2_not_positive(one, hn::LoadU(one, x + i)), one, y + i);
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_EXP2_INL_H_
