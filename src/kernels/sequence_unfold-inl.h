// From the sums of the backward pass of an attention between two inputs to the gradients of its
// weights, head by head. Each formula of docs/siblings-math.md stands above its product. Included
// once for each instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_SEQUENCE_UNFOLD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_SEQUENCE_UNFOLD_INL_H_
#undef MEMATTN_KERNELS_SEQUENCE_UNFOLD_INL_H_
#else
#define MEMATTN_KERNELS_SEQUENCE_UNFOLD_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/carver.h"
#include "kernels/pack-inl.h"
#include "kernels/product-inl.h"
#include "kernels/scale.h"
#include "kernels/sequence-inl.h"
#include "kernels/sequence.h"
#include "kernels/sequence_fold-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

// The gradient of a head's effective kernel (rows, width) and bias (width), to be written.
template <typename T>
struct HeadGradient {
  T* kernel;
  T* bias;
};

// Turns the gradients of an effective head into those of its kernel and bias; for an input that is
// read directly, also into those of its Dense, which sum over heads.
template <typename T>
void effective_head_backward(bool dense, std::int64_t rows, std::int64_t units, std::int64_t heads,
                             std::int64_t width, std::int64_t h, const T* dense_kernel,
                             const T* dense_bias, const T* kernel, const HeadGradient<T>& from,
                             T* d_kernel, T* d_bias, T* d_dense_kernel, T* d_dense_bias,
                             T* workspace) {
  const std::int64_t ld = heads * width;
  if (dense) {
    for (std::int64_t i = 0; i < units; ++i) {
      copy(width, from.kernel + i * width, d_kernel + i * ld + h * width);
    }
  } else {
    // Q_h = W·Wq_h  =>  dWq_h = Wᵀ·dQ_h;  dW += dQ_h·Wq_hᵀ
    multiply<T>(Start::kZero, units, width, rows, {dense_kernel, 1, units}, {from.kernel, width},
                d_kernel + h * width, ld);
    transpose(units, width, kernel + h * width, ld, workspace, units);
    multiply<T>(Start::kAdd, rows, units, width, {from.kernel, width, 1}, {workspace, units},
                d_dense_kernel, units);
    if (from.bias) {
      // cq_h = b·Wq_h + bq_h  =>  dWq_h += bᵀ·dcq_h;  db += dcq_h·Wq_hᵀ
      multiply<T>(Start::kAdd, units, width, 1, {dense_bias, 1, 1}, {from.bias, width},
                  d_kernel + h * width, ld);
      multiply<T>(Start::kAdd, 1, units, width, {from.bias, width, 1}, {workspace, units},
                  d_dense_bias, units);
    }
  }
  if (d_bias && from.bias) copy(width, from.bias, d_bias + h * width);
}

template <typename T>
std::int64_t sequence_unfold_workspace(const SequencePrepared<T>& prepared) noexcept {
  const SequenceDims& dims = prepared.dims;
  const WayWidths widths = prepared.widths();
  const std::int64_t U = dims.units, D = dims.key_dim, Dv = dims.value_dim;
  Carver<T> carver(nullptr);
  for (const std::int64_t size :
       {widths.source1 * D, D, widths.source2 * D, widths.source2 * Dv, Dv,
        std::max(U, std::max(widths.source1, widths.source2)) * std::max({D, Dv, U})}) {
    carver.take(size);
  }
  return carver.taken();
}

