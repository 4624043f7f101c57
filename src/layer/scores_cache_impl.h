// The implementation of ScoresCache, for the layer that fills it.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"
#include "memattn/memory_augmented_attention.h"
#include "memattn/scores_cache.h"

namespace memattn {

// Which forward call the scores are of.
struct KeptCall {
  Tokens tokens;
  std::int64_t first_step = 0;
  std::uint64_t fold = 0;  // Impl::fold_id of the layer: no two changes of weights share one

  bool operator==(const KeptCall&) const = default;
};

template <typename T>
struct ScoresCache<T>::Impl {
  // Room for `size` values, or null when that is more than max_bytes. What was held is held no
  // more.
  T* start(std::int64_t size);

  std::int64_t max_bytes = kMaxBytes;
  bool holds = false;
  KeptCall call;
  kernels::AlignedVector<T> values;
};

}  // namespace memattn
