// The layer's arithmetic: a table of functions for each instruction set, and the choice among the
// tables. simd.cc compiles the bodies in *-inl.h once for each set; src/layer calls them through
// the table.
#pragma once

#include <cstdint>

#include "kernels/call.h"
#include "kernels/prepared.h"
#include "kernels/sequence.h"
#include "kernels/token_sums.h"

namespace memattn::kernels {

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
  const T* kept = nullptr;  // kept by forward, or null: P is computed again
};

// The functions of one instruction set. They check nothing, allocate nothing and throw nothing. A
// workspace belongs to one call at a time; sums have token_sums_size() values.
template <typename T>
struct Kernels {
  const char* isa;  // Highway's name in lower case, "avx3", or "scalar"

  // Fills `prepared`, whose buffers have their sizes: heads first..last-1, returning whether the
  // values that only they produce are finite; then the rest, given the combined result of all
  // heads.
  bool (*prepare_heads)(const WeightPointers<const T>& w, std::int64_t first, std::int64_t last,
                        Prepared<T>& prepared) noexcept;
  void (*finish_prepare)(const WeightPointers<const T>& w, bool finite,
                         Prepared<T>& prepared) noexcept;

  // Computes tokens first..last-1 of a call. Any split of the tokens gives the same bits.
  std::int64_t (*forward_workspace)(const Dims& dims, bool folded) noexcept;
  void (*forward)(const Prepared<T>& prepared, const WeightPointers<const T>& w, const Call& call,
                  const ForwardArrays<T>& arrays, std::int64_t first, std::int64_t last,
                  T* workspace) noexcept;

  // Computes the weights that backward needs beyond `prepared`, once per call: backward_weights()
  // values.
  std::int64_t (*backward_weights)(const Dims& dims, bool folded) noexcept;
  void (*prepare_backward)(const Prepared<T>& prepared, const WeightPointers<const T>& w,
                           T* weights) noexcept;

  // For tokens first..last-1, writes their d_x and adds to the sums of the route.
  std::int64_t (*backward_workspace)(const Dims& dims, bool folded) noexcept;
  void (*backward)(const Prepared<T>& prepared, const WeightPointers<const T>& w, const T* weights,
                   const Call& call, const BackwardArrays<T>& arrays, std::int64_t first,
                   std::int64_t last, T* sums, T* workspace) noexcept;

  // Turns the sums over all tokens into the gradients of the weights: for heads first..last-1 with
  // their dK and dV, and then, after all heads, for columns first..last-1 of the memory. The
  // gradient of output.bias is the sum itself.
  void (*finish_heads)(const Prepared<T>& prepared, const WeightPointers<const T>& w, T* sums,
                       const WeightPointers<T>& gradients, const KeysValuesGradients<T>& d_memory,
                       std::int64_t first, std::int64_t last, T* workspace) noexcept;
  void (*finish_memory)(const Prepared<T>& prepared, const WeightPointers<const T>& w,
                        const WeightPointers<T>& gradients, const KeysValuesGradients<T>& d_memory,
                        std::int64_t first, std::int64_t last, T* workspace) noexcept;

  // Attention between two inputs. Fills `prepared`, whose buffers have their sizes: heads
  // first..last-1, and then, after all heads, the rest.
  std::int64_t (*sequence_fold_workspace)(const SequencePrepared<T>& prepared) noexcept;
  void (*sequence_prepare_heads)(const SequenceWeights<const T>& w, std::int64_t first,
                                 std::int64_t last, SequencePrepared<T>& prepared,
                                 T* workspace) noexcept;
  void (*sequence_finish_prepare)(const SequenceWeights<const T>& w,
                                  SequencePrepared<T>& prepared) noexcept;
  bool (*all_finite)(std::int64_t size, const T* values);

  // Computes the operands of tokens first..last-1 of source 2, which the tiles of queries read, and
  // then tiles first..last-1. Any split gives the same bits.
  void (*sequence_sources)(const SequencePrepared<T>& prepared, const SequenceWeights<const T>& w,
                           const SequenceOperands<T>& operands, std::int64_t first,
                           std::int64_t last) noexcept;
  std::int64_t (*sequence_forward_workspace)(const SequencePrepared<T>& prepared,
                                             const SequenceTiles& tiles,
                                             std::int64_t steps2) noexcept;
  void (*sequence_forward)(const SequencePrepared<T>& prepared, const SequenceWeights<const T>& w,
                           const Call& call, const SequenceOperands<T>& operands,
                           const SequenceForwardArrays<T>& arrays, const SequenceTiles& tiles,
                           std::int64_t first, std::int64_t last, T* workspace) noexcept;

