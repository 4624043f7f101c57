// One network of the panel forecaster's ensemble, on its way through training.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "forecast/memory_network.h"
#include "forecast/origin_windows.h"
#include "forecast/panel.h"
#include "memattn/panel_forecaster.h"
#include "train/trainer.h"

namespace memattn {

// How a forecaster with these options sees its series.
PanelRules panel_rules(const PanelForecasterOptions& options);

class PanelMember {
 public:
  PanelMember(const PanelForecasterOptions& options, std::int64_t lookback, std::uint64_t seed);

  const WindowShape& shape() const { return shape_; }
  const MemoryNetwork<float>& network() const { return network_; }

  // A step on origins of the panel that depend on seed and step alone; returns its loss.
  double step(const Panel& panel, const OriginSampler& sampler);
  bool done() const { return trainer_.done(); }
  // After the last step.
  void finish();

  // As many as the network has.
  void set_parameters(std::span<const float> parameters);

  std::int64_t steps_done() const { return trainer_.steps_done(); }
  // The parameters and the trainer's state after them, in one flat buffer.
  std::vector<float> training_state() const;
  // Takes the place of a member made alike that has taken so many steps. Throws
  // std::invalid_argument, before anything is changed, when there cannot be such a state.
  void restore(std::int64_t steps_done, std::span<const float> state);

 private:
  double evaluate();

  WindowShape shape_;
  std::uint64_t seed_;
  PanelLoss loss_;
  double huber_delta_;
  std::vector<double> quantiles_;
  MemoryNetwork<float> network_;
  Trainer trainer_;

  // Of the step at hand.
  std::vector<Origin> origins_;
  OriginWindows<float> windows_;
  OriginTargets<float> targets_;
  MemoryNetworkActivations<float> activations_;
  std::vector<float> output_, errors_, grad_errors_, grad_output_, gradients_;
};

}  // namespace memattn
