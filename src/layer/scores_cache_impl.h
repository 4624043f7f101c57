// The implementation of ScoresCache, for the layer that fills it.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"
#include "memattn/memory_augmented_attention.h"
#include "memattn/scores_cache.h"

namespace memattn {

// Identifies the forward call that computed the scores.
struct KeptCall {
  Tokens tokens;
  std::int64_t first_step = 0;
  std::uint64_t fold = 0;  // Impl::fold_id of the layer, unique for each change of weights

  bool operator==(const KeptCall&) const = default;
};

template <typename T>
struct ScoresCache<T>::Impl {
  // Discards the old scores and returns room for `size` values, or null if that exceeds max_bytes.
  T* start(std::int64_t size);

  std::int64_t max_bytes = kMaxBytes;
  bool holds = false;
  KeptCall call;
  kernels::AlignedVector<T> values;
};

}  // namespace memattn
