// The products of a layer's weights, in the forms that the kernels read.
#pragma once

#include <cstdint>

#include "kernels/aligned.h"
#include "kernels/bfloat16.h"
#include "kernels/shape.h"

namespace memattn::kernels {

// Keys and values as the projected route reads them, whatever their source; scale.h explains
// log2(e). Stored is the type of the stored values, T that of the arithmetic.
template <typename T, typename Stored = T>
struct KeysValues {
  std::int64_t slots = 0;   // S
  const T* keys = nullptr;  // K_h (H, S, D), for the backward pass
  const Stored* keys_packed =
      nullptr;                     // K_h log2(e) / √D, packed for tiles of tokens, head by head
  const Stored* values = nullptr;  // V_h (H, S, Dv)
  bool finite = true;              // no NaN or Inf in keys or values: 0 times any value is 0
};

// Computed once for each change of weights: docs/math.md, "The fold". A change of weights that
// keeps the route allocates nothing; for this reason keys_transposed, which only the fold reads,
// stays.
template <typename T, typename Stored = T>
struct Prepared {
  Dims dims;
  bool folded = true;
  bool finite = true;     // no NaN or Inf below or in the memory: 0 times any value is 0
  AlignedVector<T> keys;  // K_h = M·Wk_h, (H, S, D); without bk, which the softmax cancels
  AlignedVector<T> keys_transposed;  // K_hᵀ log2(e) / √D, (H, D, S)
  AlignedVector<Stored> values;      // V_h = M·Wv_h + bv_h, (H, S, Dv)
  // Of the folded route only:
  AlignedVector<Stored> a;         // A_h log2(e) = Wq_h·K_hᵀ log2(e) / √D, (U, H, S)
  AlignedVector<Stored> a_packed;  // the same, packed for tiles of tokens
  AlignedVector<T> c;              // c_h log2(e) = bq_h·K_hᵀ log2(e) / √D, (H, S)
  AlignedVector<Stored> b;         // B_h = V_h·Wo_h, (H, S, U)
  AlignedVector<Stored> b_packed;  // the same, packed by groups of heads
  // Of the projected route only:
  AlignedVector<Stored> keys_packed;  // K_h log2(e) / √D, packed for tiles of tokens

  // For the projected route; valid until the next fold.
  KeysValues<T, Stored> keys_values() const noexcept {
    return {dims.memory_size, keys.data(), keys_packed.data(), values.data(), finite};
  }

  // Resizes every buffer for one of the two routes; allocates nothing if the sizes stay.
  void resize(const Dims& new_dims, bool is_folded);

  std::int64_t bytes() const noexcept;  // of all buffers
};

// The operands of a forward pass in bfloat16, besides `Prepared`: rounded, and in pairs along the
// sums.
struct PreparedPairs {
  bool finite = true;  // no NaN or Inf in B or V once rounded
  // Of the folded route only; each head's slots begin at a new pair:
  AlignedVector<float> spread;   // about the standard deviation of a slot's logits over tokens
                                 // whose elements have mean square 1, (H, S)
  float largest_spread = 0;      // the maximum of spread
  AlignedVector<Pair> a;         // A_h log2(e), (U / 2, H, S)
  AlignedVector<Pair> a_packed;  // its transpose, packed for tiles of tokens
  AlignedVector<Pair> b;         // B_h, (H, S / 2, U)
  AlignedVector<Pair> b_packed;  // the same, packed by groups of heads
  // Of the projected route only, whose other operands are in float:
  AlignedVector<Pair> values;  // V_h (H, S / 2, Dv)

  // Resizes every buffer for one of the two routes; allocates nothing if the sizes stay.
  void resize(const Dims& dims, bool folded);
  // Frees all memory.
  void clear() noexcept { *this = PreparedPairs(); }

  std::int64_t bytes() const noexcept;  // of all buffers
};

}  // namespace memattn::kernels
