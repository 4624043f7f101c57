// The fold: everything of the layer that depends on its weights alone, and the gradients back
// through it. docs/math.md, "The folded form". Runs once per change of weights, not once per call.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/call.h"

namespace memattn::kernels {

// What the two paths need, made by prepare() from the weights.
template <typename T>
struct Prepared {
  Dims dims;
  bool folded = true;
  bool finite = true;              // no NaN or Inf below: then 0 times anything is 0
  std::vector<T> keys;             // K_h = M·Wk_h, (H, S, D); without bk, which the softmax cancels
  std::vector<T> keys_transposed;  // K_hᵀ / √D, (H, D, S)
  std::vector<T> values;           // V_h = M·Wv_h + bv_h, (H, S, Dv)
  // Of the folded path only:
  std::vector<T> a;  // A_h = Wq_h·K_hᵀ / √D, (U, H, S)
  std::vector<T> c;  // c_h = bq_h·K_hᵀ / √D, (H, S)
  std::vector<T> b;  // B_h = V_h·Wo_h, (H, S, U)
};

// Fills `prepared` for one of the two paths; buffers that it has already are used again.
template <typename T>
void prepare(const Dims& dims, const WeightPointers<const T>& w, bool folded,
             Prepared<T>& prepared);

// Gradients with respect to what prepare() made; all are sums over the tokens of a call.
template <typename T>
struct PreparedGradients {
  T* a = nullptr;       // dA (U, H, S)        folded path only
  T* c = nullptr;       // dc (H, S)           folded path only
  T* b = nullptr;       // dB (H, S, U)        folded path only
  T* keys = nullptr;    // dK (H, S, D)        folded path: from fold_backward
  T* values = nullptr;  // dV (H, S, Dv)       folded path: from fold_backward
};

// From dA, dc, dB: adds dWq, dbq, dWo to `gradients` and dK, dV to `d`.
// slot_used (S): slots that no token could read count as zeros, whatever they hold.
// workspace: fold_workspace(dims) values.
template <typename T>
void fold_backward(const Prepared<T>& prepared, const WeightPointers<const T>& w,
                   const std::uint8_t* slot_used, const PreparedGradients<T>& d,
                   const WeightPointers<T>& gradients, T* workspace) noexcept;

// From dK, dV: adds dWk, dWv, dbv, dM to `gradients`; the gradient of bk is exactly 0.
template <typename T>
void memory_backward(const Prepared<T>& prepared, const WeightPointers<const T>& w,
                     const std::uint8_t* slot_used, const PreparedGradients<T>& d,
                     const WeightPointers<T>& gradients, T* workspace) noexcept;

std::int64_t fold_workspace(const Dims& dims) noexcept;

}  // namespace memattn::kernels
