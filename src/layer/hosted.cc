// Compares, folds and keeps the weights of a framework.
#include "layer/hosted.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "check.h"
#include "kernels/bfloat16.h"
#include "layer/checks.h"
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
  }  // an earlier spare is freed here, without the lock
}

bool holds_bfloat16(std::span<const float> floats, std::span<const std::uint16_t> halves) noexcept {
  if (floats.size() != halves.size()) return false;
  std::uint32_t differs = 0;  // without a branch, so that the loop vectorises
  for (std::size_t i = 0; i < floats.size(); ++i) {
    differs |= std::bit_cast<std::uint32_t>(floats[i]) ^
               std::bit_cast<std::uint32_t>(kernels::from_bfloat16(halves[i]));
  }
  return differs == 0;
}

template <typename Layer>
HostedCall<Layer>::~HostedCall() {
  if (kept_) pool_->give_back(std::move(kept_));
}

template <typename Layer>
ScoresCache<ValueOf<Layer>>* HostedCall<Layer>::cache() {
  if (!kept_) kept_ = pool_->take();
  return kept_.get();
}

namespace {

// Compares bits instead of values: a NaN equals itself, and 0 differs from -0.
template <typename Layer>
bool holds(const Layer& layer, std::span<const ValueOf<Layer>* const> weights) {
  const std::vector<WeightInfo>& infos = layer.weight_infos();
  const auto* const parameters = layer.parameters().data();
  for (std::size_t i = 0; i < infos.size(); ++i) {
    const auto bytes = static_cast<std::size_t>(infos[i].size) * sizeof(ValueOf<Layer>);
    if (std::memcmp(parameters + infos[i].offset, weights[i], bytes) != 0) return false;
  }
  return true;
}

}  // namespace

template <typename Layer>
HostedLayer<Layer>::HostedLayer(const ConfigOf<Layer>& config, RouteOf<Layer> route)
    : config_(validated(config)),
      route_(route),
      infos_(weight_infos(config_)),
      count_params_(memattn::count_params(config_)) {
  check_precision<T>(config_);
}

template <typename Layer>
void HostedLayer<Layer>::check_count(Weights weights) const {
  if (weights.size() == infos_.size()) return;
  fail_argument("HostedLayer", "weights", concat(weights.size(), " addresses"), infos_.size());
}

template <typename Layer>
std::unique_ptr<HostedCall<Layer>> HostedLayer<Layer>::call(
    std::shared_ptr<HostedWeights<Layer>> weights) const {
  return std::make_unique<HostedCall<Layer>>(std::move(weights), pool_);
}

template <typename Layer>
std::unique_ptr<HostedCall<Layer>> HostedLayer<Layer>::current(Weights weights) const {
  check_count(weights);
  std::shared_ptr<HostedWeights<Layer>> latest;
  {
    const std::lock_guard lock(mutex_);
    latest = latest_;
  }
  return latest && holds(latest->layer, weights) ? call(std::move(latest)) : nullptr;
}

template <typename Layer>
std::unique_ptr<HostedCall<Layer>> HostedLayer<Layer>::renew(Weights weights) {
  check_count(weights);
  std::shared_ptr<HostedWeights<Layer>> renewed;
  {
    const std::lock_guard lock(mutex_);
    // A count of 1 cannot change under the lock: only here could another reference be taken.
    if (latest_.use_count() == 1) renewed = std::move(latest_);
  }
  const auto copy_to = [&](std::span<T> parameters) {
    for (std::size_t i = 0; i < infos_.size(); ++i) {
      std::copy_n(weights[i], infos_[i].size, parameters.begin() + infos_[i].offset);
    }
  };
  if (renewed) {
    renewed->layer.update(copy_to);
    renewed->folds = 0;
  } else {
    std::vector<T> parameters(static_cast<std::size_t>(count_params_));
    copy_to(parameters);
    renewed = std::make_shared<HostedWeights<Layer>>(config_, parameters);
    if (route_ != RouteOf<Layer>{}) renewed->layer.set_route(route_);
  }
  {
    const std::lock_guard lock(mutex_);
    latest_ = renewed;
    ++folds_;
  }
  return call(std::move(renewed));
}

template <typename Layer>
std::int64_t HostedLayer<Layer>::folds() const {
  const std::lock_guard lock(mutex_);
  return folds_;
}

#define MEMATTN_INSTANTIATE(T)                             \
  template class ScoresPool<T>;                            \
  template class HostedCall<MemoryAugmentedAttention<T>>;  \
  template class HostedLayer<MemoryAugmentedAttention<T>>; \
  template class HostedCall<CrossAttention<T>>;            \
  template class HostedLayer<CrossAttention<T>>;           \
  template class HostedCall<HierarchicalAttention<T>>;     \
  template class HostedLayer<HierarchicalAttention<T>>;
MEMATTN_INSTANTIATE(float)
MEMATTN_INSTANTIATE(double)

}  // namespace memattn
