// The fold, and the way back through it, head by head: each formula of docs/math.md stands above
// its product. Included once for each instruction set by simd.cc.
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

// Heads first..last-1 of what `prepared` holds, but for what is packed. Whether what is theirs
// alone is finite: on the folded route B, since a NaN or Inf of V makes one of B, and one of K one
// of A.
template <typename T>
bool prepare_heads(const WeightPointers<const T>& w, std::int64_t first, std::int64_t last,
                   Prepared<T>& prepared) noexcept {
  const auto [U, S, H, D, Dv] = prepared.dims;
  const T scale = scale_to_base_2<T>(D);
  bool finite = true;
  for (std::int64_t h = first; h < last; ++h) {
    // K_h = M·Wk_h
    T* keys = prepared.keys.data() + h * S * D;
    multiply<T>(Start::kZero, S, D, U, {w.memory, U, 1}, {w.key_kernel + h * D, H * D}, keys, D);
    T* keys_transposed = prepared.keys_transposed.data() + h * D * S;
    transpose(S, D, keys, D, keys_transposed, S);
    for (std::int64_t i = 0; i < D * S; ++i) keys_transposed[i] *= scale;
    // V_h = M·Wv_h + bv_h
    T* values = prepared.values.data() + h * S * Dv;
    fill_rows(S, Dv, w.value_bias ? w.value_bias + h * Dv : nullptr, values);
    multiply<T>(Start::kAdd, S, Dv, U, {w.memory, U, 1}, {w.value_kernel + h * Dv, H * Dv}, values,
                Dv);
    if (!prepared.folded) {
      finite = finite && all_finite(S * D, keys) && all_finite(S * Dv, values);
      pack_left(S, D, keys_transposed, 1, S, prepared.keys_packed.data() + h * S * D);
      continue;
    }
    // A_h = Wq_h·K_hᵀ / √D, to base 2
    T* a = prepared.a.data() + h * S;
    multiply<T>(Start::kZero, U, S, D, {w.query_kernel + h * D, H * D, 1}, {keys_transposed, S}, a,
                H * S);
    // c_h = bq_h·K_hᵀ / √D, to base 2
    T* c = prepared.c.data() + h * S;
    std::fill_n(c, S, T(0));
    if (w.query_bias) {
      multiply<T>(Start::kZero, 1, S, D, {w.query_bias + h * D, D, 1}, {keys_transposed, S}, c, S);
    }
    // B_h = V_h·Wo_h
    T* b = prepared.b.data() + h * S * U;
    multiply<T>(Start::kZero, S, U, Dv, {values, Dv, 1}, {w.output_kernel + h * Dv * U, U}, b, U);
    finite = finite && all_finite(S * U, b);
  }
  return finite;
}

// The rest, once all heads are there; `finite` is what prepare_heads gave for all of them.
template <typename T>
void finish_prepare(const WeightPointers<const T>& w, bool finite, Prepared<T>& prepared) noexcept {
  const std::int64_t U = prepared.dims.units, S = prepared.dims.memory_size;
  const std::int64_t H = prepared.dims.num_heads, group = group_heads(prepared.dims);
  const auto c = static_cast<std::int64_t>(prepared.c.size());
  const auto a = static_cast<std::int64_t>(prepared.a.size());
  prepared.finite = finite && all_finite(S * U, w.memory) && all_finite(c, prepared.c.data()) &&
                    all_finite(a, prepared.a.data());
  for (std::int64_t h = 0; prepared.folded && h < H; h += group) {
    const std::int64_t slots = std::min(group, H - h) * S, offset = h * S * U;
    pack_left(slots, U, prepared.a.data() + h * S, 1, H * S, prepared.a_packed.data() + offset);
    pack_right(slots, U, prepared.b.data() + offset, U, prepared.b_packed.data() + offset);
  }
}

