// How Python holds a layer. Compute runs without the GIL on a snapshot, or under the GIL when it is
// brief; a change of weights runs under the GIL, on a layer that no compute holds. So Python
// threads may do both at once.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "gil.h"

template <typename Layer>
class LayerHandle {
 public:
  explicit LayerHandle(Layer layer) : layer_(std::make_shared<Layer>(std::move(layer))) {}

  const auto& config() const { return layer_->config(); }

  // Keep it while the GIL is released.
  std::shared_ptr<const Layer> snapshot() const { return layer_; }

  // Calls compute(layer) for a forward pass: on a snapshot without the GIL, or under the GIL when
  // that is brief. A thread that gives the GIL up for a moment while another one runs Python may
  // get it back only after that thread's switch interval, 5 ms. `folds` are bits for the folds that
  // the pass may have to make first, which is not brief: those of a pass since the last change of
  // weights are there. 0 for a layer that folds when its weights change.
  template <typename Compute>
  void forward(bool brief, std::uint32_t folds, Compute compute) const {
    if (brief && (folded_ & folds) == folds) {
      compute(*layer_);
      return;
    }
    const auto layer = snapshot();
    {
      const GilRelease release;
      compute(*layer);
    }
    // Another thread that changed the weights meanwhile has put a copy in the place of this layer.
    if (layer == layer_) folded_ |= folds;
  }

  // To be changed before the GIL is released. A layer that another thread computes with is copied
  // first, and that thread goes on with the old one.
  Layer& writable() {
    if (layer_.use_count() > 1) layer_ = std::make_shared<Layer>(*layer_);
    folded_ = 0;
    return *layer_;
  }

 private:
  std::shared_ptr<Layer> layer_;
  mutable std::uint32_t folded_ = 0;
};
