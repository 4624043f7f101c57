// The fold, and the way back through it: each formula of docs/math.md stands above its product.
// Included once for each instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_FOLD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_FOLD_INL_H_
#undef MEMATTN_KERNELS_FOLD_INL_H_
#else
#define MEMATTN_KERNELS_FOLD_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/attention.h"
#include "kernels/fold_support.h"
#include "kernels/micro-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

// Heads whose logits are computed together: as many as keep a tile of them in the nearest cache.
inline std::int64_t group_heads(const Dims& dims) {
  constexpr std::int64_t kGroupSlots = 128;
  return std::max<std::int64_t>(1, std::min(dims.num_heads, kGroupSlots / dims.memory_size));
}

// Whether no value is NaN or infinite: 0 times such a one is NaN, which no sum loses.
template <typename T>
bool all_finite(std::int64_t size, const T* values) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto zero = hn::Zero(d);
  auto even = zero, odd = zero;
  std::int64_t i = 0;
  for (; i + 2 * lanes <= size; i += 2 * lanes) {
    even = hn::MulAdd(hn::LoadU(d, values + i), zero, even);
    odd = hn::MulAdd(hn::LoadU(d, values + i + lanes), zero, odd);
  }
  bool finite = hn::AllTrue(d, hn::Eq(hn::Add(even, odd), zero));
  for (; i < size; ++i) finite = finite && values[i] * T(0) == T(0);
  return finite;
}

template <typename T>
void prepare(const Dims& dims, const WeightPointers<const T>& w, bool folded,
             Prepared<T>& prepared) {
  const std::int64_t U = dims.units, S = dims.memory_size, H = dims.num_heads;
  const std::int64_t D = dims.key_dim, Dv = dims.value_dim;
  const T logit_scale = scale_to_base_2<T>(D);
  resize_prepared(dims, folded, prepared);
  // K = M·Wk
  T* keys = prepared.keys.data();
  multiply<T>(Start::kZero, S, H * D, U, {w.memory, U, 1}, {w.key_kernel, H * D}, keys, H * D);
  // V = M·Wv + bv
  T* values = prepared.values.data();
  fill_rows(S, H * Dv, w.value_bias, values);
  multiply<T>(Start::kAdd, S, H * Dv, U, {w.memory, U, 1}, {w.value_kernel, H * Dv}, values,
              H * Dv);
  for (std::int64_t h = 0; h < H; ++h) {
    T* keys_transposed = prepared.keys_transposed.data() + h * D * S;
    transpose(S, D, keys + h * D, H * D, keys_transposed, S);
    for (std::int64_t i = 0; i < D * S; ++i) keys_transposed[i] *= logit_scale;
    if (!folded) {
      pack_left(S, D, keys_transposed, 1, S, prepared.keys_packed.data() + h * S * D);
      continue;
    }
    // A_h = Wq_h·K_hᵀ / √D, to base 2
    multiply<T>(Start::kZero, U, S, D, {w.query_kernel + h * D, H * D, 1}, {keys_transposed, S},
                prepared.a.data() + h * S, H * S);
    // c_h = bq_h·K_hᵀ / √D, to base 2
    if (w.query_bias) {
      multiply<T>(Start::kZero, 1, S, D, {w.query_bias + h * D, D, 1}, {keys_transposed, S},
                  prepared.c.data() + h * S, S);
    }
    // B_h = V_h·Wo_h
    multiply<T>(Start::kZero, S, U, Dv, {values + h * Dv, H * Dv, 1},
                {w.output_kernel + h * Dv * U, U}, prepared.b.data() + h * S * U, U);
  }
  const std::int64_t group = group_heads(dims);
  for (std::int64_t h = 0; folded && h < H; h += group) {
    const std::int64_t slots = std::min(group, H - h) * S;
    pack_left(slots, U, prepared.a.data() + h * S, 1, H * S, prepared.a_packed.data() + h * S * U);
    pack_right(slots, U, prepared.b.data() + h * S * U, U, prepared.b_packed.data() + h * S * U);
  }
  const auto finite = [](const AlignedVector<T>& buffer) {
    return all_finite(static_cast<std::int64_t>(buffer.size()), buffer.data());
  };
  prepared.finite = all_finite(S * U, w.memory) && finite(prepared.keys) &&
                    finite(prepared.values) && finite(prepared.a) && finite(prepared.c) &&
                    finite(prepared.b);
}

inline std::int64_t finish_workspace(const Dims& dims) {
  const std::int64_t U = dims.units, S = dims.memory_size, HD = dims.num_heads * dims.key_dim;
  const std::int64_t HDv = dims.num_heads * dims.value_dim;
  return S * (HD + HDv) + U * std::max(dims.key_dim, dims.value_dim) + S * std::max({U, HD, HDv});
}