// Heads first..last-1: the gradients of their kernels and biases, and their dK_h and dV_h into
// `rest`. `workspace` has finish_workspace() values.
template <typename T>
void finish_heads(const Prepared<T>& prepared, const WeightPointers<const T>& w,
                  const TokenSums<T>& sums, const WeightPointers<T>& gradients,
                  const FinishBuffers<T>& rest, std::int64_t first, std::int64_t last,
                  T* workspace) noexcept {
  const auto [U, S, H, D, Dv] = prepared.dims;
  const T scale = inverse_sqrt<T>(D);
  for (std::int64_t h = first; h < last; ++h) {
    T* d_keys = rest.d_keys + h * S * D;
    T* d_values = rest.d_values + h * S * Dv;
    T* d_query = gradients.query_kernel + h * D;
    if (prepared.folded) {
      // A_h = Wq_h·K_hᵀ / √D  =>  dWq_h = dA_h·K_h / √D;  dK_h = dA_hᵀ·Wq_h / √D
      const T* d_a = sums.a_transposed + h * S * U;
      const T* keys =
          used_rows(prepared.finite, S, D, prepared.keys.data() + h * S * D, sums.used, workspace);
      multiply<T>(Start::kZero, U, D, S, {d_a, 1, U}, {keys, D}, d_query, H * D);
      multiply<T>(Start::kZero, S, D, U, {d_a, U, 1}, {w.query_kernel + h * D, H * D}, d_keys, D);
      if (w.query_bias) {
        // c_h = bq_h·K_hᵀ / √D  =>  dbq_h = dc_h·K_h / √D;  dK_h += dc_hᵀ·bq_h / √D
        const T* d_c = sums.c + h * S;
        multiply<T>(Start::kZero, 1, D, S, {d_c, S, 1}, {keys, D}, gradients.query_bias + h * D, D);
        multiply<T>(Start::kAdd, S, D, 1, {d_c, 1, 1}, {w.query_bias + h * D, D}, d_keys, D);
      }
      // B_h = V_h·Wo_h  =>  dV_h = dB_h·Wo_hᵀ;  dWo_h = V_hᵀ·dB_h
      const T* d_b = sums.b + h * S * U;
      const T* values = used_rows(prepared.finite, S, Dv, prepared.values.data() + h * S * Dv,
                                  sums.used, workspace);
      multiply<T>(Start::kZero, Dv, U, S, {values, 1, Dv}, {d_b, U},
                  gradients.output_kernel + h * Dv * U, U);
      transpose(Dv, U, w.output_kernel + h * Dv * U, U, workspace, Dv);
      multiply<T>(Start::kZero, S, Dv, U, {d_b, U, 1}, {workspace, Dv}, d_values, Dv);
    } else {
      for (std::int64_t s = 0; s < S; ++s) {
        copy(D, sums.keys + (s * H + h) * D, d_keys + s * D);
        copy(Dv, sums.values + (s * H + h) * Dv, d_values + s * Dv);
      }
      for (std::int64_t u = 0; u < U; ++u) {
        copy(D, sums.query_kernel + (u * H + h) * D, d_query + u * H * D);
      }
      copy(Dv * U, sums.output_kernel + h * Dv * U, gradients.output_kernel + h * Dv * U);
      if (w.query_bias) copy(D, sums.query_bias + h * D, gradients.query_bias + h * D);
    }
    for (std::int64_t i = 0; i < S * D; ++i) d_keys[i] *= scale;
    for (std::int64_t u = 0; u < U; ++u) {
      for (std::int64_t i = 0; i < D; ++i) d_query[u * H * D + i] *= scale;
    }
    for (std::int64_t i = h * D; w.query_bias && i < (h + 1) * D; ++i) {
      gradients.query_bias[i] *= scale;
    }
    // K = M·Wk, V = M·Wv + bv  =>  dWk = Mᵀ·dK;  dWv = Mᵀ·dV;  dbv = colsum(dV).  dbk = 0.
    const T* memory = used_rows(prepared.finite, S, U, w.memory, sums.used, workspace);
    multiply<T>(Start::kZero, U, D, S, {memory, 1, U}, {d_keys, D}, gradients.key_kernel + h * D,
                H * D);
    multiply<T>(Start::kZero, U, Dv, S, {memory, 1, U}, {d_values, Dv},
                gradients.value_kernel + h * Dv, H * Dv);
    if (w.value_bias) {
      std::fill_n(gradients.value_bias + h * Dv, Dv, T(0));
      std::fill_n(gradients.key_bias + h * D, D, T(0));
      add_rows(S, Dv, d_values, gradients.value_bias + h * Dv);
    }
  }
}

// Columns first..last-1 of dM = Σ_h dK_h·Wk_hᵀ + dV_h·Wv_hᵀ, once all heads are there.
template <typename T>
void finish_memory(const Prepared<T>& prepared, const WeightPointers<const T>& w,
                   const WeightPointers<T>& gradients, const FinishBuffers<T>& rest,
                   std::int64_t first, std::int64_t last, T* workspace) noexcept {
  const auto [U, S, H, D, Dv] = prepared.dims;
  const std::int64_t n = last - first;
  for (std::int64_t h = 0; h < H; ++h) {
    transpose(n, D, w.key_kernel + (first * H + h) * D, H * D, workspace, n);
    multiply<T>(h == 0 ? Start::kZero : Start::kAdd, S, n, D, {rest.d_keys + h * S * D, D, 1},
                {workspace, n}, gradients.memory + first, U);
    transpose(n, Dv, w.value_kernel + (first * H + h) * Dv, H * Dv, workspace, n);
    multiply<T>(Start::kAdd, S, n, Dv, {rest.d_values + h * S * Dv, Dv, 1}, {workspace, n},
                gradients.memory + first, U);
  }
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_FOLD_INL_H_
