// What hosts ask before they give up a lock for the time of a call.
#pragma once

#include <cstdint>

#include "kernels/tiling.h"
#include "layer/weights.h"
#include "memattn/config.h"

namespace memattn {

// Whether a forward call of so many tokens is done in about 5 µs.
inline bool is_brief(const MemoryAugmentedAttentionConfig& config, std::int64_t tokens) {
  return kernels::forward_operations(dims_of(config), tokens) <=
         static_cast<double>(kernels::kBriefOperations);
}

}  // namespace memattn
