// Softmax, its gradient and dropout over a tile of logits with tokens side by side in the lanes, so
// that no number of slots wastes a lane and no sum runs across a vector. Included once for each
// instruction set by simd.cc.
//
// A tile is (S, stride): row s holds slot s of up to `stride` tokens, of which `width`, a multiple
// of the lanes, count. `keep` (S, stride) is 1 where a token may read a slot and 0 elsewhere, or
// null when there is no mask.
#if defined(MEMATTN_KERNELS_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_SOFTMAX_INL_H_
#undef MEMATTN_KERNELS_SOFTMAX_INL_H_
#else
#define MEMATTN_KERNELS_SOFTMAX_INL_H_
#endif

#include <cstdint>
#include <limits>

#include "hwy/highway.h"
#include "kernels/call.h"
#include "kernels/exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// p from logits to P. A masked slot gets 0 whatever its logit is; a token that keeps nothing gets
// `nothing_kept` everywhere: 0, or 1/S.
template <typename T>
void softmax(std::int64_t slots, std::int64_t width, std::int64_t stride,
             const T* HWY_RESTRICT keep, T nothing_kept, T* HWY_RESTRICT p) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto zero = hn::Zero(d);
  for (std::int64_t j = 0; j < width; j += lanes) {
    T* column = p + j;
    auto total = zero;
    if (!keep) {
      auto largest = hn::LoadU(d, column);
      for (std::int64_t s = 1; s < slots; ++s) {
        largest = hn::Max(largest, hn::LoadU(d, column + s * stride));
      }
      for (std::int64_t s = 0; s < slots; ++s) {
        const auto e = exp_not_positive(d, hn::Sub(hn::LoadU(d, column + s * stride), largest));
        hn::StoreU(e, d, column + s * stride);
        total = hn::Add(total, e);
      }
      const auto inverse = hn::Div(hn::Set(d, T(1)), total);
      for (std::int64_t s = 0; s < slots; ++s) {
        hn::StoreU(hn::Mul(hn::LoadU(d, column + s * stride), inverse), d, column + s * stride);
      }
      continue;
    }
    const auto none = hn::Set(d, -std::numeric_limits<T>::infinity());
    auto largest = none;
    auto kept = zero;
    for (std::int64_t s = 0; s < slots; ++s) {
      const auto keeps = hn::LoadU(d, keep + s * stride + j);
      kept = hn::Max(kept, keeps);
      largest = hn::Max(
          largest, hn::IfThenElse(hn::Ne(keeps, zero), hn::LoadU(d, column + s * stride), none));
    }
    for (std::int64_t s = 0; s < slots; ++s) {
      const auto keeps = hn::Ne(hn::LoadU(d, keep + s * stride + j), zero);
      const auto e = hn::IfThenElseZero(
          keeps, exp_not_positive(d, hn::Sub(hn::LoadU(d, column + s * stride), largest)));
      hn::StoreU(e, d, column + s * stride);
      total = hn::Add(total, e);
    }
    const auto any = hn::Ne(kept, zero);
    const auto inverse = hn::Div(hn::Set(d, T(1)), total);
    for (std::int64_t s = 0; s < slots; ++s) {
      const auto value = hn::Mul(hn::LoadU(d, column + s * stride), inverse);
      // 0 times an infinite or NaN inverse must not spoil a masked slot.
      const auto keeps = hn::Ne(hn::LoadU(d, keep + s * stride + j), zero);
      const auto clean = hn::IfThenElseZero(keeps, value);
      hn::StoreU(hn::IfThenElse(any, clean, hn::Set(d, nothing_kept)), d, column + s * stride);
    }
  }
}

// d_p from dP to dL = P ∘ (dP − Σ_s P ∘ dP) over the slots that are kept; 0 elsewhere.
template <typename T>
void softmax_backward(std::int64_t slots, std::int64_t width, std::int64_t stride,
                      const T* HWY_RESTRICT keep, const T* HWY_RESTRICT p, T* HWY_RESTRICT d_p) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto zero = hn::Zero(d);
  for (std::int64_t j = 0; j < width; j += lanes) {
    auto sum = zero;
    for (std::int64_t s = 0; s < slots; ++s) {
      const auto product =
          hn::Mul(hn::LoadU(d, p + s * stride + j), hn::LoadU(d, d_p + s * stride + j));
      sum = hn::Add(
          sum, keep ? hn::IfThenElseZero(hn::Ne(hn::LoadU(d, keep + s * stride + j), zero), product)
                    : product);
    }
    for (std::int64_t s = 0; s < slots; ++s) {
      const auto value = hn::Mul(hn::LoadU(d, p + s * stride + j),
                                 hn::Sub(hn::LoadU(d, d_p + s * stride + j), sum));
      hn::StoreU(keep ? hn::IfThenElseZero(hn::Ne(hn::LoadU(d, keep + s * stride + j), zero), value)
                      : value,
                 d, d_p + s * stride + j);
    }
  }
}

// out = in times 0 where dropout falls and 1 / (1 - rate) elsewhere; its own backward. `low` and
// `high` are the halves of each token's row key for this head.
template <typename T>
void apply_dropout(const Dropout& dropout, std::int64_t slots, std::int64_t width,
                   std::int64_t stride, const std::uint32_t* HWY_RESTRICT low,
                   const std::uint32_t* HWY_RESTRICT high, const T* in, T* out) {
  const hn::ScalableTag<T> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<std::uint32_t, decltype(d)> du;  // as many 32-bit lanes as d has lanes
  const hn::Rebind<std::int32_t, decltype(d)> ds;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto threshold = hn::Set(du, dropout.threshold());
  const auto scale = hn::Set(d, static_cast<T>(dropout.scale()));
  for (std::int64_t j = 0; j < width; j += lanes) {
    const auto key_low = hn::LoadU(du, low + j), key_high = hn::LoadU(du, high + j);
    for (std::int64_t s = 0; s < slots; ++s) {
      // mix32 of kernels/random.h, a lane a token.
      auto z = hn::Xor(hn::Set(du, static_cast<std::uint32_t>(s) * kMixIndex), key_low);
      z = hn::Add(hn::Mul(hn::Xor(z, hn::ShiftRight<16>(z)), hn::Set(du, kMixFirst)), key_high);
      z = hn::Mul(hn::Xor(z, hn::ShiftRight<15>(z)), hn::Set(du, kMixSecond));
      z = hn::Xor(z, hn::ShiftRight<15>(z));
      // z >= threshold, as all ones or zeros of the width of T.
      const auto stays = hn::Eq(hn::Max(z, threshold), z);
      const auto bits = hn::BitCast(ds, hn::VecFromMask(du, stays));
      hn::VFromD<decltype(d)> factor;
      if constexpr (sizeof(T) == 4) {
        factor = hn::And(hn::BitCast(d, bits), scale);
      } else {
        factor = hn::And(hn::BitCast(d, hn::PromoteTo(di, bits)), scale);
      }
      hn::StoreU(hn::Mul(hn::LoadU(d, in + s * stride + j), factor), d, out + s * stride + j);
    }
  }
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_SOFTMAX_INL_H_