  // Computes the weights that backward needs beyond `prepared`, once per call:
  // SequenceBackwardWeights.
  void (*sequence_prepare_backward)(const SequencePrepared<T>& prepared,
                                    const SequenceWeights<const T>& w, T* weights) noexcept;
  // For all tiles of some whole sequences, writes their gradients of the inputs and adds to the
  // sums.
  std::int64_t (*sequence_backward_workspace)(const SequencePrepared<T>& prepared,
                                              const SequenceTiles& tiles,
                                              std::int64_t steps2) noexcept;
  void (*sequence_backward)(const SequencePrepared<T>& prepared, const SequenceWeights<const T>& w,
                            const T* weights, const Call& call, const SequenceOperands<T>& inputs,
                            const SequenceBackwardArrays<T>& arrays, const SequenceTiles& tiles,
                            T* sums, T* workspace) noexcept;
  // Turns the sums over all sequences into the gradients of the weights, which it overwrites.
  std::int64_t (*sequence_unfold_workspace)(const SequencePrepared<T>& prepared) noexcept;
  void (*sequence_unfold)(const SequencePrepared<T>& prepared, const SequenceWeights<const T>& w,
                          T* sums, const SequenceWeights<T>& gradients, T* workspace) noexcept;

  // Computes C (m, n) = A·B, or C + A·B with `add`, for the networks around the layer. Element (i,
  // p) of A (m, k) is a[i * row_stride + p * k_stride], so A may be transposed; rows of B (k, n)
  // and C lie ldb and ldc apart. Each element is one chain of sums in the order of k, however C is
  // split.
  void (*multiply)(bool add, std::int64_t m, std::int64_t n, std::int64_t k, const T* a,
                   std::int64_t row_stride, std::int64_t k_stride, const T* b, std::int64_t ldb,
                   T* c, std::int64_t ldc) noexcept;

  // Computes out (n, m) = aᵀ for a (m, n) with rows lda apart; and adds the rows of a (rows, n), in
  // order, to sums (n).
  void (*transpose)(std::int64_t m, std::int64_t n, const T* a, std::int64_t lda, T* out,
                    std::int64_t ldo) noexcept;
  void (*add_rows)(std::int64_t rows, std::int64_t n, const T* a, T* sums) noexcept;

  // Computes y = 2^x for x at most 0, as in the softmax, within 2 units in the last place (of the
  // smallest normal number for smaller y). It is 0 where x is at most -126.5 (float) or -1022.5
  // (double), and NaN for NaN.
  void (*exp2)(const T* x, T* y, std::int64_t size) noexcept;
};

// Returns the table of the instruction set that isa.h chooses, the same at every call.
template <typename T>
const Kernels<T>& chosen_kernels();

// The forward pass of float layers in bfloat16: a second table of the same instruction set.
struct PairKernels {
  const char* isa;

  // Fills `pairs`, whose buffers have their sizes, from `prepared`.
  void (*prepare)(const Prepared<float>& prepared, PreparedPairs& pairs) noexcept;

  // Like forward in Kernels; ignores call.dropout and arrays.kept, since training is in float.
  std::int64_t (*forward_workspace)(const Dims& dims, bool folded) noexcept;
  void (*forward)(const Prepared<float>& prepared, const PreparedPairs& pairs,
                  const WeightPointers<const float>& w, const Call& call,
                  const ForwardArrays<float>& arrays, std::int64_t first, std::int64_t last,
                  float* workspace) noexcept;

  // Attention between two inputs: fills prepared.pairs, whose buffers have their sizes; rounds the
  // operands that sequence_sources of Kernels computed for sequences first..last-1; and the forward
  // pass.
  void (*sequence_prepare)(SequencePrepared<float>& prepared) noexcept;
  void (*sequence_round_sources)(const SequencePrepared<float>& prepared,
                                 const SequenceOperands<float>& operands,
                                 const SequencePairOperands& rounded, std::int64_t first,
                                 std::int64_t last) noexcept;
  std::int64_t (*sequence_forward_workspace)(const SequencePrepared<float>& prepared,
                                             const SequenceTiles& tiles,
                                             std::int64_t steps2) noexcept;
  void (*sequence_forward)(const SequencePrepared<float>& prepared,
                           const SequenceWeights<const float>& w, const Call& call,
                           const SequenceOperands<float>& operands,
                           const SequencePairOperands& rounded,
                           const SequenceForwardArrays<float>& arrays, const SequenceTiles& tiles,
                           std::int64_t first, std::int64_t last, float* workspace) noexcept;

  // Adds A·B to C (m, n), for A (m, k) and B (k, n) in pairs; and rounds floats to pairs: out (m,
  // pairs_of(k)) from a (m, k), out (pairs_of(k), n) from b (k, n).
  void (*multiply)(std::int64_t m, std::int64_t n, std::int64_t k, const Pair* a, const Pair* b,
                   float* c) noexcept;
  void (*round_rows)(std::int64_t m, std::int64_t k, const float* a, Pair* out) noexcept;
  void (*round_columns)(std::int64_t k, std::int64_t n, const float* b, Pair* out) noexcept;
};

// Returns the table of the instruction set that isa.h chooses, the same at every call.
const PairKernels& chosen_pair_kernels();

}  // namespace memattn::kernels
