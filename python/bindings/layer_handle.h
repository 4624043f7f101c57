// How Python holds a layer. Compute runs without the GIL, on a snapshot; a change of weights runs
// under the GIL, on a layer that no compute holds. So Python threads may do both at once.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <utility>

#include "memattn/memory_augmented_attention.h"

template <typename T>
class LayerHandle {
 public:
  explicit LayerHandle(memattn::MemoryAugmentedAttention<T> layer)
      : layer_(std::make_shared<memattn::MemoryAugmentedAttention<T>>(std::move(layer))) {}

  // Keep it while the GIL is released.
  std::shared_ptr<const memattn::MemoryAugmentedAttention<T>> snapshot() const { return layer_; }

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
