// The training step of one network: origins, windows, forward, loss, backward, update.
#include "forecast/panel_member.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "check.h"
#include "forecast/panel_options.h"

namespace memattn {

PanelMember::PanelMember(const PanelForecasterOptions& options, std::size_t place,
                         std::uint64_t seed)
    : shape_(window_shape(options, place)),
      seed_(seed),
      batch_size_(static_cast<std::size_t>(options.batch_size)),
      loss_{options.loss, options.huber_delta},
      quantiles_(options.quantiles),
      network_(network_options(options, place, seed)),
      trainer_(trainer_options(options)) {}

double PanelMember::step(const Panel& panel, const OriginSampler& sampler) {
  origins_.resize(batch_size_);
  gradients_.resize(static_cast<std::size_t>(network_.count_params()));
  sampler.draw(seed_, trainer_.steps_done(), origins_);
  make_windows(panel, shape_, origins_, windows_);
  make_targets(panel, shape_.horizon, origins_, windows_, targets_);
  const double loss = evaluate();
  network_.update([&](std::span<float> parameters) { trainer_.step(parameters, gradients_); });
  return loss;
}

void PanelMember::finish() {
  network_.update([&](std::span<float> parameters) { trainer_.finish(parameters); });
}

void PanelMember::set_parameters(std::span<const float> parameters) {
  MemoryNetwork<float> changed = network_;  // if memory runs out, network_ stays as it is
  changed.update([&](std::span<float> all) { std::ranges::copy(parameters, all.begin()); });
  network_ = std::move(changed);
}

std::vector<float> PanelMember::training_state() const {
  const std::span<const float> parameters = network_.parameters();
  std::vector<float> state(parameters.begin(), parameters.end());
  const std::vector<float> rest = trainer_.state(parameters.size());
  state.insert(state.end(), rest.begin(), rest.end());
  return state;
}

void PanelMember::restore(std::int64_t steps_done, std::span<const float> state) {
  constexpr std::string_view kFunction = "PanelForecaster::resume";
  const auto size = static_cast<std::size_t>(network_.count_params());
  const std::size_t expected = size + trainer_.state(size).size();
  if (state.size() != expected) {
    fail_argument(kFunction, "state", concat(state.size(), " values of a member"),
                  concat(expected, " values"));
  }
  for (const float value : state.first(size)) {
    if (!std::isfinite(value)) fail_argument(kFunction, "state", value, "finite numbers");
  }
  Trainer trainer = trainer_;
  trainer.restore(steps_done, state.subspan(size));
  set_parameters(state.first(size));
  trainer_ = std::move(trainer);
}

double PanelMember::evaluate() {
  const std::size_t horizon = static_cast<std::size_t>(shape_.horizon);
  const std::size_t outputs = std::max<std::size_t>(1, quantiles_.size());
  const std::size_t plane = origins_.size() * horizon;
  output_.resize(plane * outputs);
  errors_.resize(plane);
  grad_output_.resize(output_.size());
  const std::int64_t dropout_step = trainer_.steps_done();
  const MemoryNetworkInputs<float> inputs = inputs_of(windows_);
  network_.forward(inputs, output_, activations_, dropout_step);
  double loss = 0;
  grad_errors_.resize(plane);
  for (std::size_t q = 0; q < outputs; ++q) {
    // error = output * slope - target
    for (std::size_t n = 0; n < origins_.size(); ++n) {
      for (std::size_t k = 0; k < horizon; ++k) {
        errors_[n * horizon + k] = output_[(n * outputs + q) * horizon + k] * targets_.slope[n] -
                                   targets_.targets[n * horizon + k];
      }
    }
    MaskedLoss mean_loss = loss_;
    if (!quantiles_.empty()) mean_loss.parameter = quantiles_[q];
    loss += mean_loss.operator()<float>(errors_, targets_.counts, grad_errors_) /
            static_cast<double>(outputs);
    for (std::size_t n = 0; n < origins_.size(); ++n) {
      for (std::size_t k = 0; k < horizon; ++k) {
        grad_output_[(n * outputs + q) * horizon + k] =
            grad_errors_[n * horizon + k] * targets_.slope[n] / static_cast<float>(outputs);
      }
    }
  }
  network_.backward(inputs, grad_output_, activations_, gradients_, dropout_step);
  return loss;
}

}  // namespace memattn
