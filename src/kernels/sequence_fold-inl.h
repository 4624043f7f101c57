// The weights of an attention between two inputs in the forms of its way, head by head. Each
// formula of docs/siblings-math.md stands above its product. Included once for each instruction set
// by simd.cc.
#if defined(MEMATTN_KERNELS_SEQUENCE_FOLD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_SEQUENCE_FOLD_INL_H_
#undef MEMATTN_KERNELS_SEQUENCE_FOLD_INL_H_
#else
#define MEMATTN_KERNELS_SEQUENCE_FOLD_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <numbers>

#include "hwy/highway.h"
#include "kernels/fold-inl.h"
#include "kernels/pack-inl.h"
#include "kernels/product-inl.h"
#include "kernels/scale.h"
#include "kernels/sequence.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

// A head's part of a kernel, rows `stride` values apart, and of a bias that may be missing.
template <typename T>
struct HeadKernel {
  const T* kernel;
  std::int64_t stride;
  const T* bias;
};

// Returns the kernel and bias that head h applies to the rows of a source. If the source goes
// through a Dense, these are its kernel (U, H, width) and bias. Otherwise they are W·kernel_h and
// b·kernel_h + bias_h, written to `product` (H, rows, width) and `product_bias` (H, width).
template <typename T>
HeadKernel<T> effective_head(bool dense, std::int64_t rows, std::int64_t units, std::int64_t heads,
                             std::int64_t width, std::int64_t h, const T* dense_kernel,
                             const T* dense_bias, const T* kernel, const T* bias,
                             AlignedVector<T>& product, AlignedVector<T>& product_bias) {
  if (dense) return {kernel + h * width, heads * width, bias ? bias + h * width : nullptr};
  const T* none = nullptr;
  T* const out = product.data() + h * rows * width;
  project_head(rows, units, heads, width, h, dense_kernel, kernel, none, out);
  if (product_bias.empty()) return {out, width, nullptr};
  T* const out_bias = product_bias.data() + h * width;
  project_head(1, units, heads, width, h, dense_bias, kernel, bias, out_bias);
  return {out, width, out_bias};
}

// Computes out (rows, width) = factor times a head's kernel, rows ldo apart.
template <typename T>
void scale_rows(std::int64_t rows, std::int64_t width, T factor, const T* a, std::int64_t lda,
                T* out, std::int64_t ldo) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < width; ++j) out[i * ldo + j] = factor * a[i * lda + j];
  }
}

// Computes the kernels of head h's query and key operands. `workspace` has
// sequence_fold_workspace() values.
template <typename T>
void prepare_logits(const HeadKernel<T>& q, const HeadKernel<T>& k, std::int64_t h,
                    SequencePrepared<T>& prepared, T* workspace) {
  const WayWidths widths = prepared.widths();
  const std::int64_t H = prepared.dims.num_heads, D = prepared.dims.key_dim;
  const std::int64_t G1 = widths.source1, G2 = widths.source2, I = widths.key;
  const T scale = inverse_sqrt<T>(D), to_base_2 = std::numbers::log2e_v<T>;
  T* const bias = prepared.query_bias.empty() ? nullptr : prepared.query_bias.data() + h * I;
  switch (prepared.way.logits) {
    case Way::Logits::kProject:
      scale_rows(G1, D, scale * to_base_2, q.kernel, q.stride, prepared.query.data() + h * D,
                 H * D);
      scale_rows(G2, D, T(1), k.kernel, k.stride, prepared.key.data() + h * D, H * D);
      if (bias) scale_rows(1, D, scale * to_base_2, q.bias, D, bias, D);
      break;
    case Way::Logits::kLeft: {
      // A_h = Q_h·K_hᵀ / √D;  a_h = cq_h·K_hᵀ / √D
      transpose(G2, D, k.kernel, k.stride, workspace, G2);
      for (std::int64_t i = 0; i < D * G2; ++i) workspace[i] *= scale * to_base_2;
      multiply<T>(Start::kZero, G1, G2, D, {q.kernel, q.stride, 1}, {workspace, G2},
                  prepared.query.data() + h * G2, H * G2);
      if (!bias) break;
      multiply<T>(Start::kZero, 1, G2, D, {q.bias, D, 1}, {workspace, G2}, bias, G2);
      break;
    }
    case Way::Logits::kRight: {
      // A_hᵀ = K_h·Q_hᵀ / √D;  a_h = K_h·cq_hᵀ / √D
      transpose(G1, D, q.kernel, q.stride, workspace, G1);
      for (std::int64_t i = 0; i < D * G1; ++i) workspace[i] *= scale * to_base_2;
      multiply<T>(Start::kZero, G2, G1, D, {k.kernel, k.stride, 1}, {workspace, G1},
                  prepared.key.data() + h * G1, H * G1);
      if (prepared.key_bias.empty()) break;
      scale_rows(1, D, scale * to_base_2, q.bias, D, workspace, D);
      multiply<T>(Start::kZero, G2, 1, D, {k.kernel, k.stride, 1}, {workspace, 1},
                  prepared.key_bias.data() + h, H);
      break;
    }
  }
  if (prepared.query.empty()) return;
  pack_left(I, G1, prepared.query.data() + h * I, 1, H * I,
            prepared.query_packed.data() + h * I * G1);
}

