// HierarchicalAttention's checks, weights and folds; the kernels do the arithmetic.
#include "memattn/hierarchical_attention.h"

#include <array>

#include "check.h"
#include "layer/checks.h"
#include "layer/layer_file.h"
#include "layer/sequence_layer.h"

namespace memattn {

template <typename T>
struct HierarchicalAttention<T>::Impl : SequenceLayer<T, HierarchicalAttentionConfig> {
  using SequenceLayer<T, HierarchicalAttentionConfig>::SequenceLayer;

  std::int64_t width(std::size_t side) const { return this->sides[side].dims().source1_units; }

  // Returns the calls of both sides for the kernels, after the checks that forward and backward
  // share.
  std::array<kernels::Call, 2> checked(std::string_view function,
                                       const std::array<std::span<const T>, 2>& inputs,
                                       Tokens tokens, const HierarchicalOptions& options) const {
    std::array<kernels::Call, 2> calls;
    for (std::size_t side = 0; side < 2; ++side) {
      const CallOptions call{.attention_mask = options.attention_mask,
                             .use_causal_mask = options.use_causal_mask,
                             .training = options.training,
                             .dropout_step = options.dropout_step,
                             .first_sequence = options.first_sequence};
      calls[side] = checked_call(function, this->config, tokens,
                                 {.count = tokens.steps, .name = "steps"}, call);
      // Each side draws its own dropout.
      if (side == 1) calls[side].dropout.seed = kernels::mix(calls[side].dropout.seed, 1);
      check_input(function, kInputs[side], inputs[side].size(), side, tokens);
      const std::span<const std::uint8_t> mask = side == 0 ? options.short_mask : options.long_mask;
      if (mask.empty()) continue;
      check_size(function, side == 0 ? "short_mask" : "long_mask", mask.size(), "batch * steps",
                 {tokens.batch, tokens.steps});
      calls[side].mask.query = calls[side].mask.value = mask.data();
    }
    return calls;
  }

  // Checks the size of an input or of its gradient.
  void check_input(std::string_view function, std::string_view argument, std::size_t found,
                   std::size_t side, Tokens tokens) const {
    const std::initializer_list<std::int64_t> sizes = {tokens.batch, tokens.steps, width(side)};
    if (has_size(found, sizes)) return;
    check_size(function, argument, found, concat("batch * steps * ", kWidths[side]), sizes);
  }

