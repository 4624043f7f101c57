// One member of the ensemble: a network and its training.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "forecast/memory_network.h"
#include "forecast/origin_windows.h"
#include "forecast/panel.h"
#include "forecast/window_shape.h"
#include "memattn/panel_forecaster.h"
#include "train/masked_loss.h"
#include "train/trainer.h"

namespace memattn {

class PanelMember {
 public:
  // Draws the initial weights of a member of lookbacks[place]. The options must be valid.
  PanelMember(const PanelForecasterOptions& options, std::size_t place, std::uint64_t seed);

  const WindowShape& shape() const { return shape_; }
  const MemoryNetwork<float>& network() const { return network_; }

  // Takes a training step on origins that depend only on the seed and the step, and returns its
  // loss. After an exception the member must not be used any more.
  double step(const Panel& panel, const OriginSampler& sampler);
  bool done() const { return trainer_.done(); }
  // Call this after the last step: replaces the weights by their moving average, if there is one.
  void finish();

  // Replaces all weights. If it throws, they are unchanged.
  void set_parameters(std::span<const float> parameters);

  std::int64_t steps_done() const { return trainer_.steps_done(); }
  // Returns the weights, followed by the state of the trainer.
  [[nodiscard]] std::vector<float> training_state() const;
  // Continues from a training_state() after `steps_done` steps of a member with the same arguments.
  // Throws std::invalid_argument, before anything is changed, if the state does not fit.
  void restore(std::int64_t steps_done, std::span<const float> state);

 private:
  double evaluate();

  WindowShape shape_;
  std::uint64_t seed_;
  std::size_t batch_size_;
  MaskedLoss loss_;
  std::vector<double> quantiles_;
  MemoryNetwork<float> network_;
  Trainer trainer_;

  // Scratch of a step.
  std::vector<Origin> origins_;
  OriginWindows<float> windows_;
  OriginTargets<float> targets_;
  MemoryNetworkActivations<float> activations_;
  std::vector<float> output_, errors_, grad_errors_, grad_output_, gradients_;
};

}  // namespace memattn