// Computes the kernel of head h's value operand, and the output kernel after the read.
template <typename T>
void prepare_read(const HeadKernel<T>& v, const T* output_kernel, std::int64_t h,
                  SequencePrepared<T>& prepared) {
  const SequenceDims& dims = prepared.dims;
  const std::int64_t U = dims.units, H = dims.num_heads, Dv = dims.value_dim;
  const std::int64_t G2 = prepared.widths().source2;
  const T* wo = output_kernel + h * Dv * U;
  if (prepared.way.read == Way::Read::kProject) {
    scale_rows(G2, Dv, T(1), v.kernel, v.stride, prepared.value.data() + h * Dv, H * Dv);
    if (v.bias) copy(Dv, v.bias, prepared.value_bias.data() + h * Dv);
    copy(Dv * U, wo, prepared.output.data() + h * Dv * U);
    return;
  }
  // C_h = V_h·Wo_h;  e_h = cv_h·Wo_h
  const bool by_source = prepared.way.read == Way::Read::kSource;
  T* const c = by_source ? prepared.output.data() + h * G2 * U : prepared.value.data() + h * U;
  multiply<T>(Start::kZero, G2, U, Dv, {v.kernel, v.stride, 1}, {wo, U}, c, by_source ? U : H * U);
  if (v.bias) {
    T* const e = (by_source ? prepared.output_bias : prepared.value_bias).data() + h * U;
    multiply<T>(Start::kZero, 1, U, Dv, {v.bias, Dv, 1}, {wo, U}, e, U);
  }
}

template <typename T>
std::int64_t sequence_fold_workspace(const SequencePrepared<T>& prepared) noexcept {
  const WayWidths widths = prepared.widths();
  return prepared.dims.key_dim * std::max(widths.source1, widths.source2);
}

// Prepares heads first..last-1 of `prepared`, whose buffers have their sizes.
template <typename T>
void sequence_prepare_heads(const SequenceWeights<const T>& w, std::int64_t first,
                            std::int64_t last, SequencePrepared<T>& prepared,
                            T* workspace) noexcept {
  const SequenceDims& dims = prepared.dims;
  const Way& way = prepared.way;
  const std::int64_t U = dims.units, H = dims.num_heads, D = dims.key_dim, Dv = dims.value_dim;
  AlignedVector<T> no_bias;
  for (std::int64_t h = first; h < last; ++h) {
    // Q_h = W1·Wq_h;  cq_h = b1·Wq_h + bq_h
    const HeadKernel<T> q =
        effective_head(way.dense1, dims.source1_units, U, H, D, h, w.source1_kernel, w.source1_bias,
                       w.query_kernel, w.query_bias, prepared.q, prepared.cq);
    // K_h = W2·Wk_h; the softmax cancels what biases add to it.
    const HeadKernel<T> k =
        effective_head(way.dense2, dims.source2_units, U, H, D, h, w.source2_kernel, w.source2_bias,
                       w.key_kernel, w.key_bias, prepared.k, no_bias);
    // V_h = W2·Wv_h;  cv_h = b2·Wv_h + bv_h
    const HeadKernel<T> v =
        effective_head(way.dense2, dims.source2_units, U, H, Dv, h, w.source2_kernel,
                       w.source2_bias, w.value_kernel, w.value_bias, prepared.v, prepared.cv);
    prepare_logits(q, k, h, prepared, workspace);
    prepare_read(v, w.output_kernel, h, prepared);
  }
}

// Prepares the rest, after all heads.
template <typename T>
void sequence_finish_prepare(const SequenceWeights<const T>& w,
                             SequencePrepared<T>& prepared) noexcept {
  const SequenceDims& dims = prepared.dims;
  const auto finite = [](const AlignedVector<T>& part) {
    return all_finite(static_cast<std::int64_t>(part.size()), part.data());
  };
  prepared.finite = finite(prepared.query) && finite(prepared.query_bias) && finite(prepared.key) &&
                    finite(prepared.key_bias) && finite(prepared.value) &&
                    finite(prepared.value_bias) && finite(prepared.output) &&
                    finite(prepared.output_bias);
  if (prepared.way.dense2) {
    prepared.finite = prepared.finite &&
                      all_finite(dims.source2_units * dims.units, w.source2_kernel) &&
                      (!w.source2_bias || all_finite(dims.units, w.source2_bias));
  }
  if (prepared.output_bias.empty()) return;
  std::fill(prepared.output_bias_sum.begin(), prepared.output_bias_sum.end(), T(0));
  add_rows(dims.num_heads, dims.units, prepared.output_bias.data(),
           prepared.output_bias_sum.data());
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_SEQUENCE_FOLD_INL_H_
