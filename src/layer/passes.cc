// The fold, forward and backward passes, in pieces for threads.
#include "layer/passes.h"

#include <algorithm>
#include <atomic>

#include "kernels/executor.h"
#include "kernels/tiling.h"
#include "layer/shared_scratch.h"

namespace memattn {
namespace {

std::int64_t forward_piece(const kernels::Dims& dims) {
  const std::int64_t tile = kernels::tile_tokens(dims);
  const auto operations = static_cast<std::int64_t>(kernels::forward_operations(dims, tile));
  return divide_up(kernels::kBriefOperations, operations) * tile;
}

// Returns the heads of a piece of the fold, which computes four products per head, or of its
// backward pass, which computes six.
std::int64_t heads_piece(const kernels::Dims& dims) {
  const std::int64_t head = 4 * dims.units * dims.memory_size * (dims.key_dim + dims.value_dim);
  return divide_up(kernels::kBriefOperations, head);
}

// Returns the columns of a piece of the memory's gradient, at least a cache line.
std::int64_t memory_piece(const kernels::Dims& dims) {
  const std::int64_t column =
      2 * dims.memory_size * dims.num_heads * (dims.key_dim + dims.value_dim);
  return divide_up(divide_up(kernels::kBriefOperations, column), 48) * 48;
}

// Calls compute(first, last, workspace) for the pieces of a call's tokens.
template <typename T, typename Compute>
void for_pieces(const kernels::Dims& dims, const kernels::Call& call, std::int64_t workspace_size,
                Compute compute) {
  const std::int64_t tokens = call.batch * call.steps, piece = forward_piece(dims);
  const std::int64_t pieces = divide_up(tokens, piece), threads = threads_for(pieces);
  const std::int64_t work = aligned(workspace_size);
  SharedScratch<T> shared(scratch<T>(threads * work), work, threads);
  kernels::parallel_for(pieces, [&](std::int64_t i) noexcept {
    shared.lend(
        [&](T* workspace) { compute(i * piece, std::min(tokens, (i + 1) * piece), workspace); });
  });
}

}  // namespace

template <typename T>
void fold_pass(const kernels::Kernels<T>& kernels, const kernels::Dims& dims,
               const kernels::WeightPointers<const T>& weights, bool folded,
               kernels::Prepared<T>& prepared) {
  prepared.resize(dims, folded);
  const std::int64_t piece = heads_piece(dims), heads = dims.num_heads;
  std::atomic<bool> finite{true};
  kernels::parallel_for(divide_up(heads, piece), [&](std::int64_t i) noexcept {
    if (!kernels.prepare_heads(weights, i * piece, std::min(heads, (i + 1) * piece), prepared)) {
      finite.store(false, std::memory_order_relaxed);
    }
  });
  kernels.finish_prepare(weights, finite, prepared);
}

template <typename T>
void forward_pass(const kernels::Kernels<T>& kernels, const kernels::Prepared<T>& prepared,
                  const kernels::WeightPointers<const T>& weights, const kernels::Call& call,
                  const kernels::ForwardArrays<T>& arrays) {
  for_pieces<T>(prepared.dims, call, kernels.forward_workspace(prepared.dims, prepared.folded),
                [&](std::int64_t first, std::int64_t last, T* workspace) {
                  kernels.forward(prepared, weights, call, arrays, first, last, workspace);
                });
}

void fold_pairs_pass(const kernels::PairKernels& kernels, const kernels::Prepared<float>& prepared,
                     kernels::PreparedPairs& pairs) {
  pairs.resize(prepared.dims, prepared.folded);
  kernels.prepare(prepared, pairs);
}

void forward_pairs_pass(const kernels::PairKernels& kernels,
                        const kernels::Prepared<float>& prepared,
                        const kernels::PreparedPairs& pairs,
                        const kernels::WeightPointers<const float>& weights,
                        const kernels::Call& call, const kernels::ForwardArrays<float>& arrays) {
  for_pieces<float>(prepared.dims, call, kernels.forward_workspace(prepared.dims, prepared.folded),
                    [&](std::int64_t first, std::int64_t last, float* workspace) {
                      kernels.forward(prepared, pairs, weights, call, arrays, first, last,
                                      workspace);
                    });
}

template <typename T>
void backward_pass(const kernels::Kernels<T>& kernels, const kernels::Prepared<T>& prepared,
                   const kernels::WeightPointers<const T>& weights, const kernels::Call& call,
                   const kernels::BackwardArrays<T>& arrays,
                   const kernels::WeightPointers<T>& gradients, std::span<T> grad_parameters) {
  const kernels::Dims& dims = prepared.dims;
  const std::int64_t tokens = call.batch * call.steps;
  const std::int64_t sums_size = aligned(kernels::token_sums_size<T>(dims, prepared.folded));
  const std::int64_t part = backward_part(tokens, sums_size), parts = divide_up(tokens, part);
  const std::int64_t heads = dims.num_heads, head_piece = heads_piece(dims);
  const std::int64_t head_pieces = divide_up(heads, head_piece);
  const std::int64_t columns = dims.units, column_piece = memory_piece(dims);
  const std::int64_t column_pieces = divide_up(columns, column_piece);
  const std::int64_t threads = threads_for(std::max({parts, head_pieces, column_pieces}));
  // Holds the weights in the forms for backward, and dK and dV once the tokens are done.
  const std::int64_t weights_size =
      aligned(std::max(kernels.backward_weights(dims, prepared.folded),
                       kernels::KeysValuesGradients<T>::size(dims)));
  const std::int64_t work = aligned(
      std::max(kernels.backward_workspace(dims, prepared.folded), kernels::finish_workspace(dims)));
  T* backward_weights = scratch<T>(weights_size + parts * sums_size + threads * work);
  T* sums = backward_weights + weights_size;
  T* workspaces = sums + parts * sums_size;

  if (tokens == 0) {
    std::ranges::fill(grad_parameters, T(0));
    return;
  }
  kernels.prepare_backward(prepared, weights, backward_weights);
  SharedScratch<T> shared(workspaces, work, threads);
  kernels::parallel_for(parts, [&](std::int64_t i) noexcept {
    shared.lend([&](T* workspace) {
      T* part_sums = sums + i * sums_size;
      std::fill_n(part_sums, sums_size, T(0));
      kernels.backward(prepared, weights, backward_weights, call, arrays, i * part,
                       std::min(tokens, (i + 1) * part), part_sums, workspace);
    });
  });
  add_parts(parts, sums_size, sums);
  const kernels::KeysValuesGradients<T> d_memory(dims, backward_weights);
  if (gradients.output_bias) {
    kernels::Carver<T> carver(sums, 1);
    std::copy_n(kernels::TokenSums<T>(dims, carver).output_bias, dims.units, gradients.output_bias);
  }
  kernels::parallel_for(head_pieces, [&](std::int64_t i) noexcept {
    shared.lend([&](T* workspace) {
      kernels.finish_heads(prepared, weights, sums, gradients, d_memory, i * head_piece,
                           std::min(heads, (i + 1) * head_piece), workspace);
    });
  });
  kernels::parallel_for(column_pieces, [&](std::int64_t i) noexcept {
    shared.lend([&](T* workspace) {
      kernels.finish_memory(prepared, weights, gradients, d_memory, i * column_piece,
                            std::min(columns, (i + 1) * column_piece), workspace);
    });
  });
}

#define MEMATTN_INSTANTIATE(T)                                                                   \
  template void fold_pass(const kernels::Kernels<T>&, const kernels::Dims&,                      \
                          const kernels::WeightPointers<const T>&, bool, kernels::Prepared<T>&); \
  template void forward_pass(const kernels::Kernels<T>&, const kernels::Prepared<T>&,            \
                             const kernels::WeightPointers<const T>&, const kernels::Call&,      \
                             const kernels::ForwardArrays<T>&);                                  \
  template void backward_pass(const kernels::Kernels<T>&, const kernels::Prepared<T>&,           \
                              const kernels::WeightPointers<const T>&, const kernels::Call&,     \
                              const kernels::BackwardArrays<T>&,                                 \
                              const kernels::WeightPointers<T>&, std::span<T>);
MEMATTN_INSTANTIATE(float)
MEMATTN_INSTANTIATE(double)

}  // namespace memattn
