// The fold and its gradients: each formula stands above the products that compute it.
#include "kernels/fold.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "kernels/matmul.h"

namespace memattn::kernels {
namespace {

template <typename T>
bool all_finite(const std::vector<T>& values) noexcept {
  return std::ranges::all_of(values, [](T value) { return std::isfinite(value); });
}

// The rows of `a` (S, width), those of unused slots as zeros: a gradient of exactly 0 must stay 0
// when it meets a NaN that nobody read. Copies only when there is such a NaN to fear.
template <typename T>
const T* used_rows(bool finite, std::int64_t slots, std::int64_t width, const T* a,
                   const std::uint8_t* slot_used, T* copy) noexcept {
  if (finite) return a;
  for (std::int64_t s = 0; s < slots; ++s) {
    for (std::int64_t j = 0; j < width; ++j) {
      copy[s * width + j] = slot_used[s] ? a[s * width + j] : T(0);
    }
  }
  return copy;
}

}  // namespace

template <typename T>
void prepare(const Dims& dims, const WeightPointers<const T>& w, bool folded,
             Prepared<T>& prepared) {
  const auto [U, S, H, D, Dv] = dims;
  const T factor = inverse_sqrt<T>(D);
  const auto clear = [](std::vector<T>& buffer, std::int64_t size) {
    buffer.assign(static_cast<std::size_t>(size), T(0));
  };
  prepared.dims = dims;
  prepared.folded = folded;
  clear(prepared.keys, H * S * D);
  clear(prepared.values, H * S * Dv);
  for (std::int64_t h = 0; h < H; ++h) {
    // K_h = M·Wk_h;  V_h = M·Wv_h + bv_h
    matmul_add(S, D, U, w.memory, U, w.key_kernel + h * D, H * D, prepared.keys.data() + h * S * D,
               D);
    T* values = prepared.values.data() + h * S * Dv;
    matmul_add(S, Dv, U, w.memory, U, w.value_kernel + h * Dv, H * Dv, values, Dv);
    for (std::int64_t i = 0; w.value_bias && i < S * Dv; ++i) {
      values[i] += w.value_bias[h * Dv + i % Dv];
    }
  }

  clear(prepared.keys_transposed, H * D * S);
  for (std::int64_t h = 0; h < H; ++h) {
    transpose(S, D, prepared.keys.data() + h * S * D, D, factor,
              prepared.keys_transposed.data() + h * D * S);
  }
  clear(prepared.a, folded ? U * H * S : 0);
  clear(prepared.c, folded ? H * S : 0);
  clear(prepared.b, folded ? H * S * U : 0);
  for (std::int64_t h = 0; folded && h < H; ++h) {
    // A_h = Wq_h·K_hᵀ / √D;  c_h = bq_h·K_hᵀ / √D;  B_h = V_h·Wo_h
    const T* keys_transposed = prepared.keys_transposed.data() + h * D * S;
    matmul_add(U, S, D, w.query_kernel + h * D, H * D, keys_transposed, S,
               prepared.a.data() + h * S, H * S);
    if (w.query_bias) {
      matmul_add(1, S, D, w.query_bias + h * D, D, keys_transposed, S, prepared.c.data() + h * S,
                 S);
    }
    matmul_add(S, U, Dv, prepared.values.data() + h * S * Dv, Dv, w.output_kernel + h * Dv * U, U,
               prepared.b.data() + h * S * U, U);
  }
  prepared.finite = all_finite(prepared.keys) && all_finite(prepared.values) &&
                    all_finite(prepared.a) && all_finite(prepared.c) && all_finite(prepared.b) &&
                    std::ranges::all_of(std::span(w.memory, static_cast<std::size_t>(S * U)),
                                        [](T value) { return std::isfinite(value); });
}

std::int64_t fold_workspace(const Dims& dims) noexcept {
  const auto [U, S, H, D, Dv] = dims;
  return U * std::max(D, Dv) + S * std::max({U, D, Dv});
}

template <typename T>
void fold_backward(const Prepared<T>& prepared, const WeightPointers<const T>& w,
                   const std::uint8_t* slot_used, const PreparedGradients<T>& d,
                   const WeightPointers<T>& gradients, T* workspace) noexcept {
  const auto [U, S, H, D, Dv] = prepared.dims;
  const T factor = inverse_sqrt<T>(D);
  T* output_transposed = workspace;
  T* copy = workspace + U * std::max(D, Dv);
  for (std::int64_t h = 0; h < H; ++h) {
    const T* keys =
        used_rows(prepared.finite, S, D, prepared.keys.data() + h * S * D, slot_used, copy);
    // A_h = Wq_h·K_hᵀ / √D  =>  dWq_h = dA_h·K_h / √D;  dK_h = dA_hᵀ·Wq_h / √D
    matmul_add(U, D, S, d.a + h * S, H * S, keys, D, gradients.query_kernel + h * D, H * D);
    scale(U, D, factor, gradients.query_kernel + h * D, H * D);
    T* d_keys = d.keys + h * S * D;
    matmul_transposed_add(S, D, U, d.a + h * S, H * S, w.query_kernel + h * D, H * D, d_keys, D);
    if (w.query_bias) {
      // c_h = bq_h·K_hᵀ / √D  =>  dbq_h = dc_h·K_h / √D;  dK_h += dc_hᵀ·bq_h / √D
      matmul_add(1, D, S, d.c + h * S, S, keys, D, gradients.query_bias + h * D, D);
      scale(1, D, factor, gradients.query_bias + h * D, D);
      matmul_add(S, D, 1, d.c + h * S, 1, w.query_bias + h * D, D, d_keys, D);
    }
    scale(S, D, factor, d_keys, D);

    // B_h = V_h·Wo_h  =>  dV_h = dB_h·Wo_hᵀ;  dWo_h = V_hᵀ·dB_h
    const T* output_kernel = w.output_kernel + h * Dv * U;
    const T* d_b = d.b + h * S * U;
    transpose(Dv, U, output_kernel, U, T(1), output_transposed);
    matmul_add(S, Dv, U, d_b, U, output_transposed, Dv, d.values + h * S * Dv, Dv);
    const T* values =
        used_rows(prepared.finite, S, Dv, prepared.values.data() + h * S * Dv, slot_used, copy);
    matmul_transposed_add(Dv, U, S, values, Dv, d_b, U, gradients.output_kernel + h * Dv * U, U);
  }
}

template <typename T>
void memory_backward(const Prepared<T>& prepared, const WeightPointers<const T>& w,
                     const std::uint8_t* slot_used, const PreparedGradients<T>& d,
                     const WeightPointers<T>& gradients, T* workspace) noexcept {
  const auto [U, S, H, D, Dv] = prepared.dims;
  T* kernel_transposed = workspace;
  const T* memory =
      used_rows(prepared.finite, S, U, w.memory, slot_used, workspace + U * std::max(D, Dv));
  for (std::int64_t h = 0; h < H; ++h) {
    // K_h = M·Wk_h  =>  dWk_h = Mᵀ·dK_h;  dM += dK_h·Wk_hᵀ.  dbk_h = 0: see docs/math.md.
    const T* d_keys = d.keys + h * S * D;
    matmul_transposed_add(U, D, S, memory, U, d_keys, D, gradients.key_kernel + h * D, H * D);
    transpose(U, D, w.key_kernel + h * D, H * D, T(1), kernel_transposed);
    matmul_add(S, U, D, d_keys, D, kernel_transposed, U, gradients.memory, U);
    // V_h = M·Wv_h + bv_h  =>  dWv_h = Mᵀ·dV_h;  dbv_h = colsum(dV_h);  dM += dV_h·Wv_hᵀ
    const T* d_values = d.values + h * S * Dv;
    matmul_transposed_add(U, Dv, S, memory, U, d_values, Dv, gradients.value_kernel + h * Dv,
                          H * Dv);
    if (w.value_bias) add_rows(S, Dv, d_values, Dv, gradients.value_bias + h * Dv);
    transpose(U, Dv, w.value_kernel + h * Dv, H * Dv, T(1), kernel_transposed);
    matmul_add(S, U, Dv, d_values, Dv, kernel_transposed, U, gradients.memory, U);
  }
}

#define MEMATTN_INSTANTIATE(T)                                                            \
  template void prepare(const Dims&, const WeightPointers<const T>&, bool, Prepared<T>&); \
  template void fold_backward(const Prepared<T>&, const WeightPointers<const T>&,         \
                              const std::uint8_t*, const PreparedGradients<T>&,           \
                              const WeightPointers<T>&, T*) noexcept;                     \
  template void memory_backward(const Prepared<T>&, const WeightPointers<const T>&,       \
                                const std::uint8_t*, const PreparedGradients<T>&,         \
                                const WeightPointers<T>&, T*) noexcept;
MEMATTN_INSTANTIATE(float)
MEMATTN_INSTANTIATE(double)

}  // namespace memattn::kernels
