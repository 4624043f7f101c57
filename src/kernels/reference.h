// The definitions of docs/math.md as written, without folding, tiling or other optimisations,
// against which every kernel is tested. Scalar may be std::complex<double>. Then a step of i *
// 1e-200 in one input puts the derivative by that input into the imaginary part of the result,
// accurate to the last digits, since no difference is taken (Squire and Trapp 1998).
#pragma once

#include <cmath>
#include <complex>
#include <cstdint>
#include <vector>

#include "kernels/call.h"

namespace memattn::kernels::reference {

inline double real_part(double value) { return value; }
inline double real_part(const std::complex<double>& value) { return value.real(); }

// Turns p (slots) from logits into the softmax over the slots that keeps(s) keeps; the others
// become 0. Returns whether it keeps any.
template <typename Scalar, typename Keeps>
bool softmax(std::int64_t slots, const Keeps& keeps, Scalar* p) {
  bool any = false;
  double largest = 0;
  for (std::int64_t s = 0; s < slots; ++s) {
    if (!keeps(s)) continue;
    if (!any || real_part(p[s]) > largest) largest = real_part(p[s]);
    any = true;
  }
  Scalar total(0);
  for (std::int64_t s = 0; s < slots; ++s) {
    p[s] = keeps(s) ? std::exp(p[s] - largest) : Scalar(0);
    total += p[s];
  }
  for (std::int64_t s = 0; any && s < slots; ++s) p[s] /= total;
  return any;
}

// Computes out (rows, width) = x (rows, features) · kernel (features, width) + bias (width) or
// null.
template <typename Scalar>
void dense(std::int64_t rows, std::int64_t features, std::int64_t width, const Scalar* x,
           const Scalar* kernel, const Scalar* bias, Scalar* out) {
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t i = 0; i < width; ++i) {
      Scalar sum = bias ? bias[i] : Scalar(0);
      for (std::int64_t f = 0; f < features; ++f)
        sum += x[r * features + f] * kernel[f * width + i];
      out[r * width + i] = sum;
    }
  }
}

// The source that tokens of an attention read: the slots of a memory, or the steps of another
// input.
template <typename Scalar>
class Attention {
 public:
  Attention(const AttentionShape& shape, const AttentionWeights<const Scalar>& weights,
            std::int64_t slots)
      : shape_(shape),
        weights_(weights),
        slots_(slots),
        buffer_(static_cast<std::size_t>(
            slots * shape.num_heads * (shape.key_dim + shape.value_dim) + shape.key_dim + slots)) {}

  // Computes k_h = source Wk_h + bk_h (S, H, D) and v_h = source Wv_h + bv_h (S, H, Dv) from source
  // (S, Us).
  void project(const Scalar* source) {
    const std::int64_t H = shape_.num_heads;
    dense(slots_, shape_.source_units, H * shape_.key_dim, source, weights_.key_kernel,
          weights_.key_bias, keys());
    dense(slots_, shape_.source_units, H * shape_.value_dim, source, weights_.value_kernel,
          weights_.value_bias, values());
  }

  // Adds the values that token x (Uq), step t of sequence b of the call, reads to y (Uq). `scores`
  // is null or (B, H, T, S), to which it writes the token's scores before dropout.
  void read(const Call& call, std::int64_t b, std::int64_t t, const Scalar* x, Scalar* y,
            Scalar* scores) {
    const std::int64_t Uq = shape_.query_units, S = slots_, H = shape_.num_heads;
    const std::int64_t D = shape_.key_dim, Dv = shape_.value_dim;
    const Scalar* const k = keys();
    const Scalar* const v = values();
    Scalar* const q = values() + S * H * Dv;  // (D)
    Scalar* const p = q + D;                  // (S)
    const auto keeps = [&](std::int64_t s) { return call.keeps(b, t, s, S); };
    for (std::int64_t h = 0; h < H; ++h) {
      // q_h = X Wq_h + bq_h
      for (std::int64_t d = 0; d < D; ++d) {
        q[d] = weights_.query_bias ? weights_.query_bias[h * D + d] : Scalar(0);
        for (std::int64_t u = 0; u < Uq; ++u) {
          q[d] += x[u] * weights_.query_kernel[(u * H + h) * D + d];
        }
      }
      // L_h = q_h · k_hᵀ / √D;  P_h = softmax over the slots that are kept
      for (std::int64_t s = 0; s < S; ++s) {
        p[s] = Scalar(0);
        for (std::int64_t d = 0; keeps(s) && d < D; ++d) p[s] += q[d] * k[(s * H + h) * D + d];
        p[s] /= std::sqrt(static_cast<double>(D));
      }
      const bool uniform = !softmax(S, keeps, p) && call.uniform_when_masked;
      for (std::int64_t s = 0; s < S; ++s) {
        if (uniform) p[s] = Scalar(1.0 / static_cast<double>(S));
        if (scores) scores[((b * H + h) * call.steps + t) * S + s] = p[s];
      }
      // y += Σ_h (P_h · v_h) · Wo_h
      const std::uint64_t key = Dropout::row_key(
          call.dropout.sequence_key(call.first_sequence + b),
          static_cast<std::uint64_t>(call.first_step + t) * static_cast<std::uint64_t>(H) +
              static_cast<std::uint64_t>(h));
      for (std::int64_t s = 0; s < S; ++s) {
        if (!keeps(s) && !uniform) continue;
        Scalar weight = p[s];
        if (call.dropout.rate > 0) {
          const bool keep = Dropout::keeps(key, s, call.dropout.threshold());
          weight = keep ? weight * call.dropout.scale() : Scalar(0);
        }
        for (std::int64_t i = 0; i < Dv; ++i) {
          const Scalar part = weight * v[(s * H + h) * Dv + i];
          for (std::int64_t u = 0; u < Uq; ++u) {
            y[u] += part * weights_.output_kernel[(h * Dv + i) * Uq + u];
          }
        }
      }
    }
  }