  static constexpr std::array<std::string_view, 2> kInputs = {"x_short", "x_long"};
  static constexpr std::array<std::string_view, 2> kWidths = {"short_units", "long_units"};
};

template <typename T>
HierarchicalAttention<T>::HierarchicalAttention(const HierarchicalAttentionConfig& config) {
  config.validate();
  check_precision<T>(config);
  impl_ = std::make_unique<Impl>(config, initial_parameters<T>(config));
}

template <typename T>
HierarchicalAttention<T>::HierarchicalAttention(const HierarchicalAttentionConfig& config,
                                                std::span<const T> parameters) {
  config.validate();
  check_precision<T>(config);
  check_size("HierarchicalAttention", "parameters", parameters.size(), "count_params()",
             {memattn::count_params(config)});
  impl_ = std::make_unique<Impl>(config, std::vector<T>(parameters.begin(), parameters.end()));
}

template <typename T>
HierarchicalAttention<T>::HierarchicalAttention(const HierarchicalAttention& other)
    : impl_(std::make_unique<Impl>(*other.impl_)) {}

template <typename T>
HierarchicalAttention<T>& HierarchicalAttention<T>::operator=(const HierarchicalAttention& other) {
  if (this != &other) impl_ = std::make_unique<Impl>(*other.impl_);
  return *this;
}

template <typename T>
HierarchicalAttention<T>::HierarchicalAttention(HierarchicalAttention&&) noexcept = default;
template <typename T>
HierarchicalAttention<T>& HierarchicalAttention<T>::operator=(HierarchicalAttention&&) noexcept =
    default;
template <typename T>
HierarchicalAttention<T>::~HierarchicalAttention() = default;

template <typename T>
const HierarchicalAttentionConfig& HierarchicalAttention<T>::config() const {
  return impl_->config;
}

template <typename T>
void HierarchicalAttention<T>::forward(std::span<const T> x_short, std::span<const T> x_long,
                                       Tokens tokens, std::span<T> y,
                                       const HierarchicalOptions& options,
                                       const HierarchicalScores<T>& scores) const {
  const std::array inputs = {x_short, x_long};
  const auto calls = impl_->checked("forward", inputs, tokens, options);
  check_size("forward", "y", y.size(), "batch * steps * units",
             {tokens.batch, tokens.steps, config().units});
  const std::array outputs = {scores.short_scores, scores.long_scores};
  const Slots slots{.count = tokens.steps, .name = "steps"};
  check_scores("forward", "short_scores", outputs[0], tokens, config().num_heads, slots);
  check_scores("forward", "long_scores", outputs[1], tokens, config().num_heads, slots);
  check_overlaps(
      "forward",
      {{"x_short", x_short},
       {"x_long", x_long},
       {"attention_mask", options.attention_mask.keep},
       {"short_mask", options.short_mask},
       {"long_mask", options.long_mask},
       {"the layer's own weights", parameters()}},
      {{"y", y}, {"short_scores", outputs[0].values}, {"long_scores", outputs[1].values}});
  // Folds both sides first: if memory ran out for the second fold, y would be half written.
  const auto fold = [&](std::size_t side) {
    return &impl_->sides[side].prepared(calls[side], tokens.steps, options.training);
  };
  const std::array folds = {fold(0), fold(1)};
  for (std::size_t side = 0; side < 2; ++side) {
    const std::span<T> values = outputs[side].values;
    impl_->sides[side].forward(*folds[side], calls[side],
                               {inputs[side].data(), inputs[side].data(), tokens.steps},
                               {.y = y.data(),
                                .add = side == 1,
                                .scores = values.empty() ? nullptr : values.data(),
                                .average_heads = outputs[side].average_heads},
                               options.training);
  }
}

template <typename T>
void HierarchicalAttention<T>::backward(std::span<const T> x_short, std::span<const T> x_long,
                                        std::span<const T> grad_y, Tokens tokens,
                                        std::span<T> grad_short, std::span<T> grad_long,
                                        std::span<T> grad_parameters,
                                        const HierarchicalOptions& options) const {
  const std::array inputs = {x_short, x_long};
  const std::array outputs = {grad_short, grad_long};
  const auto calls = impl_->checked("backward", inputs, tokens, options);
  check_size("backward", "grad_y", grad_y.size(), "batch * steps * units",
             {tokens.batch, tokens.steps, config().units});
  for (std::size_t side = 0; side < 2; ++side) {
    if (outputs[side].empty()) continue;
    impl_->check_input("backward", side == 0 ? "grad_short" : "grad_long", outputs[side].size(),
                       side, tokens);
  }
  check_size("backward", "grad_parameters", grad_parameters.size(), "count_params()",
             {count_params()});
  check_overlaps(
      "backward",
      {{"x_short", x_short},
       {"x_long", x_long},
       {"grad_y", grad_y},
       {"attention_mask", options.attention_mask.keep},
       {"short_mask", options.short_mask},
       {"long_mask", options.long_mask},
       {"the layer's own weights", parameters()}},
      {{"grad_short", grad_short}, {"grad_long", grad_long}, {"grad_parameters", grad_parameters}});
  const auto gradients = impl_->gradients(grad_parameters);
  for (std::size_t side = 0; side < 2; ++side) {
    impl_->sides[side].backward(
        calls[side], {inputs[side].data(), inputs[side].data(), tokens.steps},
        {.d_y = grad_y.data(), .d_x1 = outputs[side].empty() ? nullptr : outputs[side].data()},
        gradients[side]);
  }
}

template <typename T>
std::array<SequenceRoute, 2> HierarchicalAttention<T>::route(Tokens tokens, bool training) const {
  const auto of = [&](std::size_t side) {
    return impl_->sides[side].route(tokens.batch, tokens.steps, tokens.steps, training);
  };
  return {of(0), of(1)};
}
template <typename T>
void HierarchicalAttention<T>::set_precision(Precision precision) {
  impl_->set_precision(precision);
}
template <typename T>
void HierarchicalAttention<T>::set_route(SequenceRoute route) {
  impl_->set_route(route);
}
template <typename T>
SequenceRoute HierarchicalAttention<T>::forced_route() const {
  return impl_->sides[0].forced();
}
template <typename T>
std::int64_t HierarchicalAttention<T>::kept_bytes() const {
  return impl_->kept_bytes();
}
template <typename T>
std::span<const T> HierarchicalAttention<T>::parameters() const {
  return impl_->flat.parameters();
}
template <typename T>
std::int64_t HierarchicalAttention<T>::count_params() const {
  return impl_->flat.count();
}
template <typename T>
const std::vector<WeightInfo>& HierarchicalAttention<T>::weight_infos() const {
  return impl_->flat.infos();
}
template <typename T>
std::span<const T> HierarchicalAttention<T>::weight(std::string_view name) const {
  return impl_->flat.weight(name);
}
template <typename T>
void HierarchicalAttention<T>::set_parameters(std::span<const T> parameters) {
  impl_->set_parameters(parameters);
}
template <typename T>
void HierarchicalAttention<T>::set_weight(std::string_view name, std::span<const T> values) {
  impl_->set_weight(name, values);
}
template <typename T>
void HierarchicalAttention<T>::update(const std::function<void(std::span<T> parameters)>& edit) {
  impl_->update(edit);
}
template <typename T>
std::string HierarchicalAttention<T>::summary() const {
  return impl_->summary("HierarchicalAttention", "short_units", config().resolved_short_units(),
                        "long_units", config().resolved_long_units());
}
template <typename T>
void HierarchicalAttention<T>::save(const std::filesystem::path& path, StoredType stored) const {
  save_layer(path, config(), parameters(), stored);
}
template <typename T>
HierarchicalAttention<T> HierarchicalAttention<T>::load(const std::filesystem::path& path) {
  const auto [config, parameters] = load_layer<T, HierarchicalAttentionConfig>(path);
  return HierarchicalAttention(config, parameters);
}

template class HierarchicalAttention<float>;
template class HierarchicalAttention<double>;

}  // namespace memattn
