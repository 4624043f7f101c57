// The layer for a framework that owns the weights and hands in where they lie: keeps the fold of
// the latest weights, and makes it again when a value has changed and only then.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "memattn/memory_augmented_attention.h"

namespace memattn {

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

// The weights of one moment, folded: for one forward call and the backward call that belongs to it.
// Used by one thread at a time.
template <typename T>
class HostedCall {
 public:
  HostedCall(std::shared_ptr<const MemoryAugmentedAttention<T>> layer,
             std::shared_ptr<ScoresPool<T>> pool)
      : layer_(std::move(layer)), pool_(std::move(pool)) {}
  HostedCall(const HostedCall&) = delete;
  HostedCall& operator=(const HostedCall&) = delete;
  ~HostedCall();

  const MemoryAugmentedAttention<T>& layer() const { return *layer_; }

  // As the layer's forward and backward. With `keep` the scores are kept for backward.
  void forward(std::span<const T> x, Tokens tokens, std::span<T> y, const CallOptions& options,
               const ScoresOutput<T>& scores, bool keep);
  void backward(std::span<const T> x, std::span<const T> grad_y, Tokens tokens, std::span<T> grad_x,
                std::span<T> grad_parameters, const CallOptions& options) const;

 private:
  std::shared_ptr<const MemoryAugmentedAttention<T>> layer_;
  std::shared_ptr<ScoresPool<T>> pool_;
  std::unique_ptr<ScoresCache<T>> kept_;
};

// Thread-safe. Holds its lock for moments only, never while it compares values or folds.
//
// Values are compared, bit by bit, because nobody else can tell that they changed: PyTorch's
// version counters miss a write through .data, a NumPy view or shared memory. At the documented
// example's shape (docs/math.md) a comparison takes a sixth of the time of a fold.
template <typename T>
class HostedLayer {
 public:
  // Where the weights lie, in the order of weight_infos().
  using Weights = std::span<const T* const>;

  // Throws std::invalid_argument, naming the first invalid option.
  explicit HostedLayer(const MemoryAugmentedAttentionConfig& config);

  const MemoryAugmentedAttentionConfig& config() const { return config_; }
  std::int64_t count_params() const { return count_params_; }

  // The latest fold, if the weights have the values that it was made from; else null.
  // Throws std::invalid_argument when the number of weights is not that of weight_infos().
  std::unique_ptr<HostedCall<T>> current(Weights weights) const;

  // Folds the weights, which become the latest. A fold that no call holds is written over.
  std::unique_ptr<HostedCall<T>> renew(Weights weights);

  // How many times renew has folded.
  std::int64_t folds() const;

 private:
  std::unique_ptr<HostedCall<T>> call(std::shared_ptr<MemoryAugmentedAttention<T>> layer) const;
  void check_count(Weights weights) const;

  const MemoryAugmentedAttentionConfig config_;
  const std::vector<WeightInfo> infos_;
  const std::int64_t count_params_;
  const std::shared_ptr<ScoresPool<T>> pool_ = std::make_shared<ScoresPool<T>>();

  mutable std::mutex mutex_;  // guards what follows
  std::shared_ptr<MemoryAugmentedAttention<T>> latest_;
  std::int64_t folds_ = 0;
};

}  // namespace memattn
