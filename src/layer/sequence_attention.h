// One attention between two inputs with the folds of its weights: CrossAttention is one of these,
// HierarchicalAttention two.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "kernels/kernel_table.h"
#include "layer/sequence_passes.h"
#include "layer/way_choice.h"

namespace memattn {

// Many threads may call the const methods at once. It reads weights in place, so their owner must
// not move them.
template <typename T>
class SequenceAttention {
 public:
  SequenceAttention(const kernels::SequenceDims& dims,
                    const kernels::SequenceWeights<const T>& weights)
      : dims_(dims), weights_(weights) {}
  SequenceAttention(const SequenceAttention&) = delete;
  SequenceAttention& operator=(const SequenceAttention&) = delete;

  const kernels::SequenceDims& dims() const { return dims_; }

  // Forces a route, or with kAuto leaves the choice to the rule. The route must be valid.
  void force(SequenceRoute route) noexcept { forced_ = route; }
  SequenceRoute forced() const { return forced_; }
  SequenceRoute route(std::int64_t batch, std::int64_t steps1, std::int64_t steps2,
                      bool training) const {
    return forced_ == SequenceRoute::kAuto ? cheapest_route(dims_, batch, steps1, steps2, training)
                                           : forced_;
  }

  // Sets the precision of forward's products; it must be kFloat32 for doubles.
  void set_precision(Precision precision) noexcept {
    if (precision != precision_) weights_changed();
    precision_ = precision;
  }

  // Call this after a change of weights: every fold is out of date, and the next call that needs it
  // computes it again in place.
  void weights_changed() noexcept {
    for (Fold& fold : folds_) fold.current.store(false, std::memory_order_relaxed);
  }

  // Returns the fold for the route of such a forward call, valid until the weights change. Throws
  // std::bad_alloc.
  const kernels::SequencePrepared<T>& prepared(const kernels::Call& call, std::int64_t steps2,
                                               bool training) const {
    return prepared(route(call.batch, call.steps, steps2, training));
  }

  // Both throw std::bad_alloc if memory runs out, before anything is written.
  void forward(const kernels::SequencePrepared<T>& fold, const kernels::Call& call,
               const SequenceInputs<T>& inputs, const kernels::SequenceForwardArrays<T>& arrays,
               bool training) const {
    const bool rounded = precision_ == Precision::kBFloat16 && !training &&
                         rounding_pays(dims_, fold.way, inputs.steps2);
    sequence_forward_pass(kernels_, fold, weights_, call, inputs, arrays, rounded);
  }
  void backward(const kernels::Call& call, const SequenceInputs<T>& inputs,
                const kernels::SequenceBackwardArrays<T>& arrays,
                const kernels::SequenceWeights<T>& gradients) const;

  std::int64_t bytes() const;  // of all folds

 private:
  // Written under the lock while it is out of date, read without a lock while it is current.
  struct Fold {
    std::atomic<bool> current{false};
    kernels::SequencePrepared<T> prepared;
  };

  const kernels::SequencePrepared<T>& prepared(SequenceRoute route) const;

  const kernels::SequenceDims dims_;
  const kernels::SequenceWeights<const T> weights_;
  const kernels::Kernels<T>& kernels_ = kernels::chosen_kernels<T>();
  SequenceRoute forced_ = SequenceRoute::kAuto;
  Precision precision_ = Precision::kFloat32;
  mutable std::mutex folding_;
  mutable std::array<Fold, kSequenceWays> folds_;
};

}  // namespace memattn
