// How Python holds a layer. Compute runs without the GIL on a snapshot, or under the GIL when it is
// brief; a change of weights runs under the GIL, on a layer that no compute holds. So Python
// threads may do both at once.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "gil.h"
#include "layer/brief.h"
#include "memattn/memory_augmented_attention.h"

template <typename T>
class LayerHandle {
 public:
  explicit LayerHandle(memattn::MemoryAugmentedAttention<T> layer)
      : layer_(std::make_shared<memattn::MemoryAugmentedAttention<T>>(std::move(layer))) {}

  const memattn::MemoryAugmentedAttentionConfig& config() const { return layer_->config(); }

  // Keep it while the GIL is released.
  std::shared_ptr<const memattn::MemoryAugmentedAttention<T>> snapshot() const { return layer_; }

  // Calls compute(layer) for a forward pass over so many tokens: on a snapshot without the GIL, or
  // under the GIL when that is brief. A thread that gives the GIL up for a moment while another one
  // runs Python may get it back only after that thread's switch interval, 5 ms.
  template <typename Compute>
  void forward(std::int64_t tokens, Compute compute) const {
    if (memattn::is_brief(config(), tokens)) {
      compute(*layer_);
      return;
    }
    const auto layer = snapshot();
    const GilRelease release;
    compute(*layer);
  }

  // To be changed before the GIL is released. A layer that another thread computes with is copied
  // first, and that thread goes on with the old one.
  memattn::MemoryAugmentedAttention<T>& writable() {
    if (layer_.use_count() > 1) {
      layer_ = std::make_shared<memattn::MemoryAugmentedAttention<T>>(*layer_);
    }
    return *layer_;
  }

 private:
  std::shared_ptr<memattn::MemoryAugmentedAttention<T>> layer_;
};
