// The layer's arithmetic: one table of functions for each instruction set, and the choice among
// them. simd.cc compiles the bodies in *-inl.h once for each set; src/layer calls them through the
// table.
#pragma once

#include <cstdint>

#include "kernels/aligned.h"
#include "kernels/call.h"

namespace memattn::kernels {

template <typename T>
struct Kernels;
template <typename T>
struct FinishBuffers;  // fold_support.h

// Tokens that a kernel takes from x to y at a time. What they need beside the weights stays in L2,
// and the more they are, the fewer times all weights come by: 48 suffice while those lie in L1 and
// L2. Every instruction set's widest block of products, three vectors of tokens, fits in evenly.
inline std::int64_t tile_tokens(const Dims& dims) noexcept {
  constexpr std::int64_t kWeights = 1 << 15;
  return dims.units * dims.memory_size * dims.num_heads > kWeights ? 96 : 48;
}

// Everything of a layer that depends on its weights alone, in the form that the kernels read. Made
// once for each change of weights: docs/math.md, "The fold". What makes logits makes them to base
// 2, log2(e) times as large: a power of 2 takes fewer operations than one of e.
template <typename T>
struct Prepared {
  Dims dims;
  bool folded = true;
  bool finite = true;     // no NaN or Inf below or in the memory: then 0 times anything is 0
  AlignedVector<T> keys;  // K_h = M·Wk_h, (H, S, D); without bk, which the softmax cancels
  AlignedVector<T> keys_transposed;  // K_hᵀ log2(e) / √D, (H, D, S)
  AlignedVector<T> values;           // V_h = M·Wv_h + bv_h, (H, S, Dv)
  // Of the folded route only:
  AlignedVector<T> a;         // A_h log2(e) = Wq_h·K_hᵀ log2(e) / √D, (U, H, S)
  AlignedVector<T> a_packed;  // the same, packed for tiles of tokens
  AlignedVector<T> c;         // c_h log2(e) = bq_h·K_hᵀ log2(e) / √D, (H, S)
  AlignedVector<T> b;         // B_h = V_h·Wo_h, (H, S, U)
  AlignedVector<T> b_packed;  // the same, packed by groups of heads
  // Of the projected route only:
  AlignedVector<T> keys_packed;  // K_h log2(e) / √D, packed for tiles of tokens
};

template <typename T>
struct ForwardArrays {
  const T* x = nullptr;  // (B, T, U)
  T* y = nullptr;        // (B, T, U); may be x
  T* scores = nullptr;   // (B, H, T, S), averaged over heads (B, T, S), or null
  bool average_heads = false;
  T* kept = nullptr;  // P for backward, kept_size() values, or null
};

template <typename T>
struct BackwardArrays {
  const T* x = nullptr;     // (B, T, U)
  const T* d_y = nullptr;   // (B, T, U)
  T* d_x = nullptr;         // (B, T, U), or null
  const T* kept = nullptr;  // what forward kept, or null: then P is computed again
};

// Size of `kept`: tile after tile, each as it is computed, (H, S, tile_tokens).
inline std::int64_t kept_size(const Dims& dims, std::int64_t tokens) noexcept {
  const std::int64_t tile = tile_tokens(dims);
  return (tokens + tile - 1) / tile * tile * dims.num_heads * dims.memory_size;
}

// Sums over tokens, from which finish_backward makes the gradients of the weights.
template <typename T>
struct TokenSums {
  TokenSums(const Dims& dims, bool folded, T* base);  // base may be null: only `size` counts then

