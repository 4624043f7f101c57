// The training step of one network: origins, windows, forward, loss, backward, update.
#include "forecast/panel_member.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "check.h"
#include "train/masked_loss.h"

namespace memattn {
namespace {

MemoryNetworkOptions network_options(const PanelForecasterOptions& options,
                                     const WindowShape& shape, std::uint64_t seed) {
  return {.features = shape.features(),
          .skip_features = shape.skip_features(),
          .past_seasons = {shape.seasons(), shape.season, shape.horizon},
          .outputs = options.outputs() * options.horizon,
          .units = options.units,
          .memory_size = options.memory_size,
          .num_heads = options.num_heads,
          .layers = options.layers,
          .pre_norm = options.pre_norm,
          .dropout = options.dropout,
          .memory_initializer = options.memory_initializer,
          .seed = seed};
}

TrainerOptions trainer_options(const PanelForecasterOptions& options) {
  return {.steps = options.steps,
          .warm_up = options.warm_up,
          .learning_rate = options.learning_rate,
          .weight_decay = options.weight_decay,
          .clip_norm = options.clip_norm,
          .average_decay = options.average_decay};
}

MaskedLoss masked_loss(PanelLoss loss, double huber_delta) {
  switch (loss) {
    case PanelLoss::kSmape:
      return {ErrorLoss::kSmape};
    case PanelLoss::kMae:
      return {ErrorLoss::kMae};
    case PanelLoss::kHuber:
      return {ErrorLoss::kHuber, huber_delta};
    case PanelLoss::kPinball:
      break;
  }
  return {ErrorLoss::kPinball, 0.5};
}

}  // namespace

PanelRules panel_rules(const PanelForecasterOptions& options) {
  return {options.season, options.logs, options.windows == PanelWindows::kPastSeasons};
}

std::vector<std::int64_t> PanelForecasterOptions::count_member_params() const {
  std::vector<std::int64_t> counts;
  for (const std::int64_t lookback : lookbacks) {
    const WindowShape shape{lookback, horizon, season, windows};
    counts.insert(counts.end(), static_cast<std::size_t>(seeds),
                  memattn::count_params(network_options(*this, shape, seed)));
  }
  return counts;
}

PanelMember::PanelMember(const PanelForecasterOptions& options, std::int64_t lookback,
                         std::uint64_t seed)
    : shape_{lookback, options.horizon, options.season, options.windows},
      seed_(seed),
      loss_(options.loss),
      huber_delta_(options.huber_delta),
      quantiles_(options.quantiles),
      network_(network_options(options, shape_, seed)),
      trainer_(trainer_options(options)),
      origins_(static_cast<std::size_t>(options.batch_size)),
      gradients_(static_cast<std::size_t>(network_.count_params())) {}

double PanelMember::step(const Panel& panel, const OriginSampler& sampler) {
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
  network_.update([&](std::span<float> all) { std::ranges::copy(parameters, all.begin()); });
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
  trainer_.restore(steps_done, state.subspan(size));
  set_parameters(state.first(size));
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
    MaskedLoss of_errors = masked_loss(loss_, huber_delta_);
    if (!quantiles_.empty()) of_errors.parameter = quantiles_[q];
    loss += of_errors.operator()<float>(errors_, targets_.counts, grad_errors_) /
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
