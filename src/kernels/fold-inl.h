// The fold and its backward pass, head by head. Each formula of docs/math.md stands above its
// product. Included once for each instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_FOLD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_FOLD_INL_H_
#undef MEMATTN_KERNELS_FOLD_INL_H_
#else
#define MEMATTN_KERNELS_FOLD_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/pack-inl.h"
#include "kernels/prepared.h"
#include "kernels/product-inl.h"
#include "kernels/rows-inl.h"
#include "kernels/scale.h"
#include "kernels/tiling.h"
#include "kernels/token_sums.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

// Returns whether no value is NaN or infinite; 0 times such a value is NaN and would reach every
// sum.
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

// Computes out (rows, width) = source (rows, units)·W_h + b_h: the projection of a source by head h
// of a kernel (units, H, width), and of a bias (H, width) that may be null.
template <typename T>
void project_head(std::int64_t rows, std::int64_t units, std::int64_t heads, std::int64_t width,
                  std::int64_t h, const T* source, const T* kernel, const T* bias, T* out) {
  if (bias) fill_rows(rows, width, bias + h * width, out);
  multiply<T>(bias ? Start::kAdd : Start::kZero, rows, width, units, {source, units, 1},
              {kernel + h * width, heads * width}, out, width);
}

// Computes its gradients from d_out (rows, width): the kernel's columns of head h, and the bias' if
// there is one. The caller computes d_source, which sums over heads.
template <typename T>
void project_head_backward(std::int64_t rows, std::int64_t units, std::int64_t heads,
                           std::int64_t width, std::int64_t h, const T* source, const T* d_out,
                           T* d_kernel, T* d_bias) {
  multiply<T>(Start::kZero, units, width, rows, {source, 1, units}, {d_out, width},
              d_kernel + h * width, heads * width);
  if (!d_bias) return;
  std::fill_n(d_bias + h * width, width, T(0));
  add_rows(rows, width, d_out, d_bias + h * width);
}

// Computes A_h, c_h and B_h of one head from its keys and values. Returns whether B_h is finite: a
// NaN or Inf in V also appears in B, and one in K appears in A.
template <typename T>
bool fold_head(const AttentionWeights<const T>& w, std::int64_t h, const T* keys_transposed,
               const T* values, Prepared<T>& prepared) {
  const auto [U, S, H, D, Dv] = prepared.dims;
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
  return all_finite(S * U, b);
}

// Prepares heads first..last-1, except the parts that are packed by groups of heads. Returns
// whether the values that only they produce are finite.
template <typename T>
bool prepare_heads(const WeightPointers<const T>& w, std::int64_t first, std::int64_t last,
                   Prepared<T>& prepared) noexcept {
  const auto [U, S, H, D, Dv] = prepared.dims;
  const T scale = scale_to_base_2<T>(D);
  bool finite = true;
  for (std::int64_t h = first; h < last; ++h) {
    // K_h = M·Wk_h, without the bias, which the softmax cancels;  V_h = M·Wv_h + bv_h
    T* keys = prepared.keys.data() + h * S * D;
    T* values = prepared.values.data() + h * S * Dv;
    const T* no_bias = nullptr;
    project_head(S, U, H, D, h, w.memory, w.key_kernel, no_bias, keys);
    project_head(S, U, H, Dv, h, w.memory, w.value_kernel, w.value_bias, values);
    T* keys_transposed = prepared.keys_transposed.data() + h * D * S;
    transpose(S, D, keys, D, keys_transposed, S);
    for (std::int64_t i = 0; i < D * S; ++i) keys_transposed[i] *= scale;
    if (prepared.folded) {
      finite = fold_head(w, h, keys_transposed, values, prepared) && finite;
    } else {
      finite = finite && all_finite(S * D, keys) && all_finite(S * Dv, values);
      pack_left(S, D, keys_transposed, 1, S, prepared.keys_packed.data() + h * S * D);
    }
  }
  return finite;
}

// Prepares the rest after all heads; `finite` combines the results of prepare_heads.
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

// Returns the rows of `a` (S, width) with zeros for unused slots: a gradient of exactly 0 must stay
// 0 even if a slot that no token read holds NaN. Copies only if `a` is not finite.
template <typename T>
const T* used_rows(bool finite, std::int64_t slots, std::int64_t width, const T* a, const T* used,
                   T* copy_of_a) {
  if (finite) return a;
  for (std::int64_t s = 0; s < slots; ++s) {
    for (std::int64_t j = 0; j < width; ++j) {
      copy_of_a[s * width + j] = used[s] != 0 ? a[s * width + j] : T(0);
    }
  }
  return copy_of_a;
}

