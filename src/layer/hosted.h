// A layer for a framework that owns the weights and passes their addresses. It keeps a copy of the
// latest weights and their folded products, and folds again only if a value has changed. `Layer` is
// MemoryAugmentedAttention<T>, CrossAttention<T> or HierarchicalAttention<T>.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "memattn/cross_attention.h"
#include "memattn/hierarchical_attention.h"
#include "memattn/memory_augmented_attention.h"

namespace memattn {

// The types that belong to a layer: its weights, its config and its routes.
template <typename Layer>
using ValueOf =
    std::remove_const_t<typename decltype(std::declval<const Layer&>().parameters())::element_type>;
template <typename Layer>
using ConfigOf = std::remove_cvref_t<decltype(std::declval<const Layer&>().config())>;
template <typename Layer>
using RouteOf = decltype(std::declval<const Layer&>().forced_route());

// Caches of scores that calls no longer use, for the next calls. Thread-safe.
template <typename T>
class ScoresPool {
 public:
  std::unique_ptr<ScoresCache<T>> take();
  void give_back(std::unique_ptr<ScoresCache<T>> cache) noexcept;

 private:
  std::mutex mutex_;
  std::unique_ptr<ScoresCache<T>> spare_;
};

// Returns whether the floats are the same numbers as `halves`, bit by bit, and as many.
bool holds_bfloat16(std::span<const float> floats, std::span<const std::uint16_t> halves) noexcept;

// The weights at one moment. A layer that folds on demand also notes which of its folds exist, as
// bits whose meaning the caller defines.
template <typename Layer>
struct HostedWeights {
  HostedWeights(const ConfigOf<Layer>& config, std::span<const ValueOf<Layer>> parameters)
      : layer(config, parameters) {}

  Layer layer;
  std::atomic<std::uint32_t> folds{0};
};

// The folded weights at one moment, for one forward call and its backward call. For one thread at a
// time.
template <typename Layer>
class HostedCall {
 public:
  using T = ValueOf<Layer>;

  HostedCall(std::shared_ptr<HostedWeights<Layer>> weights, std::shared_ptr<ScoresPool<T>> pool)
      : weights_(std::move(weights)), pool_(std::move(pool)) {}
  HostedCall(const HostedCall&) = delete;
  HostedCall& operator=(const HostedCall&) = delete;
  ~HostedCall();

  const Layer& layer() const { return weights_->layer; }

  // Returns the cache in which the memory layer's forward keeps its scores for backward; null
  // before a `cache()`. The other layers keep none.
  ScoresCache<T>* cache();
  const ScoresCache<T>* kept() const { return kept_.get(); }

  // Returns whether a call on these weights has noted all of these folds.
  bool has_folds(std::uint32_t folds) const {
    return (weights_->folds.load(std::memory_order_relaxed) & folds) == folds;
  }
  void note_folds(std::uint32_t folds) {
    weights_->folds.fetch_or(folds, std::memory_order_relaxed);
  }

 private:
  std::shared_ptr<HostedWeights<Layer>> weights_;
  std::shared_ptr<ScoresPool<T>> pool_;
  std::unique_ptr<ScoresCache<T>> kept_;
};

// Thread-safe. It never compares values or folds while it holds its lock, so it holds it briefly.
//
// Values are compared bit by bit, since nothing else detects every change: PyTorch's version
// counters miss a write through .data, a NumPy view or shared memory. At the shape of
// docs/math.md's example, a comparison takes a sixth of the time of a fold.
template <typename Layer>
class HostedLayer {
 public:
  using T = ValueOf<Layer>;
  // The addresses of the weights, in the order of weight_infos().
  using Weights = std::span<const T* const>;

  // All calls use `route`. Throws std::invalid_argument naming the first invalid option.
  explicit HostedLayer(const ConfigOf<Layer>& config, RouteOf<Layer> route = {});

  const ConfigOf<Layer>& config() const { return config_; }
  std::int64_t count_params() const { return count_params_; }

  // Returns the latest weights if they equal the values at these addresses, else null. Throws
  // std::invalid_argument unless there are as many as in weight_infos().
  std::unique_ptr<HostedCall<Layer>> current(Weights weights) const;

  // Copies the weights, which become the latest, and overwrites a copy that no call holds. The
  // memory layer folds here, the other layers when a call needs it.
  std::unique_ptr<HostedCall<Layer>> renew(Weights weights);

  // Returns how many times renew has copied weights.
  std::int64_t folds() const;

 private:
  std::unique_ptr<HostedCall<Layer>> call(std::shared_ptr<HostedWeights<Layer>> weights) const;
  void check_count(Weights weights) const;

  const ConfigOf<Layer> config_;
  const RouteOf<Layer> route_;
  const std::vector<WeightInfo> infos_;
  const std::int64_t count_params_;
  const std::shared_ptr<ScoresPool<T>> pool_ = std::make_shared<ScoresPool<T>>();

  mutable std::mutex mutex_;  // guards the members below
  std::shared_ptr<HostedWeights<Layer>> latest_;
  std::int64_t folds_ = 0;
};

}  // namespace memattn
