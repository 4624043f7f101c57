// Folds on demand, and runs calls on the folds.
#include "layer/sequence_attention.h"

#include <type_traits>

namespace memattn {

template <typename T>
const kernels::SequencePrepared<T>& SequenceAttention<T>::prepared(SequenceRoute route) const {
  Fold& fold = folds_[static_cast<std::size_t>(index_of(route))];
  if (!fold.current.load(std::memory_order_acquire)) {
    const std::lock_guard lock(folding_);
    if (!fold.current.load(std::memory_order_relaxed)) {
      sequence_fold_pass(kernels_, dims_, weights_, way_of(route), fold.prepared);
      const bool rounded = precision_ == Precision::kBFloat16;
      fold.prepared.resize_pairs(rounded);
      if constexpr (std::is_same_v<T, float>) {
        if (rounded) kernels::chosen_pair_kernels().sequence_prepare(fold.prepared);
      }
      fold.current.store(true, std::memory_order_release);
    }
  }
  return fold.prepared;
}

template <typename T>
void SequenceAttention<T>::backward(const kernels::Call& call, const SequenceInputs<T>& inputs,
                                    const kernels::SequenceBackwardArrays<T>& arrays,
                                    const kernels::SequenceWeights<T>& gradients) const {
  sequence_backward_pass(kernels_, prepared(call, inputs.steps2, true), weights_, call, inputs,
                         arrays, gradients);
}

template <typename T>
std::int64_t SequenceAttention<T>::bytes() const {
  const std::lock_guard lock(folding_);
  std::int64_t total = 0;
  for (const Fold& fold : folds_) total += fold.prepared.bytes();
  return total;
}

template class SequenceAttention<float>;
template class SequenceAttention<double>;

}  // namespace memattn