 private:
  Scalar* keys() { return buffer_.data(); }
  Scalar* values() { return keys() + slots_ * shape_.num_heads * shape_.key_dim; }

  const AttentionShape shape_;
  const AttentionWeights<const Scalar> weights_;
  const std::int64_t slots_;
  std::vector<Scalar> buffer_;  // keys, values, and of one token q and p
};

// The memory layer, Z = X + Σ_h (P_h · v_h) · Wo_h + bo: computes y (B, T, U) and scores (B, H, T,
// S), before dropout, from x (B, T, U).
template <typename Scalar>
void forward(const Dims& dims, const WeightPointers<const Scalar>& w, const Call& call,
             const Scalar* x, Scalar* y, Scalar* scores) {
  const std::int64_t U = dims.units;
  Attention<Scalar> attention(dims.attention(), w, dims.memory_size);
  attention.project(w.memory);
  for (std::int64_t b = 0; b < call.batch; ++b) {
    for (std::int64_t t = 0; t < call.steps; ++t) {
      const std::int64_t token = (b * call.steps + t) * U;
      for (std::int64_t u = 0; u < U; ++u) {
        y[token + u] = (call.residual ? x[token + u] : Scalar(0)) +
                       (w.output_bias ? w.output_bias[u] : Scalar(0));
      }
      attention.read(call, b, t, x + token, y + token, scores);
    }
  }
}

// An attention between two inputs, Z = Σ_h (P_h · v_h) · Wo_h + bo, with queries from S1 = X1 · W1
// + b1, and keys and values from S2 = X2 · W2 + b2. Computes y (B, T1, U) and scores (B, H, T1,
// T2), before dropout, from x1 (B, T1, F1) and x2 (B, T2, F2). In self-attention both are the same
// array. The slots of `call` are the T2 steps of x2, its steps the T1 steps of x1; its residual is
// ignored. `scores` may be null. The values of a masked step, even NaN, are not read.
template <typename Scalar>
void sequence_forward(const SequenceDims& dims, const SequenceWeights<const Scalar>& w,
                      const Call& call, std::int64_t steps2, const Scalar* x1, const Scalar* x2,
                      Scalar* y, Scalar* scores) {
  const std::int64_t U = dims.units, T1 = call.steps;
  std::vector<Scalar> buffer(static_cast<std::size_t>((T1 + steps2) * U));
  Scalar* const s1 = buffer.data();
  Scalar* const s2 = s1 + T1 * U;
  Attention<Scalar> attention(dims.attention(), w, steps2);
  for (std::int64_t b = 0; b < call.batch; ++b) {
    dense(T1, dims.source1_units, U, x1 + b * T1 * dims.source1_units, w.source1_kernel,
          w.source1_bias, s1);
    dense(steps2, dims.source2_units, U, x2 + b * steps2 * dims.source2_units, w.source2_kernel,
          w.source2_bias, s2);
    attention.project(s2);
    for (std::int64_t t = 0; t < T1; ++t) {
      Scalar* const row = y + (b * T1 + t) * U;
      for (std::int64_t u = 0; u < U; ++u) row[u] = w.output_bias ? w.output_bias[u] : Scalar(0);
      attention.read(call, b, t, s1 + t * U, row, scores);
    }
  }
}

// In tests/cpp/testing/reference.cc.
extern template void forward(const Dims&, const WeightPointers<const double>&, const Call&,
                             const double*, double*, double*);
extern template void forward(const Dims&, const WeightPointers<const std::complex<double>>&,
                             const Call&, const std::complex<double>*, std::complex<double>*,
                             std::complex<double>*);
extern template void sequence_forward(const SequenceDims&, const SequenceWeights<const double>&,
                                      const Call&, std::int64_t, const double*, const double*,
                                      double*, double*);
extern template void sequence_forward(const SequenceDims&,
                                      const SequenceWeights<const std::complex<double>>&,
                                      const Call&, std::int64_t, const std::complex<double>*,
                                      const std::complex<double>*, std::complex<double>*,
                                      std::complex<double>*);

}  // namespace memattn::kernels::reference
