// What a training step carries from forward to backward.
#pragma once

#include <cstdint>
#include <memory>

#include "memattn/export.h"

namespace memattn {

template <typename T>
class MemoryAugmentedAttention;

// Scores that a forward call keeps for the backward call of the same step, which then need not
// compute them again. Gradients are the same bits with and without it.
//
//   memattn::ScoresCache<float> kept;  // once
//   layer.forward(x, tokens, y, options, {}, &kept);
//   layer.backward(x, grad_y, tokens, grad_x, grad, options, &kept);
//
// Owns its memory, batch * steps * num_heads * memory_size values with the tokens rounded up to a
// multiple of 96 at most, and holds on to it from call to call. A call that would need more than
// `max_bytes` keeps nothing, and its backward computes the scores again. Used by one thread at a
// time; independent of the layer's life. A cache that was moved from may only be assigned to or
// destroyed.
template <typename T>
class MEMATTN_EXPORT ScoresCache {
 public:
  // 64 MiB: beyond that the scores come back from main memory.
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
