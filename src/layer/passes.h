// The fold as pieces of heads, a forward or backward pass as pieces of tokens, that threads share.
// How a call is split depends only on its shape, and sums are added in a fixed order, so results do
// not depend on which thread computes which piece.
#pragma once

#include <span>

#include "kernels/kernel_table.h"

namespace memattn {

// Fills `prepared` for one of the two paths; buffers that it has already are used again. Throws
// std::bad_alloc when there is no memory for it; then `prepared` is undefined.
template <typename T>
void fold_pass(const kernels::Kernels<T>& kernels, const kernels::Dims& dims,
               const kernels::WeightPointers<const T>& weights, bool folded,
               kernels::Prepared<T>& prepared);

// Throws std::bad_alloc when there is no memory for scratch, before anything is written.
template <typename T>
void forward_pass(const kernels::Kernels<T>& kernels, const kernels::Prepared<T>& prepared,
                  const kernels::WeightPointers<const T>& weights, const kernels::Call& call,
                  const kernels::ForwardArrays<T>& arrays);

// The same in bfloat16: what it reads of the fold, and the pass. Neither `call` nor `arrays` may
// ask for what training needs.
void fold_pairs_pass(const kernels::PairKernels& kernels, const kernels::Prepared<float>& prepared,
                     kernels::PreparedPairs& pairs);
void forward_pairs_pass(const kernels::PairKernels& kernels,
                        const kernels::Prepared<float>& prepared,
                        const kernels::PreparedPairs& pairs,
                        const kernels::WeightPointers<const float>& weights,
                        const kernels::Call& call, const kernels::ForwardArrays<float>& arrays);

// `gradients` point into grad_parameters, which is overwritten. Throws std::bad_alloc likewise;
// then what was written of the outputs is undefined.
template <typename T>
void backward_pass(const kernels::Kernels<T>& kernels, const kernels::Prepared<T>& prepared,
                   const kernels::WeightPointers<const T>& weights, const kernels::Call& call,
                   const kernels::BackwardArrays<T>& arrays,
                   const kernels::WeightPointers<T>& gradients, std::span<T> grad_parameters);

}  // namespace memattn
