// Softmax, its gradient and dropout over a tile of logits. Tokens lie side by side in the lanes, so
// that no number of slots wastes a lane and no sum runs across a vector. Included once for each
// instruction set by simd.cc.
//
// A tile is (S, stride): row s holds slot s of up to `stride` tokens. The first `width` lanes are
// in use, a multiple of the vector's lanes. `keep` (S, stride) has all bits set where a token may
// read a slot and none elsewhere, or is null without a mask.
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
#include "kernels/exp2-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Computes kVectors vectors of tokens of `softmax`.
template <int kVectors, class D, typename T = hn::TFromD<D>>
HWY_INLINE void softmax_columns(D d, std::int64_t slots, std::int64_t stride,
                                const T* HWY_RESTRICT keep, T* HWY_RESTRICT p) {
  using V = hn::VFromD<D>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V none = hn::Set(d, -std::numeric_limits<T>::infinity());
  V largest[kVectors], total[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    largest[v] = none;
    total[v] = hn::Zero(d);
  }
  for (std::int64_t s = 0; s < slots; ++s) {
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t at = s * stride + v * lanes;
      V logit = hn::LoadU(d, p + at);
      if (keep) {
        logit = hn::IfVecThenElse(hn::LoadU(d, keep + at), logit, none);
        hn::StoreU(logit, d, p + at);
      }
      largest[v] = hn::Max(largest[v], logit);
    }
  }
  for (std::int64_t s = 0; s < slots; ++s) {
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t at = s * stride + v * lanes;
      const V power = exp2_not_positive(d, hn::Sub(hn::LoadU(d, p + at), largest[v]));
      hn::StoreU(power, d, p + at);
      total[v] = hn::Add(total[v], power);
    }
  }
  for (int v = 0; v < kVectors; ++v) total[v] = hn::Div(hn::Set(d, T(1)), total[v]);
  for (std::int64_t s = 0; s < slots; ++s) {
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t at = s * stride + v * lanes;
      V score = hn::Mul(hn::LoadU(d, p + at), total[v]);
      // An infinite or NaN inverse times 0 must not spoil a masked slot.
      if (keep) score = hn::And(score, hn::LoadU(d, keep + at));
      hn::StoreU(score, d, p + at);
    }
  }
}

// Turns p from logits to base 2 into P. A masked slot gets 0, whatever its logit.
template <typename T>
void softmax(std::int64_t slots, std::int64_t width, std::int64_t stride,
             const T* HWY_RESTRICT keep, T* HWY_RESTRICT p) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t j = 0;
  for (; j + 2 * lanes <= width; j += 2 * lanes) {
    softmax_columns<2>(d, slots, stride, keep ? keep + j : keep, p + j);
  }
  for (; j < width; j += lanes) {
    softmax_columns<1>(d, slots, stride, keep ? keep + j : keep, p + j);
  }
}

// Turns d_p from dP into dL = P ∘ (dP − Σ_s P ∘ dP) over the slots that are kept; 0 elsewhere.
template <typename T>
void softmax_backward(std::int64_t slots, std::int64_t width, std::int64_t stride,
                      const T* HWY_RESTRICT keep, const T* HWY_RESTRICT p, T* HWY_RESTRICT d_p) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t j = 0; j < width; j += lanes) {
    auto sum = hn::Zero(d);
    for (std::int64_t s = 0; s < slots; ++s) {
      const std::int64_t at = s * stride + j;
      auto d_score = hn::LoadU(d, d_p + at);
      if (keep) d_score = hn::And(d_score, hn::LoadU(d, keep + at));
      sum = hn::MulAdd(hn::LoadU(d, p + at), d_score, sum);
    }
    for (std::int64_t s = 0; s < slots; ++s) {
      const std::int64_t at = s * stride + j;
      auto d_logit = hn::Mul(hn::LoadU(d, p + at), hn::Sub(hn::LoadU(d, d_p + at), sum));
      if (keep) d_logit = hn::And(d_logit, hn::LoadU(d, keep + at));
      hn::StoreU(d_logit, d, d_p + at);
    }
  }
}

// Computes out = in times 0 for dropped values and 1 / (1 - rate) for others; it is its own
// backward. `low` and `high` are the halves of each token's row key for this head.
template <typename T>
void apply_dropout(const Dropout& dropout, std::int64_t slots, std::int64_t width,
                   std::int64_t stride, const std::uint32_t* HWY_RESTRICT low,
                   const std::uint32_t* HWY_RESTRICT high, const T* in, T* out) {
  const hn::ScalableTag<T> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<std::uint32_t, decltype(d)> du;  // 32-bit lanes, as many as in d
  const hn::Rebind<std::int32_t, decltype(d)> ds;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto threshold = hn::Set(du, dropout.threshold());
  const auto scale = hn::Set(d, static_cast<T>(dropout.scale()));
  for (std::int64_t j = 0; j < width; j += lanes) {
    const auto key_low = hn::LoadU(du, low + j), key_high = hn::LoadU(du, high + j);
    for (std::int64_t s = 0; s < slots; ++s) {
      // mix32 of kernels/random.h, with a token per lane.
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
