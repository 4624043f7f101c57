// The passes of an attention between two inputs, in pieces.
#include "layer/sequence_passes.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <type_traits>

#include "kernels/executor.h"
#include "kernels/tiling.h"
#include "layer/shared_scratch.h"
#include "layer/way_choice.h"

namespace memattn {
namespace {

using kernels::Way;

// The limit of operands computed at a time, so that tiles that read them again find them in cache.
constexpr std::int64_t kOperandValues = 1 << 21;

// Returns how many items, of so many multiply-adds each, make a piece worth handing to a thread.
std::int64_t piece_of(double multiply_adds) {
  const double brief = static_cast<double>(kernels::kBriefOperations) / 2;
  return static_cast<std::int64_t>(std::ceil(brief / std::max(1.0, multiply_adds)));
}

// The differences of a forward pass in bfloat16; none in float and double.
template <typename T>
class Rounding {
 public:
  Rounding(const kernels::SequencePrepared<T>& prepared, bool rounded)
      : prepared_(prepared), rounded_(rounded) {}

  kernels::SequencePairOperands place(std::int64_t batch, std::int64_t steps2, bool masked,
                                      kernels::Carver<T>& carver) const {
    if constexpr (std::is_same_v<T, float>) {
      if (rounded_) {
        return kernels::SequencePairOperands::place(prepared_, batch, steps2, masked, carver);
      }
    }
    return {};
  }
  std::int64_t workspace(const kernels::Kernels<T>& kernels, const kernels::SequenceTiles& tiles,
                         std::int64_t steps2) const {
    if constexpr (std::is_same_v<T, float>) {
      if (rounded_) return pairs_.sequence_forward_workspace(prepared_, tiles, steps2);
    }
    return kernels.sequence_forward_workspace(prepared_, tiles, steps2);
  }
  void sources(const kernels::SequenceOperands<T>& operands,
               const kernels::SequencePairOperands& pairs, std::int64_t first,
               std::int64_t last) const noexcept {
    if constexpr (std::is_same_v<T, float>) {
      pairs_.sequence_round_sources(prepared_, operands, pairs, first, last);
    }
  }
  void forward(const kernels::Kernels<T>& kernels, const kernels::SequenceWeights<const T>& weights,
               const kernels::Call& call, const kernels::SequenceOperands<T>& operands,
               const kernels::SequencePairOperands& pairs,
               const kernels::SequenceForwardArrays<T>& arrays, const kernels::SequenceTiles& tiles,
               std::int64_t first, std::int64_t last, T* workspace) const noexcept {
    if constexpr (std::is_same_v<T, float>) {
      if (rounded_) {
        pairs_.sequence_forward(prepared_, weights, call, operands, pairs, arrays, tiles, first,
                                last, workspace);
        return;
      }
    }
    kernels.sequence_forward(prepared_, weights, call, operands, arrays, tiles, first, last,
                             workspace);
  }