// Overwrites all gradients of the weights. With one source, those of source 1 and 2 are the same.
template <typename T>
void sequence_unfold(const SequencePrepared<T>& prepared, const SequenceWeights<const T>& w,
                     T* sums_base, const SequenceWeights<T>& gradients, T* workspace) noexcept {
  const SequenceDims& dims = prepared.dims;
  const Way& way = prepared.way;
  const WayWidths widths = prepared.widths();
  const std::int64_t U = dims.units, H = dims.num_heads, D = dims.key_dim, Dv = dims.value_dim;
  const std::int64_t G1 = widths.source1, G2 = widths.source2, I = widths.key, J = widths.value;
  const T scale = inverse_sqrt<T>(D);
  const SequenceSums<T> sums(prepared, sums_base);
  Carver<T> carver(workspace);
  T* const d_q = carver.take(G1 * D);
  T* const d_cq = carver.take(D);
  T* const d_k = carver.take(G2 * D);
  T* const d_v = carver.take(G2 * Dv);
  T* const d_cv = carver.take(Dv);
  T* const free = carver.take(std::max(U, std::max(G1, G2)) * std::max({D, Dv, U}));
  const bool biases = w.output_bias != nullptr;

  const auto start = [&](const T* sum, std::int64_t size, T* out, bool add) {
    for (std::int64_t i = 0; out && i < size; ++i) {
      const T value = sum ? sum[i] : T(0);
      out[i] = add ? out[i] + value : value;
    }
  };
  start(sums.dense1, dims.source1_units * U, gradients.source1_kernel, false);
  start(sums.dense1_bias, U, gradients.source1_bias, false);
  start(sums.dense2, dims.source2_units * U, gradients.source2_kernel, dims.one_source);
  start(sums.dense2_bias, U, gradients.source2_bias, dims.one_source);
  start(sums.output_bias0, U, gradients.output_bias, false);

  for (std::int64_t h = 0; h < H; ++h) {
    const auto part = [&](bool dense, const AlignedVector<T>& product, std::int64_t rows,
                          std::int64_t width, const T* kernel) -> typename SequenceHeads<T>::Rows {
      if (dense) return {kernel + h * width, H * width};
      return {product.data() + h * rows * width, width};
    };
    const auto q = part(way.dense1, prepared.q, G1, D, w.query_kernel);
    const auto k = part(way.dense2, prepared.k, G2, D, w.key_kernel);
    const auto v = part(way.dense2, prepared.v, G2, Dv, w.value_kernel);
    const T* cq = !biases      ? nullptr
                  : way.dense1 ? w.query_bias + h * D
                               : prepared.cq.data() + h * D;
    const T* cv = !biases      ? nullptr
                  : way.dense2 ? w.value_bias + h * Dv
                               : prepared.cv.data() + h * Dv;
    const auto rescale = [&](T* a, std::int64_t size) {
      for (std::int64_t i = 0; i < size; ++i) a[i] *= scale;
    };
    switch (way.logits) {
      case Way::Logits::kProject:
        // The query operand is Q_h / √D, the key operand K_h.
        scale_rows(G1, D, scale, sums.query + h * D, H * D, d_q, D);
        scale_rows(G2, D, T(1), sums.key + h * D, H * D, d_k, D);
        if (biases) scale_rows(1, D, scale, sums.query_bias + h * D, D, d_cq, D);
        break;
      case Way::Logits::kLeft: {
        // A_h = Q_h·K_hᵀ / √D, a_h = cq_h·K_hᵀ / √D
        //   =>  dQ_h = dA_h·K_h / √D;  dcq_h = da_h·K_h / √D;  dK_h = (dA_hᵀ·Q_h + da_hᵀ·cq_h) / √D
        const T* d_a = sums.query + h * I;
        multiply<T>(Start::kZero, G1, D, G2, {d_a, H * I, 1}, {k.data, k.stride}, d_q, D);
        multiply<T>(Start::kZero, G2, D, G1, {d_a, 1, H * I}, {q.data, q.stride}, d_k, D);
        if (biases) {
          const T* d_bias = sums.query_bias + h * I;
          multiply<T>(Start::kZero, 1, D, G2, {d_bias, G2, 1}, {k.data, k.stride}, d_cq, D);
          multiply<T>(Start::kAdd, G2, D, 1, {d_bias, 1, 1}, {cq, D}, d_k, D);
          rescale(d_cq, D);
        }
        rescale(d_q, G1 * D);
        rescale(d_k, G2 * D);
        break;
      }
      case Way::Logits::kRight: {
        // The same from dA_hᵀ (G2, G1) and da_hᵀ (G2).
        const T* d_a = sums.key + h * I;
        multiply<T>(Start::kZero, G1, D, G2, {d_a, 1, H * I}, {k.data, k.stride}, d_q, D);
        multiply<T>(Start::kZero, G2, D, G1, {d_a, H * I, 1}, {q.data, q.stride}, d_k, D);
        if (biases) {
          const T* d_bias = sums.key_bias + h;
          multiply<T>(Start::kZero, 1, D, G2, {d_bias, 0, H}, {k.data, k.stride}, d_cq, D);
          multiply<T>(Start::kAdd, G2, D, 1, {d_bias, H, 1}, {cq, D}, d_k, D);
          rescale(d_cq, D);
        }
        rescale(d_q, G1 * D);
        rescale(d_k, G2 * D);
        break;
      }
    }
    T* const d_wo = gradients.output_kernel + h * Dv * U;
    const T* wo = w.output_kernel + h * Dv * U;
    if (way.read == Way::Read::kProject) {
      scale_rows(G2, Dv, T(1), sums.value + h * Dv, H * Dv, d_v, Dv);
      if (biases) copy(Dv, sums.value_bias + h * Dv, d_cv);
      copy(Dv * U, sums.output + h * Dv * U, d_wo);
    } else {
      // C_h = V_h·Wo_h, e_h = cv_h·Wo_h
      //   =>  dV_h = dC_h·Wo_hᵀ;  dcv_h = de_h·Wo_hᵀ;  dWo_h = V_hᵀ·dC_h + cv_hᵀ·de_h
      const bool by_source = way.read == Way::Read::kSource;
      const T* d_c = by_source ? sums.output + h * G2 * U : sums.value + h * U;
      const std::int64_t d_c_stride = by_source ? U : H * J;
      const T* d_e = (by_source ? sums.output_bias : sums.value_bias);
      transpose(Dv, U, wo, U, free, Dv);
      multiply<T>(Start::kZero, G2, Dv, U, {d_c, d_c_stride, 1}, {free, Dv}, d_v, Dv);
      multiply<T>(Start::kZero, Dv, U, G2, {v.data, 1, v.stride}, {d_c, d_c_stride}, d_wo, U);
      if (biases) {
        multiply<T>(Start::kZero, 1, Dv, U, {d_e + h * U, U, 1}, {free, Dv}, d_cv, Dv);
        multiply<T>(Start::kAdd, Dv, U, 1, {cv, 1, 1}, {d_e + h * U, U}, d_wo, U);
      }
    }
    T* const none = nullptr;
    effective_head_backward(
        way.dense1, dims.source1_units, U, H, D, h, w.source1_kernel, w.source1_bias,
        w.query_kernel, HeadGradient<T>{d_q, biases ? d_cq : none}, gradients.query_kernel,
        gradients.query_bias, gradients.source1_kernel, gradients.source1_bias, free);
    effective_head_backward(way.dense2, dims.source2_units, U, H, D, h, w.source2_kernel,
                            w.source2_bias, w.key_kernel, HeadGradient<T>{d_k, none},
                            gradients.key_kernel, none, gradients.source2_kernel,
                            gradients.source2_bias, free);
    effective_head_backward(
        way.dense2, dims.source2_units, U, H, Dv, h, w.source2_kernel, w.source2_bias,
        w.value_kernel, HeadGradient<T>{d_v, biases ? d_cv : none}, gradients.value_kernel,
        gradients.value_bias, gradients.source2_kernel, gradients.source2_bias, free);
  }
  // The softmax cancels what biases add to the keys.
  if (gradients.key_bias) std::fill_n(gradients.key_bias, H * D, T(0));
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_SEQUENCE_UNFOLD_INL_H_