template <typename T>
void finish_backward(const Prepared<T>& prepared, const WeightPointers<const T>& w,
                     const TokenSums<T>& sums, const WeightPointers<T>& gradients,
                     T* workspace) noexcept {
  const Dims& dims = prepared.dims;
  const std::int64_t U = dims.units, S = dims.memory_size, H = dims.num_heads;
  const std::int64_t D = dims.key_dim, Dv = dims.value_dim;
  const T factor = inverse_sqrt<T>(D);
  T* d_keys = workspace;                  // (S, H, D)
  T* d_values = d_keys + S * H * D;       // (S, H, Dv)
  T* transposed = d_values + S * H * Dv;  // U * max(D, Dv)
  T* copy = transposed + U * std::max(D, Dv);
  if (gradients.output_bias) std::copy_n(sums.output_bias, U, gradients.output_bias);
  if (prepared.folded) {
    std::fill_n(d_keys, S * H * D, T(0));
    const T* keys = used_rows(prepared.finite, S, H * D, prepared.keys.data(), sums.used, copy);
    for (std::int64_t h = 0; h < H; ++h) {
      const T* d_a = sums.a_transposed + h * S * U;
      // A_h = Wq_h·K_hᵀ / √D  =>  dWq_h = dA_h·K_h / √D;  dK_h = dA_hᵀ·Wq_h / √D
      multiply<T>(Start::kZero, U, D, S, {d_a, 1, U}, {keys + h * D, H * D},
                  gradients.query_kernel + h * D, H * D);
      multiply<T>(Start::kZero, S, D, U, {d_a, U, 1}, {w.query_kernel + h * D, H * D},
                  d_keys + h * D, H * D);
      if (!w.query_bias) continue;
      // c_h = bq_h·K_hᵀ / √D  =>  dbq_h = dc_h·K_h / √D;  dK_h += dc_hᵀ·bq_h / √D
      multiply<T>(Start::kZero, 1, D, S, {sums.c + h * S, S, 1}, {keys + h * D, H * D},
                  gradients.query_bias + h * D, D);
      multiply<T>(Start::kAdd, S, D, 1, {sums.c + h * S, 1, 1}, {w.query_bias + h * D, D},
                  d_keys + h * D, H * D);
    }
    const T* values =
        used_rows(prepared.finite, S, H * Dv, prepared.values.data(), sums.used, copy);
    for (std::int64_t h = 0; h < H; ++h) {
      // B_h = V_h·Wo_h  =>  dV_h = dB_h·Wo_hᵀ;  dWo_h = V_hᵀ·dB_h
      const T* d_b = sums.b + h * S * U;
      transpose(Dv, U, w.output_kernel + h * Dv * U, U, transposed, Dv);
      multiply<T>(Start::kZero, S, Dv, U, {d_b, U, 1}, {transposed, Dv}, d_values + h * Dv, H * Dv);
      multiply<T>(Start::kZero, Dv, U, S, {values + h * Dv, 1, H * Dv}, {d_b, U},
                  gradients.output_kernel + h * Dv * U, U);
    }
  } else {
    std::copy_n(sums.keys, S * H * D, d_keys);
    std::copy_n(sums.values, S * H * Dv, d_values);
    std::copy_n(sums.query_kernel, U * H * D, gradients.query_kernel);
    std::copy_n(sums.output_kernel, H * Dv * U, gradients.output_kernel);
    if (w.query_bias) std::copy_n(sums.query_bias, H * D, gradients.query_bias);
  }
  for (std::int64_t i = 0; i < S * H * D; ++i) d_keys[i] *= factor;
  for (std::int64_t i = 0; i < U * H * D; ++i) gradients.query_kernel[i] *= factor;
  for (std::int64_t i = 0; w.query_bias && i < H * D; ++i) gradients.query_bias[i] *= factor;

  // K = M·Wk, V = M·Wv + bv  =>  dWk = Mᵀ·dK;  dWv = Mᵀ·dV;  dbv = colsum(dV).  dbk = 0.
  const T* memory = used_rows(prepared.finite, S, U, w.memory, sums.used, copy);
  multiply<T>(Start::kZero, U, H * D, S, {memory, 1, U}, {d_keys, H * D}, gradients.key_kernel,
              H * D);
  multiply<T>(Start::kZero, U, H * Dv, S, {memory, 1, U}, {d_values, H * Dv},
              gradients.value_kernel, H * Dv);
  if (w.value_bias) add_rows(S, H * Dv, d_values, gradients.value_bias);
  // dM = Σ_h dK_h·Wk_hᵀ + dV_h·Wv_hᵀ
  for (std::int64_t h = 0; h < H; ++h) {
    transpose(U, D, w.key_kernel + h * D, H * D, transposed, U);
    multiply<T>(Start::kAdd, S, U, D, {d_keys + h * D, H * D, 1}, {transposed, U}, gradients.memory,
                U);
    transpose(U, Dv, w.value_kernel + h * Dv, H * Dv, transposed, U);
    multiply<T>(Start::kAdd, S, U, Dv, {d_values + h * Dv, H * Dv, 1}, {transposed, U},
                gradients.memory, U);
  }
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_FOLD_INL_H_