 private:
  const kernels::SequencePrepared<T>& prepared_;
  const bool rounded_;
  const kernels::PairKernels& pairs_ = kernels::chosen_pair_kernels();
};

}  // namespace

template <typename T>
void sequence_fold_pass(const kernels::Kernels<T>& kernels, const kernels::SequenceDims& dims,
                        const kernels::SequenceWeights<const T>& weights, const Way& way,
                        kernels::SequencePrepared<T>& prepared) {
  prepared.resize(dims, way, weights.output_bias != nullptr);
  const std::int64_t heads = dims.num_heads;
  const std::int64_t head =
      4 * dims.units * (dims.source1_units + dims.source2_units) * (dims.key_dim + dims.value_dim);
  const std::int64_t piece = divide_up(kernels::kBriefOperations, std::max<std::int64_t>(1, head));
  const std::int64_t pieces = divide_up(heads, piece), threads = threads_for(pieces);
  const std::int64_t work = aligned(kernels.sequence_fold_workspace(prepared));
  SharedScratch<T> shared(scratch<T>(threads * work), work, threads);
  kernels::parallel_for(pieces, [&](std::int64_t i) noexcept {
    shared.lend([&](T* workspace) {
      kernels.sequence_prepare_heads(weights, i * piece, std::min(heads, (i + 1) * piece), prepared,
                                     workspace);
    });
  });
  kernels.sequence_finish_prepare(weights, prepared);
}

template <typename T>
void sequence_forward_pass(const kernels::Kernels<T>& kernels,
                           const kernels::SequencePrepared<T>& prepared,
                           const kernels::SequenceWeights<const T>& weights,
                           const kernels::Call& call, const SequenceInputs<T>& inputs,
                           const kernels::SequenceForwardArrays<T>& arrays, bool rounded) {
  using Operands = kernels::SequenceOperands<T>;
  const kernels::SequenceDims& dims = prepared.dims;
  const std::int64_t T1 = call.steps, T2 = inputs.steps2, H = dims.num_heads, U = dims.units;
  if (call.batch == 0 || T1 == 0) return;
  const TokenWork token = token_work(dims, prepared.way, T2);
  const Rounding<T> rounding(prepared, rounded);
  const auto operands_of = [&](std::int64_t batch, T* base) {
    kernels::Carver<T> carver(base);
    const Operands operands = Operands::place(prepared, batch, T2, carver);
    const kernels::SequencePairOperands pairs = rounding.place(batch, T2, call.mask.any(), carver);
    return std::tuple(operands, pairs, aligned(carver.taken()));
  };
  const std::int64_t of_one = std::get<2>(operands_of(1, nullptr));
  const std::int64_t sequences =
      std::clamp<std::int64_t>(kOperandValues / std::max<std::int64_t>(1, of_one), 1, call.batch);
  const std::int64_t operand_size = std::get<2>(operands_of(sequences, nullptr));
  const kernels::SequenceTiles tiles(dims, prepared.way, sequences, T1, T2);
  const auto tile_tokens = static_cast<double>(divide_up(sequences * T1, tiles.count));
  const std::int64_t piece = piece_of(token.query * tile_tokens);
  const std::int64_t source_piece = std::max<std::int64_t>(64, piece_of(token.source));
  const std::int64_t sequence_piece =
      divide_up(4096, std::max<std::int64_t>(1, T2 * dims.source2_units));
  const std::int64_t threads = threads_for(divide_up(tiles.count, piece));
  const std::int64_t work = aligned(rounding.workspace(kernels, tiles, T2));
  T* const base = scratch<T>(operand_size + threads * work);
  const bool finite =
      !call.mask.any() || kernels.all_finite(call.batch * T2 * dims.source2_units, inputs.x2);

  for (std::int64_t first = 0; first < call.batch; first += sequences) {
    const std::int64_t count = std::min(sequences, call.batch - first);
    const auto placed = operands_of(count, base);
    Operands operands = std::get<0>(placed);
    const kernels::SequencePairOperands& pairs = std::get<1>(placed);
    operands.x1 = inputs.x1 + first * T1 * dims.source1_units;
    operands.x2 = inputs.x2 + first * T2 * dims.source2_units;
    operands.finite = finite;
    const std::int64_t tokens2 = count * T2;
    if (token.source > 0) {
      kernels::parallel_for(divide_up(tokens2, source_piece), [&](std::int64_t i) noexcept {
        kernels.sequence_sources(prepared, weights, operands, i * source_piece,
                                 std::min(tokens2, (i + 1) * source_piece));
      });
    }
    if (rounded) {
      kernels::parallel_for(divide_up(count, sequence_piece), [&](std::int64_t i) noexcept {
        rounding.sources(operands, pairs, i * sequence_piece,
                         std::min(count, (i + 1) * sequence_piece));
      });
    }
    const kernels::SequenceTiles part_tiles(dims, prepared.way, count, T1, T2);
    const kernels::Call part = call.part(first, count, T2);
    kernels::SequenceForwardArrays<T> outputs = arrays;
    outputs.y += first * T1 * U;
    if (outputs.scores) outputs.scores += first * (arrays.average_heads ? 1 : H) * T1 * T2;
    SharedScratch<T> shared(base + operand_size, work, threads);
    kernels::parallel_for(divide_up(part_tiles.count, piece), [&](std::int64_t i) noexcept {
      shared.lend([&](T* workspace) {
        rounding.forward(kernels, weights, part, operands, pairs, outputs, part_tiles, i * piece,
                         std::min(part_tiles.count, (i + 1) * piece), workspace);
      });
    });
  }
}

template <typename T>
void sequence_backward_pass(const kernels::Kernels<T>& kernels,
                            const kernels::SequencePrepared<T>& prepared,
                            const kernels::SequenceWeights<const T>& weights,
                            const kernels::Call& call, const SequenceInputs<T>& inputs,
                            const kernels::SequenceBackwardArrays<T>& arrays,
                            const kernels::SequenceWeights<T>& gradients) {
  const kernels::SequenceDims& dims = prepared.dims;
  const std::int64_t B = call.batch, T1 = call.steps, T2 = inputs.steps2;
  const std::int64_t sums_size = aligned(kernels::SequenceSums<T>(prepared, nullptr).size);
  const bool empty = B == 0 || T1 == 0;
  // Each part is a number of whole sequences with sums of its own.
  const std::int64_t tokens = B * std::max(T1, T2);
  const std::int64_t most = divide_up(tokens, backward_part(tokens, sums_size));
  const std::int64_t part = empty ? 1 : divide_up(B, most), parts = empty ? 1 : divide_up(B, part);
  const kernels::SequenceTiles tiles(dims, prepared.way, empty ? 0 : part, T1, T2);
  const std::int64_t threads = threads_for(parts);
  const std::int64_t weights_size =
      aligned(kernels::SequenceBackwardWeights<T>(prepared, nullptr).size);
  const std::int64_t work =
      aligned(std::max(empty ? 0 : kernels.sequence_backward_workspace(prepared, tiles, T2),
                       kernels.sequence_unfold_workspace(prepared)));
  T* const backward_weights = scratch<T>(weights_size + parts * sums_size + threads * work);
  T* const sums = backward_weights + weights_size;
  T* const workspaces = sums + parts * sums_size;
  const bool finite =
      !call.mask.any() || kernels.all_finite(B * T2 * dims.source2_units, inputs.x2);

  if (empty) {
    std::fill_n(sums, sums_size, T(0));
    if (!arrays.add && arrays.d_x2) {
      std::fill_n(arrays.d_x2, B * T2 * dims.source2_units, T(0));
    }
  } else {
    kernels.sequence_prepare_backward(prepared, weights, backward_weights);
    SharedScratch<T> shared(workspaces, work, threads);
    kernels::parallel_for(parts, [&](std::int64_t i) noexcept {
      shared.lend([&](T* workspace) {
        const std::int64_t first = i * part, count = std::min(part, B - first);
        kernels::SequenceOperands<T> operands;
        operands.steps2 = T2;
        operands.tokens2 = count * T2;
        operands.x1 = inputs.x1 + first * T1 * dims.source1_units;
        operands.x2 = inputs.x2 + first * T2 * dims.source2_units;
        operands.finite = finite;
        kernels::SequenceBackwardArrays<T> outputs = arrays;
        outputs.d_y += first * T1 * dims.units;
        if (outputs.d_x1) outputs.d_x1 += first * T1 * dims.source1_units;
        if (outputs.d_x2) outputs.d_x2 += first * T2 * dims.source2_units;
        std::fill_n(sums + i * sums_size, sums_size, T(0));
        kernels.sequence_backward(prepared, weights, backward_weights, call.part(first, count, T2),
                                  operands, outputs,
                                  kernels::SequenceTiles(dims, prepared.way, count, T1, T2),
                                  sums + i * sums_size, workspace);
      });
    });
    add_parts(parts, sums_size, sums);
  }
  kernels.sequence_unfold(prepared, weights, sums, gradients, workspaces);
}

#define MEMATTN_INSTANTIATE(T)                                                                  \
  template void sequence_fold_pass(const kernels::Kernels<T>&, const kernels::SequenceDims&,    \
                                   const kernels::SequenceWeights<const T>&, const Way&,        \
                                   kernels::SequencePrepared<T>&);                              \
  template void sequence_forward_pass(                                                          \
      const kernels::Kernels<T>&, const kernels::SequencePrepared<T>&,                          \
      const kernels::SequenceWeights<const T>&, const kernels::Call&, const SequenceInputs<T>&, \
      const kernels::SequenceForwardArrays<T>&, bool);                                          \
  template void sequence_backward_pass(                                                         \
      const kernels::Kernels<T>&, const kernels::SequencePrepared<T>&,                          \
      const kernels::SequenceWeights<const T>&, const kernels::Call&, const SequenceInputs<T>&, \
      const kernels::SequenceBackwardArrays<T>&, const kernels::SequenceWeights<T>&);
MEMATTN_INSTANTIATE(float)
MEMATTN_INSTANTIATE(double)

}  // namespace memattn
