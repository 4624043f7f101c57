// The fold in pieces of heads, and the forward and backward passes in pieces of tokens, shared by
// threads. The split of a call depends only on its shape, and sums are added in a fixed order, so
// results do not depend on which thread computes which piece.
#pragma once

#include <span>

#include "kernels/kernel_table.h"

namespace memattn {

// Fills `prepared` for one of the two routes and reuses its buffers. Throws std::bad_alloc if
// memory runs out; then `prepared` is undefined.
template <typename T>
void fold_pass(const kernels::Kernels<T>& kernels, const kernels::Dims& dims,
               const kernels::WeightPointers<const T>& weights, bool folded,
               kernels::Prepared<T>& prepared);

// Throws std::bad_alloc if there is no memory for scratch, before anything is written.
template <typename T>
void forward_pass(const kernels::Kernels<T>& kernels, const kernels::Prepared<T>& prepared,
                  const kernels::WeightPointers<const T>& weights, const kernels::Call& call,
                  const kernels::ForwardArrays<T>& arrays);

// The fold and the forward pass in bfloat16. `call` and `arrays` must not request what only
// training needs.
void fold_pairs_pass(const kernels::PairKernels& kernels, const kernels::Prepared<float>& prepared,
                     kernels::PreparedPairs& pairs);
void forward_pairs_pass(const kernels::PairKernels& kernels,
                        const kernels::Prepared<float>& prepared,
                        const kernels::PreparedPairs& pairs,
                        const kernels::WeightPointers<const float>& weights,
                        const kernels::Call& call, const kernels::ForwardArrays<float>& arrays);

// `gradients` point into grad_parameters, which is overwritten. Throws std::bad_alloc if memory
// runs out; the outputs are then undefined.
template <typename T>
void backward_pass(const kernels::Kernels<T>& kernels, const kernels::Prepared<T>& prepared,
                   const kernels::WeightPointers<const T>& weights, const kernels::Call& call,
                   const kernels::BackwardArrays<T>& arrays,
                   const kernels::WeightPointers<T>& gradients, std::span<T> grad_parameters);

}  // namespace memattn