  T* used = nullptr;           // (S): not 0 where a token could read the slot
  T* output_bias = nullptr;    // dbo (U)
  T* a_transposed = nullptr;   // dA_hᵀ (H, S, U)      folded route
  T* c = nullptr;              // dc_h (H, S)          folded route
  T* b = nullptr;              // dB_h (H, S, U)       folded route
  T* query_kernel = nullptr;   // dWq·√D (U, H, D)     projected route
  T* query_bias = nullptr;     // dbq·√D (H, D)        projected route
  T* output_kernel = nullptr;  // dWo (H, Dv, U)       projected route
  T* keys = nullptr;           // dK·√D (S, H, D)      projected route
  T* values = nullptr;         // dV (S, H, Dv)        projected route
  std::int64_t size = 0;       // values in all
};

// The functions of one instruction set, all noexcept; none checks anything or takes memory. A
// workspace belongs to one call at a time.
template <typename T>
struct Kernels {
  const char* isa;  // Highway's name in lower case, "avx3", or "scalar"

  // Fills `prepared`, which resize_prepared has given its sizes: heads first..last-1 and whether
  // what is theirs alone is finite; then, with that of all heads, the rest.
  bool (*prepare_heads)(const WeightPointers<const T>& w, std::int64_t first, std::int64_t last,
                        Prepared<T>& prepared) noexcept;
  void (*finish_prepare)(const WeightPointers<const T>& w, bool finite,
                         Prepared<T>& prepared) noexcept;

  // Tokens first..last-1 of a call. Any cut of the tokens gives the same bits.
  std::int64_t (*forward_workspace)(const Dims& dims, bool folded);
  void (*forward)(const Prepared<T>& prepared, const WeightPointers<const T>& w, const Call& call,
                  const ForwardArrays<T>& arrays, std::int64_t first, std::int64_t last,
                  T* workspace) noexcept;

  // What backward needs of the weights beyond `prepared`, once a call: backward_weights() values.
  std::int64_t (*backward_weights)(const Dims& dims, bool folded);
  void (*prepare_backward)(const Prepared<T>& prepared, const WeightPointers<const T>& w,
                           T* weights) noexcept;

  // Tokens first..last-1: writes their d_x and adds to `sums`.
  std::int64_t (*backward_workspace)(const Dims& dims, bool folded);
  void (*backward)(const Prepared<T>& prepared, const WeightPointers<const T>& w, const T* weights,
                   const Call& call, const BackwardArrays<T>& arrays, std::int64_t first,
                   std::int64_t last, const TokenSums<T>& sums, T* workspace) noexcept;

  // From the sums over all tokens to the gradients of the weights: heads first..last-1, and then
  // columns first..last-1 of that of the memory. That of output.bias is sums.output_bias.
  void (*finish_heads)(const Prepared<T>& prepared, const WeightPointers<const T>& w,
                       const TokenSums<T>& sums, const WeightPointers<T>& gradients,
                       const FinishBuffers<T>& rest, std::int64_t first, std::int64_t last,
                       T* workspace) noexcept;
  void (*finish_memory)(const Prepared<T>& prepared, const WeightPointers<const T>& w,
                        const WeightPointers<T>& gradients, const FinishBuffers<T>& rest,
                        std::int64_t first, std::int64_t last, T* workspace) noexcept;

  // C (m, n) = A·B, or C + A·B with `add`, for the networks around the layer: element (i, p) of
  // A (m, k) is a[i * row + p * step], so A may be given transposed; rows of B (k, n) and of C lie
  // ldb and ldc apart. Each element is one chain of sums in the order of k, however C is cut.
  void (*multiply)(bool add, std::int64_t m, std::int64_t n, std::int64_t k, const T* a,
                   std::int64_t row, std::int64_t step, const T* b, std::int64_t ldb, T* c,
                   std::int64_t ldc) noexcept;

  // y = 2^x for x at most 0, as the softmax takes it: within 2 units in the last place, which are
  // those of the smallest normal number where y is below it; 0 where x is at most -126.5 (float) or
  // -1022.5 (double); NaN for NaN.
  void (*exp2)(const T* x, T* y, std::int64_t size) noexcept;
};

// The table of the instruction set that isa.h chooses; the same at every call.
template <typename T>
const Kernels<T>& chosen_kernels();

}  // namespace memattn::kernels
