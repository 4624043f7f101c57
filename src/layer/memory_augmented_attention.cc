// The memory layer's checks, weights and fold; the kernels do the arithmetic.
#include "memattn/memory_augmented_attention.h"

#include <algorithm>
#include <atomic>
#include <type_traits>
#include <utility>

#include "check.h"
#include "kernels/kernel_table.h"
#include "kernels/tiling.h"
#include "layer/checks.h"
#include "layer/flat_weights.h"
#include "layer/layer_file.h"
#include "layer/passes.h"
#include "layer/scores_cache_impl.h"
#include "layer/summary.h"
#include "layer/weights.h"

namespace memattn {
namespace {

// Returns whether the folded route takes less work per token, by the cost rule of docs/math.md.
bool folding_pays(const MemoryAugmentedAttentionConfig& config) {
  const auto units = static_cast<double>(config.units),
             slots = static_cast<double>(config.memory_size);
  const auto key = static_cast<double>(config.resolved_key_dim());
  const auto value = static_cast<double>(config.resolved_value_dim());
  return 2 * units * slots <= units * key + key * slots + slots * value + value * units;
}

// Returns another number at each call.
std::uint64_t next_fold_id() {
  static std::atomic<std::uint64_t> last{0};
  return 1 + last.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

template <typename T>
struct MemoryAugmentedAttention<T>::Impl {
  Impl(const MemoryAugmentedAttentionConfig& layer_config, std::vector<T> layer_parameters)
      : config(layer_config),
        flat(memattn::weight_infos(layer_config), std::move(layer_parameters)),
        weights(weight_pointers(flat.infos(), flat.parameters().data())),
        prepared(fold(Route::kAuto)),
        pairs(round(prepared)),
        fold_id(next_fold_id()) {}
  Impl(const Impl& other)
      : config(other.config),
        flat(other.flat),
        weights(weight_pointers(flat.infos(), flat.parameters().data())),
        forced(other.forced),
        prepared(other.prepared),
        pairs(other.pairs),
        fold_id(other.fold_id) {}

  // Returns the fold of the present weights, in new memory.
  kernels::Prepared<T> fold(Route route) const {
    const bool folded = route == Route::kAuto ? folding_pays(config) : route == Route::kFolded;
    kernels::Prepared<T> result;
    fold_pass(kernels, dims_of(config), weights, folded, result);
    return result;
  }

  // Folds again after a change of weights. The sizes stay, so this neither allocates nor fails.
  void refold() noexcept {
    fold_pass(kernels, dims_of(config), weights, prepared.folded, prepared);
    round(prepared, pairs);
    fold_id = next_fold_id();
  }

  // Rounds a fold to bfloat16; does nothing in float32.
  void round(const kernels::Prepared<T>& fold, kernels::PreparedPairs& result) const {
    if constexpr (std::is_same_v<T, float>) {
      if (config.precision == Precision::kBFloat16) {
        fold_pairs_pass(kernels::chosen_pair_kernels(), fold, result);
      }
    }
  }
  // The same in new memory.
  kernels::PreparedPairs round(const kernels::Prepared<T>& fold) const {
    kernels::PreparedPairs result;
    round(fold, result);
    return result;
  }

  MemoryAugmentedAttentionConfig config;
  FlatWeights<T> flat;
  kernels::WeightPointers<const T> weights;  // into `flat`
  const kernels::Kernels<T>& kernels = kernels::chosen_kernels<T>();
  Route forced = Route::kAuto;
  kernels::Prepared<T> prepared;  // always the fold of `flat`
  kernels::PreparedPairs pairs;   // `prepared` in bfloat16
  std::uint64_t fold_id = 0;      // of `prepared`
};

// The config is checked in a separate statement: the arguments of a call are evaluated in any
// order, and drawing weights multiplies sizes.
template <typename T>
MemoryAugmentedAttention<T>::MemoryAugmentedAttention(
    const MemoryAugmentedAttentionConfig& config) {
  config.validate();
  check_precision<T>(config);
  impl_ = std::make_unique<Impl>(config, initial_parameters<T>(config));
}

template <typename T>
MemoryAugmentedAttention<T>::MemoryAugmentedAttention(const MemoryAugmentedAttentionConfig& config,
                                                      std::span<const T> parameters) {
  config.validate();
  check_precision<T>(config);
  check_size("MemoryAugmentedAttention", "parameters", parameters.size(), "count_params()",
             {memattn::count_params(config)});
  impl_ = std::make_unique<Impl>(config, std::vector<T>(parameters.begin(), parameters.end()));
}

template <typename T>
MemoryAugmentedAttention<T>::MemoryAugmentedAttention(const MemoryAugmentedAttention& other)
    : impl_(std::make_unique<Impl>(*other.impl_)) {}

template <typename T>
MemoryAugmentedAttention<T>& MemoryAugmentedAttention<T>::operator=(
    const MemoryAugmentedAttention& other) {
  if (this != &other) impl_ = std::make_unique<Impl>(*other.impl_);
  return *this;
}

template <typename T>
MemoryAugmentedAttention<T>::MemoryAugmentedAttention(MemoryAugmentedAttention&&) noexcept =
    default;
template <typename T>
MemoryAugmentedAttention<T>& MemoryAugmentedAttention<T>::operator=(
    MemoryAugmentedAttention&&) noexcept = default;
template <typename T>
MemoryAugmentedAttention<T>::~MemoryAugmentedAttention() = default;

template <typename T>
const MemoryAugmentedAttentionConfig& MemoryAugmentedAttention<T>::config() const {
  return impl_->config;
}

template <typename T>
void MemoryAugmentedAttention<T>::forward(std::span<const T> x, Tokens tokens, std::span<T> y,
                                          const CallOptions& options, const ScoresOutput<T>& scores,
                                          ScoresCache<T>* kept) const {
  const MemoryAugmentedAttentionConfig& config = impl_->config;
  const std::int64_t batch = tokens.batch, steps = tokens.steps;
  const kernels::Call call = checked_call("forward", config, tokens, options);
  check_size("forward", "x", x.size(), "batch * steps * units", {batch, steps, config.units});
  check_size("forward", "y", y.size(), "batch * steps * units", {batch, steps, config.units});
  check_scores("forward", "scores", scores, tokens, config.num_heads, {config.memory_size});
  const std::span<const T> apart = x.data() == y.data() ? std::span<const T>() : x;
  check_overlaps("forward",
                 {{"x", apart},
                  {"attention_mask", options.attention_mask.keep},
                  {"query_mask", options.query_mask},
                  {"value_mask", options.value_mask},
                  {"the layer's own weights", parameters()}},
                 {{"y", y}, {"scores", scores.values}});
  T* const kept_values =
      kept ? kept->impl_->start(kernels::kept_size(impl_->prepared.dims, batch * steps)) : nullptr;
  if (x.empty()) return;

  const kernels::ForwardArrays<T> arrays = {.x = x.data(),
                                            .y = y.data(),
                                            .scores = scores.values.data(),
                                            .average_heads = scores.average_heads,
                                            .kept = kept_values};
  if constexpr (std::is_same_v<T, float>) {
    if (config.precision == Precision::kBFloat16 && !kept && !options.training) {
      forward_pairs_pass(kernels::chosen_pair_kernels(), impl_->prepared, impl_->pairs,
                         impl_->weights, call, arrays);
      return;
    }
  }
  forward_pass<T>(impl_->kernels, impl_->prepared, impl_->weights, call, arrays);
  if (kept_values) {
    kept->impl_->call = {tokens, options.first_step, impl_->fold_id};
    kept->impl_->holds = true;
  }
}

template <typename T>
void MemoryAugmentedAttention<T>::backward(std::span<const T> x, std::span<const T> grad_y,
                                           Tokens tokens, std::span<T> grad_x,
                                           std::span<T> grad_parameters, const CallOptions& options,
                                           const ScoresCache<T>* kept) const {
  const MemoryAugmentedAttentionConfig& config = impl_->config;
  const std::int64_t batch = tokens.batch, steps = tokens.steps;
  const kernels::Call call = checked_call("backward", config, tokens, options);
  const auto check_tokens = [&](std::string_view argument, std::size_t found) {
    check_size("backward", argument, found, "batch * steps * units", {batch, steps, config.units});
  };
  check_tokens("x", x.size());
  check_tokens("grad_y", grad_y.size());
  if (!grad_x.empty()) check_tokens("grad_x", grad_x.size());
  check_size("backward", "grad_parameters", grad_parameters.size(), "count_params()",
             {count_params()});
  check_overlaps("backward",
                 {{"x", x},
                  {"grad_y", grad_y},
                  {"attention_mask", options.attention_mask.keep},
                  {"query_mask", options.query_mask},
                  {"value_mask", options.value_mask},
                  {"the layer's own weights", parameters()}},
                 {{"grad_x", grad_x}, {"grad_parameters", grad_parameters}});

  const T* kept_values = nullptr;
  if (kept && kept->impl_->holds) {
    const KeptCall& found = kept->impl_->call;
    if (found != KeptCall{tokens, options.first_step, impl_->fold_id}) {
      fail_argument("backward", "kept",
                    concat("scores of batch ", found.tokens.batch, ", steps ", found.tokens.steps,
                           ", first_step ", found.first_step,
                           found.fold == impl_->fold_id ? "" : " and other weights"),
                    concat("those of forward with batch ", batch, ", steps ", steps,
                           ", first_step ", options.first_step, " and the present weights"));
    }
    kept_values = kept->impl_->values.data();
  }
  backward_pass<T>(impl_->kernels, impl_->prepared, impl_->weights, call,
                   {.x = x.data(), .d_y = grad_y.data(), .d_x = grad_x.data(), .kept = kept_values},
                   weight_pointers(impl_->flat.infos(), grad_parameters.data()), grad_parameters);
}

template <typename T>
std::int64_t MemoryAugmentedAttention<T>::kept_bytes() const {
  return impl_->flat.bytes() + impl_->prepared.bytes() + impl_->pairs.bytes();
}

template <typename T>
void MemoryAugmentedAttention<T>::set_precision(Precision precision) {
  MemoryAugmentedAttentionConfig config = impl_->config;
  config.precision = precision;
  config.validate();
  check_precision<T>(config);
  std::swap(impl_->config, config);
  try {
    impl_->pairs = impl_->round(impl_->prepared);
  } catch (...) {
    std::swap(impl_->config, config);
    throw;
  }
}

template <typename T>
Route MemoryAugmentedAttention<T>::route() const {
  return impl_->prepared.folded ? Route::kFolded : Route::kProjected;
}

template <typename T>
void MemoryAugmentedAttention<T>::set_route(Route route) {
  if (route != Route::kAuto && route != Route::kFolded && route != Route::kProjected) {
    fail_argument("set_route", "route", static_cast<int>(route), "kAuto, kFolded or kProjected");
  }
  kernels::Prepared<T> prepared = impl_->fold(route);
  impl_->pairs = impl_->round(prepared);
  impl_->prepared = std::move(prepared);  // cannot fail
  impl_->forced = route;
  impl_->fold_id = next_fold_id();
}

template <typename T>
Route MemoryAugmentedAttention<T>::forced_route() const {
  return impl_->forced;
}

template <typename T>
std::span<const T> MemoryAugmentedAttention<T>::parameters() const {
  return impl_->flat.parameters();
}

template <typename T>
std::int64_t MemoryAugmentedAttention<T>::count_params() const {
  return impl_->flat.count();
}

template <typename T>
const std::vector<WeightInfo>& MemoryAugmentedAttention<T>::weight_infos() const {
  return impl_->flat.infos();
}

template <typename T>
std::span<const T> MemoryAugmentedAttention<T>::weight(std::string_view name) const {
  return impl_->flat.weight(name);
}

template <typename T>
void MemoryAugmentedAttention<T>::set_parameters(std::span<const T> parameters) {
  impl_->flat.set_all(parameters);
  impl_->refold();
}

template <typename T>
void MemoryAugmentedAttention<T>::set_weight(std::string_view name, std::span<const T> values) {
  impl_->flat.set(name, values);
  impl_->refold();
}

template <typename T>
void MemoryAugmentedAttention<T>::update(const std::function<void(std::span<T> parameters)>& edit) {
  impl_->flat.edit(edit);
  impl_->refold();
}

template <typename T>
std::string MemoryAugmentedAttention<T>::summary() const {
  const MemoryAugmentedAttentionConfig& config = impl_->config;
  return summary_table(
      concat("MemoryAugmentedAttention  ", type_name<T>(config.precision), "  ",
             route() == Route::kFolded ? "folded" : "projected", " route  units ", config.units,
             "  memory_size ", config.memory_size, "  num_heads ", config.num_heads, "  key_dim ",
             config.resolved_key_dim(), "  value_dim ", config.resolved_value_dim()),
      weight_infos());
}

template <typename T>
void MemoryAugmentedAttention<T>::save(const std::filesystem::path& path, StoredType stored) const {
  save_layer(path, config(), parameters(), stored);
}

template <typename T>
MemoryAugmentedAttention<T> MemoryAugmentedAttention<T>::load(const std::filesystem::path& path) {
  const auto [config, parameters] = load_layer<T, MemoryAugmentedAttentionConfig>(path);
  return MemoryAugmentedAttention(config, parameters);
}

template class MemoryAugmentedAttention<float>;
template class MemoryAugmentedAttention<double>;

}  // namespace memattn
