// CrossAttention's checks, weights and folds; the kernels do the arithmetic.
#include "memattn/cross_attention.h"

#include <algorithm>

#include "check.h"
#include "layer/checks.h"
#include "layer/layer_file.h"
#include "layer/sequence_layer.h"

namespace memattn {

template <typename T>
struct CrossAttention<T>::Impl : SequenceLayer<T, CrossAttentionConfig> {
  using SequenceLayer<T, CrossAttentionConfig>::SequenceLayer;

  // Returns the call for the kernels, after the checks that forward and backward share.
  kernels::Call checked(std::string_view function, std::span<const T> x1, std::span<const T> x2,
                        CrossTokens tokens, const CallOptions& options) const {
    const kernels::Call call =
        checked_call(function, this->config, {.batch = tokens.batch, .steps = tokens.steps1},
                     {.count = tokens.steps2, .name = "steps2", .steps_name = "steps1"}, options);
    check_size(function, "x1", x1.size(), "batch * steps1 * source1_units",
               {tokens.batch, tokens.steps1, this->config.resolved_source1_units()});
    check_size(function, "x2", x2.size(), "batch * steps2 * source2_units",
               {tokens.batch, tokens.steps2, this->config.resolved_source2_units()});
    return call;
  }
};

template <typename T>
CrossAttention<T>::CrossAttention(const CrossAttentionConfig& config) {
  config.validate();
  check_precision<T>(config);
  impl_ = std::make_unique<Impl>(config, initial_parameters<T>(config));
}

template <typename T>
CrossAttention<T>::CrossAttention(const CrossAttentionConfig& config,
                                  std::span<const T> parameters) {
  config.validate();
  check_precision<T>(config);
  check_size("CrossAttention", "parameters", parameters.size(), "count_params()",
             {memattn::count_params(config)});
  impl_ = std::make_unique<Impl>(config, std::vector<T>(parameters.begin(), parameters.end()));
}

template <typename T>
CrossAttention<T>::CrossAttention(const CrossAttention& other)
    : impl_(std::make_unique<Impl>(*other.impl_)) {}

template <typename T>
CrossAttention<T>& CrossAttention<T>::operator=(const CrossAttention& other) {
  if (this != &other) impl_ = std::make_unique<Impl>(*other.impl_);
  return *this;
}

template <typename T>
CrossAttention<T>::CrossAttention(CrossAttention&&) noexcept = default;
template <typename T>
CrossAttention<T>& CrossAttention<T>::operator=(CrossAttention&&) noexcept = default;
template <typename T>
CrossAttention<T>::~CrossAttention() = default;

template <typename T>
const CrossAttentionConfig& CrossAttention<T>::config() const {
  return impl_->config;
}

template <typename T>
void CrossAttention<T>::forward(std::span<const T> x1, std::span<const T> x2, CrossTokens tokens,
                                std::span<T> y, const CallOptions& options,
                                const ScoresOutput<T>& scores) const {
  const kernels::Call call = impl_->checked("forward", x1, x2, tokens, options);
  check_size("forward", "y", y.size(), "batch * steps1 * units",
             {tokens.batch, tokens.steps1, config().units});
  check_scores("forward", "scores", scores, {.batch = tokens.batch, .steps = tokens.steps1},
               config().num_heads,
               {.count = tokens.steps2, .name = "steps2", .steps_name = "steps1"});
  check_overlaps("forward",
                 {{"x1", x1},
                  {"x2", x2},
                  {"attention_mask", options.attention_mask.keep},
                  {"query_mask", options.query_mask},
                  {"value_mask", options.value_mask},
                  {"the layer's own weights", parameters()}},
                 {{"y", y}, {"scores", scores.values}});
  const SequenceAttention<T>& attention = impl_->sides[0];
  attention.forward(attention.prepared(call, tokens.steps2, options.training), call,
                    {x1.data(), x2.data(), tokens.steps2},
                    {.y = y.data(),
                     .scores = scores.values.empty() ? nullptr : scores.values.data(),
                     .average_heads = scores.average_heads},
                    options.training);
}

template <typename T>
void CrossAttention<T>::backward(std::span<const T> x1, std::span<const T> x2,
                                 std::span<const T> grad_y, CrossTokens tokens,
                                 std::span<T> grad_x1, std::span<T> grad_x2,
                                 std::span<T> grad_parameters, const CallOptions& options) const {
  const kernels::Call call = impl_->checked("backward", x1, x2, tokens, options);
  check_size("backward", "grad_y", grad_y.size(), "batch * steps1 * units",
             {tokens.batch, tokens.steps1, config().units});
  if (!grad_x1.empty()) {
    check_size("backward", "grad_x1", grad_x1.size(), "batch * steps1 * source1_units",
               {tokens.batch, tokens.steps1, config().resolved_source1_units()});
  }
  if (!grad_x2.empty()) {
    check_size("backward", "grad_x2", grad_x2.size(), "batch * steps2 * source2_units",
               {tokens.batch, tokens.steps2, config().resolved_source2_units()});
  }
  check_size("backward", "grad_parameters", grad_parameters.size(), "count_params()",
             {count_params()});
  check_overlaps(
      "backward",
      {{"x1", x1},
       {"x2", x2},
       {"grad_y", grad_y},
       {"attention_mask", options.attention_mask.keep},
       {"query_mask", options.query_mask},
       {"value_mask", options.value_mask},
       {"the layer's own weights", parameters()}},
      {{"grad_x1", grad_x1}, {"grad_x2", grad_x2}, {"grad_parameters", grad_parameters}});
  impl_->sides[0].backward(call, {x1.data(), x2.data(), tokens.steps2},
                           {.d_y = grad_y.data(),
                            .d_x1 = grad_x1.empty() ? nullptr : grad_x1.data(),
                            .d_x2 = grad_x2.empty() ? nullptr : grad_x2.data()},
                           impl_->gradients(grad_parameters)[0]);
}

template <typename T>
SequenceRoute CrossAttention<T>::route(CrossTokens tokens, bool training) const {
  return impl_->sides[0].route(tokens.batch, tokens.steps1, tokens.steps2, training);
}
template <typename T>
void CrossAttention<T>::set_precision(Precision precision) {
  impl_->set_precision(precision);
}
template <typename T>
void CrossAttention<T>::set_route(SequenceRoute route) {
  impl_->set_route(route);
}
template <typename T>
SequenceRoute CrossAttention<T>::forced_route() const {
  return impl_->sides[0].forced();
}
template <typename T>
std::int64_t CrossAttention<T>::kept_bytes() const {
  return impl_->kept_bytes();
}
template <typename T>
std::span<const T> CrossAttention<T>::parameters() const {
  return impl_->flat.parameters();
}
template <typename T>
std::int64_t CrossAttention<T>::count_params() const {
  return impl_->flat.count();
}
template <typename T>
const std::vector<WeightInfo>& CrossAttention<T>::weight_infos() const {
  return impl_->flat.infos();
}
template <typename T>
std::span<const T> CrossAttention<T>::weight(std::string_view name) const {
  return impl_->flat.weight(name);
}
template <typename T>
void CrossAttention<T>::set_parameters(std::span<const T> parameters) {
  impl_->set_parameters(parameters);
}
template <typename T>
void CrossAttention<T>::set_weight(std::string_view name, std::span<const T> values) {
  impl_->set_weight(name, values);
}
template <typename T>
void CrossAttention<T>::update(const std::function<void(std::span<T> parameters)>& edit) {
  impl_->update(edit);
}
template <typename T>
std::string CrossAttention<T>::summary() const {
  return impl_->summary("CrossAttention", "source1_units", config().resolved_source1_units(),
                        "source2_units", config().resolved_source2_units());
}
template <typename T>
void CrossAttention<T>::save(const std::filesystem::path& path, StoredType stored) const {
  save_layer(path, config(), parameters(), stored);
}
template <typename T>
CrossAttention<T> CrossAttention<T>::load(const std::filesystem::path& path) {
  const auto [config, parameters] = load_layer<T, CrossAttentionConfig>(path);
  return CrossAttention(config, parameters);
}

template class CrossAttention<float>;
template class CrossAttention<double>;

}  // namespace memattn
