// The fold, forward and backward passes of an attention between two inputs, in pieces shared by
// threads. The split of a call depends only on its shape, and sums are added in a fixed order, so
// results do not depend on which thread computes which piece.
#pragma once

#include "kernels/kernel_table.h"

namespace memattn {

// Fills `prepared` for a way and reuses its buffers. Throws std::bad_alloc if memory runs out; then
// `prepared` is undefined.
template <typename T>
void sequence_fold_pass(const kernels::Kernels<T>& kernels, const kernels::SequenceDims& dims,
                        const kernels::SequenceWeights<const T>& weights, const kernels::Way& way,
                        kernels::SequencePrepared<T>& prepared);

// The inputs of a call: x1 (B, T1, F1) and x2 (B, T2, F2), with the call's B and T1.
template <typename T>
struct SequenceInputs {
  const T* x1 = nullptr;
  const T* x2 = nullptr;
  std::int64_t steps2 = 0;
};

// Throws std::bad_alloc if there is no memory for scratch, before anything is written. With
// `rounded`, for float only, it computes in bfloat16 from prepared.pairs, and not for training.
template <typename T>
void sequence_forward_pass(const kernels::Kernels<T>& kernels,
                           const kernels::SequencePrepared<T>& prepared,
                           const kernels::SequenceWeights<const T>& weights,
                           const kernels::Call& call, const SequenceInputs<T>& inputs,
                           const kernels::SequenceForwardArrays<T>& arrays, bool rounded);

// Overwrites `gradients`. With one source, the gradients of source 1 and 2 are the same arrays.
// Throws std::bad_alloc as forward does.
template <typename T>
void sequence_backward_pass(const kernels::Kernels<T>& kernels,
                            const kernels::SequencePrepared<T>& prepared,
                            const kernels::SequenceWeights<const T>& weights,
                            const kernels::Call& call, const SequenceInputs<T>& inputs,
                            const kernels::SequenceBackwardArrays<T>& arrays,
                            const kernels::SequenceWeights<T>& gradients);

}  // namespace memattn