// Computes dWq, dbq and dWo of head h, and dK_h and dV_h, from the sums of the folded route. dWq,
// dbq and dK_h are times √D.
template <typename T>
void unfold_head(const Prepared<T>& prepared, const AttentionWeights<const T>& w,
                 const FoldedSums<T>& sums, const AttentionWeights<T>& gradients, std::int64_t h,
                 T* d_keys, T* d_values, T* workspace) {
  const auto [U, S, H, D, Dv] = prepared.dims;
  // A_h = Wq_h·K_hᵀ / √D  =>  dWq_h = dA_h·K_h / √D;  dK_h = dA_hᵀ·Wq_h / √D
  const T* d_a = sums.a_transposed + h * S * U;
  const T* keys =
      used_rows(prepared.finite, S, D, prepared.keys.data() + h * S * D, sums.used, workspace);
  multiply<T>(Start::kZero, U, D, S, {d_a, 1, U}, {keys, D}, gradients.query_kernel + h * D, H * D);
  multiply<T>(Start::kZero, S, D, U, {d_a, U, 1}, {w.query_kernel + h * D, H * D}, d_keys, D);
  if (w.query_bias) {
    // c_h = bq_h·K_hᵀ / √D  =>  dbq_h = dc_h·K_h / √D;  dK_h += dc_hᵀ·bq_h / √D
    const T* d_c = sums.c + h * S;
    multiply<T>(Start::kZero, 1, D, S, {d_c, S, 1}, {keys, D}, gradients.query_bias + h * D, D);
    multiply<T>(Start::kAdd, S, D, 1, {d_c, 1, 1}, {w.query_bias + h * D, D}, d_keys, D);
  }
  // B_h = V_h·Wo_h  =>  dV_h = dB_h·Wo_hᵀ;  dWo_h = V_hᵀ·dB_h
  const T* d_b = sums.b + h * S * U;
  const T* values =
      used_rows(prepared.finite, S, Dv, prepared.values.data() + h * S * Dv, sums.used, workspace);
  multiply<T>(Start::kZero, Dv, U, S, {values, 1, Dv}, {d_b, U},
              gradients.output_kernel + h * Dv * U, U);
  transpose(Dv, U, w.output_kernel + h * Dv * U, U, workspace, Dv);
  multiply<T>(Start::kZero, S, Dv, U, {d_b, U, 1}, {workspace, Dv}, d_values, Dv);
}

// The same from the sums of the projected route, which are already these gradients.
template <typename T>
void copy_head(const Prepared<T>& prepared, const ProjectedSums<T>& sums,
               const AttentionWeights<T>& gradients, std::int64_t h, T* d_keys, T* d_values) {
  const auto [U, S, H, D, Dv] = prepared.dims;
  for (std::int64_t s = 0; s < S; ++s) {
    copy(D, sums.keys + (s * H + h) * D, d_keys + s * D);
    copy(Dv, sums.values + (s * H + h) * Dv, d_values + s * Dv);
  }
  for (std::int64_t u = 0; u < U; ++u) {
    copy(D, sums.query_kernel + (u * H + h) * D, gradients.query_kernel + (u * H + h) * D);
  }
  copy(Dv * U, sums.output_kernel + h * Dv * U, gradients.output_kernel + h * Dv * U);
  if (gradients.query_bias) copy(D, sums.query_bias + h * D, gradients.query_bias + h * D);
}

// For heads first..last-1, computes the gradients of their kernels and biases, and writes their
// dK_h and dV_h to `d_memory`. `workspace` has finish_workspace() values.
template <typename T>
void finish_heads(const Prepared<T>& prepared, const WeightPointers<const T>& w, T* sums,
                  const WeightPointers<T>& gradients, const KeysValuesGradients<T>& d_memory,
                  std::int64_t first, std::int64_t last, T* workspace) noexcept {
  const auto [U, S, H, D, Dv] = prepared.dims;
  const T scale = inverse_sqrt<T>(D);
  // Both routes have `used`, the slots that a token could read, at the front of their sums.
  const T* used = FoldedSums<T>(prepared.dims, sums).used;
  for (std::int64_t h = first; h < last; ++h) {
    T* d_keys = d_memory.keys + h * S * D;
    T* d_values = d_memory.values + h * S * Dv;
    if (prepared.folded) {
      unfold_head(prepared, w, FoldedSums<T>(prepared.dims, sums), gradients, h, d_keys, d_values,
                  workspace);
    } else {
      copy_head(prepared, ProjectedSums<T>(prepared.dims, sums), gradients, h, d_keys, d_values);
    }
    for (std::int64_t i = 0; i < S * D; ++i) d_keys[i] *= scale;
    for (std::int64_t u = 0; u < U; ++u) {
      for (std::int64_t i = 0; i < D; ++i) gradients.query_kernel[(u * H + h) * D + i] *= scale;
    }
    for (std::int64_t i = h * D; gradients.query_bias && i < (h + 1) * D; ++i) {
      gradients.query_bias[i] *= scale;
    }
    // K = M·Wk, V = M·Wv + bv  =>  dWk = Mᵀ·dK;  dWv = Mᵀ·dV;  dbv = colsum(dV).  dbk = 0.
    const T* memory = used_rows(prepared.finite, S, U, w.memory, used, workspace);
    T* const no_bias = nullptr;
    project_head_backward(S, U, H, D, h, memory, d_keys, gradients.key_kernel, no_bias);
    project_head_backward(S, U, H, Dv, h, memory, d_values, gradients.value_kernel,
                          gradients.value_bias);
    if (gradients.key_bias) std::fill_n(gradients.key_bias + h * D, D, T(0));
  }
}

// Computes columns first..last-1 of dM = Σ_h dK_h·Wk_hᵀ + dV_h·Wv_hᵀ, after all heads.
template <typename T>
void finish_memory(const Prepared<T>& prepared, const WeightPointers<const T>& w,
                   const WeightPointers<T>& gradients, const KeysValuesGradients<T>& d_memory,
                   std::int64_t first, std::int64_t last, T* workspace) noexcept {
  const auto [U, S, H, D, Dv] = prepared.dims;
  const std::int64_t n = last - first;
  for (std::int64_t h = 0; h < H; ++h) {
    transpose(n, D, w.key_kernel + (first * H + h) * D, H * D, workspace, n);
    multiply<T>(h == 0 ? Start::kZero : Start::kAdd, S, n, D, {d_memory.keys + h * S * D, D, 1},
                {workspace, n}, gradients.memory + first, U);
    transpose(n, Dv, w.value_kernel + (first * H + h) * Dv, H * Dv, workspace, n);
    multiply<T>(Start::kAdd, S, n, Dv, {d_memory.values + h * S * Dv, Dv, 1}, {workspace, n},
                gradients.memory + first, U);
  }
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_FOLD_INL_H_
