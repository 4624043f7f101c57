// The truth: the definition of docs/math.md as written, without folding, tiling or tricks. Every
// kernel is held against it. Scalar may be std::complex<double>: then a step of i * 1e-200 in one
// input gives the derivative by it in the imaginary part of the result, to the last digits, since
// no difference is taken (Squire and Trapp 1998).
#pragma once

#include <cmath>
#include <complex>
#include <cstdint>
#include <vector>

#include "kernels/call.h"

namespace memattn::kernels::reference {

inline double real_part(double value) { return value; }
inline double real_part(const std::complex<double>& value) { return value.real(); }

// p (slots) from logits to the softmax over the slots that keeps(s) keeps; the others become 0.
// Returns whether there is one.
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

// y (B, T, U) and scores (B, H, T, S), before dropout, from x (B, T, U).
template <typename Scalar>
void forward(const Dims& dims, const WeightPointers<const Scalar>& w, const Call& call,
             const Scalar* x, Scalar* y, Scalar* scores) {
  const std::int64_t U = dims.units, S = dims.memory_size, H = dims.num_heads;
  const std::int64_t D = dims.key_dim, Dv = dims.value_dim;
  const auto bias = [](const Scalar* b, std::int64_t i) { return b ? b[i] : Scalar(0); };

  // k_h = M Wk_h + bk_h (S, H, D) and v_h = M Wv_h + bv_h (S, H, Dv)
  std::vector<Scalar> buffer(static_cast<std::size_t>(S * H * (D + Dv) + D + S));
  Scalar* const k = buffer.data();
  Scalar* const v = k + S * H * D;
  const auto project = [&](const Scalar* kernel, const Scalar* b, std::int64_t width, Scalar* out) {
    for (std::int64_t s = 0; s < S; ++s) {
      for (std::int64_t i = 0; i < width; ++i) {
        Scalar sum = bias(b, i);
        for (std::int64_t u = 0; u < U; ++u) sum += w.memory[s * U + u] * kernel[u * width + i];
        out[s * width + i] = sum;
      }
    }
  };
  project(w.key_kernel, w.key_bias, H * D, k);
  project(w.value_kernel, w.value_bias, H * Dv, v);

  Scalar* const q = v + S * H * Dv;  // (D)
  Scalar* const p = q + D;           // (S)
  for (std::int64_t b = 0; b < call.batch; ++b) {
    for (std::int64_t t = 0; t < call.steps; ++t) {
      const std::int64_t token = b * call.steps + t;
      for (std::int64_t u = 0; u < U; ++u) {
        y[token * U + u] = (call.residual ? x[token * U + u] : Scalar(0)) + bias(w.output_bias, u);
      }
      for (std::int64_t h = 0; h < H; ++h) {
        // q_h = X Wq_h + bq_h
        for (std::int64_t d = 0; d < D; ++d) {
          q[d] = bias(w.query_bias, h * D + d);
          for (std::int64_t u = 0; u < U; ++u) {
            q[d] += x[token * U + u] * w.query_kernel[(u * H + h) * D + d];
          }
        }
        // L_h = q_h · k_hᵀ / √D;  P_h = softmax over the slots that are kept
        const auto keeps = [&](std::int64_t s) { return call.keeps(b, t, s, S); };
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
        // Z = X + Σ_h (P_h · v_h) · Wo_h + bo
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
            const Scalar read = weight * v[(s * H + h) * Dv + i];
            for (std::int64_t u = 0; u < U; ++u) {
              y[token * U + u] += read * w.output_kernel[(h * Dv + i) * U + u];
            }
          }
        }
      }
    }
  }
}

}  // namespace memattn::kernels::reference
