// Scores that a forward call keeps for backward.
#pragma once

#include <cstdint>
#include <memory>

#include "memattn/export.h"

namespace memattn {

template <typename T>
class MemoryAugmentedAttention;

// Keeps the scores of a forward call, so that the backward call of the same step need not compute
// them again. Gradients are equal to the bit with and without it.
//
//   memattn::ScoresCache<float> kept;  // once
//   layer.forward(x, tokens, y, options, {}, &kept);
//   layer.backward(x, grad_y, tokens, grad_x, grad, options, &kept);
//
// Owns its memory, batch * steps * num_heads * memory_size values (tokens are rounded up to a
// multiple of at most 96), and reuses it in later calls. A call that needs more than `max_bytes`
// keeps nothing, and its backward computes the scores again. For one thread at a time; independent
// of the lifetime of layers. A moved-from cache may only be assigned to or destroyed.
template <typename T>
class MEMATTN_EXPORT ScoresCache {
 public:
  // 64 MiB: larger scores would be read back from main memory, which saves no time.
  static constexpr std::int64_t kMaxBytes = std::int64_t{64} << 20;

  explicit ScoresCache(std::int64_t max_bytes = kMaxBytes);
  ScoresCache(ScoresCache&&) noexcept;
  ScoresCache& operator=(ScoresCache&&) noexcept;
  ~ScoresCache();

  // Whether the latest forward call kept its scores.
  [[nodiscard]] bool holds_scores() const;

 private:
  friend class MemoryAugmentedAttention<T>;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

extern template class ScoresCache<float>;
extern template class ScoresCache<double>;

}  // namespace memattn
