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

// What a layer's class says of it: the type of its weights, its config, and its routes.
template <typename Layer>
using ValueOf =
    std::remove_const_t<typename decltype(std::declval<const Layer&>().parameters())::element_type>;
template <typename Layer>
using ConfigOf = std::remove_cvref_t<decltype(std::declval<const Layer&>().config())>;
template <typename Layer>
using RouteOf = decltype(std::declval<const Layer&>().forced_route());

// Caches of scores that calls have done with, for the next ones. Thread-safe.
template <typename T>
class ScoresPool {
 public:
  std::unique_ptr<ScoresCache<T>> take();
  void give_back(std::unique_ptr<ScoresCache<T>> cache) noexcept;

 private:
  std::mutex mutex_;
  std::unique_ptr<ScoresCache<T>> spare_;
};

// Whether the floats are those bfloat16 numbers, as many, bit by bit.
bool holds_bfloat16(std::span<const float> floats, std::span<const std::uint16_t> halves) noexcept;

// The weights of one moment. A layer that folds on demand also needs to know which of its folds are
// there: bits, whose meaning is the caller's.
template <typename Layer>
struct HostedWeights {
  HostedWeights(const ConfigOf<Layer>& config, std::span<const ValueOf<Layer>> parameters)
      : layer(config, parameters) {}

  Layer layer;
  std::atomic<std::uint32_t> folds{0};
};

// The weights of one moment, folded: for one forward call and the backward call that belongs to it.
// Used by one thread at a time.
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

  // Where the memory layer's forward keeps its scores, and where its backward finds them: null
  // before a `cache()`. The other layers keep none.
  ScoresCache<T>* cache();
  const ScoresCache<T>* kept() const { return kept_.get(); }

  // Whether a call on these weights has noted all of these folds.
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

// Thread-safe. Holds its lock for moments only, never while it compares values or folds.
//
// Values are compared bit by bit, since nothing else shows that they changed: PyTorch's version
// counters miss a write through .data, a NumPy view or shared memory. At the documented example's
// shape (docs/math.md) a comparison takes a sixth of the time of a fold.
template <typename Layer>
class HostedLayer {
 public:
  using T = ValueOf<Layer>;
  // Where the weights lie, in the order of weight_infos().
  using Weights = std::span<const T* const>;

  // Every call takes the route. Throws std::invalid_argument, naming the first invalid option.
  explicit HostedLayer(const ConfigOf<Layer>& config, RouteOf<Layer> route = {});

  const ConfigOf<Layer>& config() const { return config_; }
  std::int64_t count_params() const { return count_params_; }

  // The latest weights, if they have the values that are there now; else null.
  // Throws std::invalid_argument when the number of weights is not that of weight_infos().
  std::unique_ptr<HostedCall<Layer>> current(Weights weights) const;

  // Takes the weights, which become the latest. Those that no call holds are written over. The
  // memory layer folds here, the others where a call needs it.
  std::unique_ptr<HostedCall<Layer>> renew(Weights weights);

  // How many times renew has taken weights.
  std::int64_t folds() const;

 private:
  std::unique_ptr<HostedCall<Layer>> call(std::shared_ptr<HostedWeights<Layer>> weights) const;
  void check_count(Weights weights) const;

  const ConfigOf<Layer> config_;
  const RouteOf<Layer> route_;
  const std::vector<WeightInfo> infos_;
  const std::int64_t count_params_;
  const std::shared_ptr<ScoresPool<T>> pool_ = std::make_shared<ScoresPool<T>>();

  mutable std::mutex mutex_;  // guards what follows
  std::shared_ptr<HostedWeights<Layer>> latest_;
  std::int64_t folds_ = 0;
};

}  // namespace memattn
