// Comparing, folding and keeping the weights of a framework.
#include "layer/hosted.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "check.h"
#include "layer/weights.h"

namespace memattn {

template <typename T>
std::unique_ptr<ScoresCache<T>> ScoresPool<T>::take() {
  {
    const std::lock_guard lock(mutex_);
    if (spare_) return std::move(spare_);
  }
  return std::make_unique<ScoresCache<T>>();
}

template <typename T>
void ScoresPool<T>::give_back(std::unique_ptr<ScoresCache<T>> cache) noexcept {
  {
    const std::lock_guard lock(mutex_);
    spare_.swap(cache);
  }  // one that was spare already is freed here, without the lock
}

template <typename T>
HostedCall<T>::~HostedCall() {
  if (kept_) pool_->give_back(std::move(kept_));
}

template <typename T>
void HostedCall<T>::forward(std::span<const T> x, Tokens tokens, std::span<T> y,
                            const CallOptions& options, const ScoresOutput<T>& scores, bool keep) {
  if (keep && !kept_) kept_ = pool_->take();
  layer_->forward(x, tokens, y, options, scores, keep ? kept_.get() : nullptr);
}

template <typename T>
void HostedCall<T>::backward(std::span<const T> x, std::span<const T> grad_y, Tokens tokens,
                             std::span<T> grad_x, std::span<T> grad_parameters,
                             const CallOptions& options) const {
  layer_->backward(x, grad_y, tokens, grad_x, grad_parameters, options, kept_.get());
}

namespace {

// Bits and not values: a NaN is equal to itself, and 0 is not -0.
template <typename T>
bool holds(const MemoryAugmentedAttention<T>& layer, std::span<const T* const> weights) {
  const std::vector<WeightInfo>& infos = layer.weight_infos();
  const T* const parameters = layer.parameters().data();
  for (std::size_t i = 0; i < infos.size(); ++i) {
    const auto bytes = static_cast<std::size_t>(infos[i].size) * sizeof(T);
    if (std::memcmp(parameters + infos[i].offset, weights[i], bytes) != 0) return false;
  }
  return true;
}

}  // namespace

template <typename T>
HostedLayer<T>::HostedLayer(const MemoryAugmentedAttentionConfig& config)
    : config_(validated(config)),
      infos_(weight_infos(config_)),
      count_params_(memattn::count_params(config_)) {}

template <typename T>
void HostedLayer<T>::check_count(Weights weights) const {
  if (weights.size() == infos_.size()) return;
  fail_argument("HostedLayer", "weights", concat(weights.size(), " addresses"), infos_.size());
}

template <typename T>
std::unique_ptr<HostedCall<T>> HostedLayer<T>::call(
    std::shared_ptr<MemoryAugmentedAttention<T>> layer) const {
  return std::make_unique<HostedCall<T>>(std::move(layer), pool_);
}

template <typename T>
std::unique_ptr<HostedCall<T>> HostedLayer<T>::current(Weights weights) const {
  check_count(weights);
  std::shared_ptr<MemoryAugmentedAttention<T>> latest;
  {
    const std::lock_guard lock(mutex_);
    latest = latest_;
  }
  return latest && holds<T>(*latest, weights) ? call(std::move(latest)) : nullptr;
}

template <typename T>
std::unique_ptr<HostedCall<T>> HostedLayer<T>::renew(Weights weights) {
  check_count(weights);
  std::shared_ptr<MemoryAugmentedAttention<T>> layer;
  {
    const std::lock_guard lock(mutex_);
    // A count of 1 stays 1 under the lock: only here could another reference come from.
    if (latest_.use_count() == 1) layer = std::move(latest_);
  }
  const auto copy_to = [&](std::span<T> parameters) {
    for (std::size_t i = 0; i < infos_.size(); ++i) {
      std::copy_n(weights[i], infos_[i].size, parameters.begin() + infos_[i].offset);
    }
  };
  if (layer) {
    layer->update(copy_to);
  } else {
    std::vector<T> parameters(static_cast<std::size_t>(count_params_));
    copy_to(parameters);
    layer = std::make_shared<MemoryAugmentedAttention<T>>(config_, parameters);
  }
  {
    const std::lock_guard lock(mutex_);
    latest_ = layer;
    ++folds_;
  }
  return call(std::move(layer));
}

template <typename T>
std::int64_t HostedLayer<T>::folds() const {
  const std::lock_guard lock(mutex_);
  return folds_;
}

template class ScoresPool<float>;
template class ScoresPool<double>;
template class HostedCall<float>;
template class HostedCall<double>;
template class HostedLayer<float>;
template class HostedLayer<double>;

}  // namespace memattn
