// Tells whether a call is brief, for frameworks that release a lock during longer calls.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/tiling.h"
#include "layer/way_choice.h"
#include "layer/weights.h"
#include "memattn/config.h"
#include "memattn/cross_attention.h"

namespace memattn {

// Returns whether a forward call on this many tokens takes at most about 5 µs.
inline bool is_brief(const MemoryAugmentedAttentionConfig& config, std::int64_t tokens) {
  return kernels::forward_operations(dims_of(config), tokens) <=
         static_cast<double>(kernels::kBriefOperations);
}

// The same for the layers of two inputs, on routes that are already folded.
inline bool is_brief(const CrossAttentionConfig& config, SequenceRoute route, CrossTokens tokens) {
  const WayCost cost =
      cost_of(sequence_dims_of(config), way_of(route), tokens.steps1, tokens.steps2);
  return static_cast<double>(tokens.batch) * cost.element <=
         static_cast<double>(kernels::kBriefOperations);
}
inline bool is_brief(const HierarchicalAttentionConfig& config,
                     const std::array<SequenceRoute, 2>& routes, Tokens tokens) {
  const auto dims = sequence_dims_of(config);
  double element = 0;
  for (std::size_t side = 0; side < 2; ++side) {
    element += cost_of(dims[side], way_of(routes[side]), tokens.steps, tokens.steps).element;
  }
  return static_cast<double>(tokens.batch) * element <=
         static_cast<double>(kernels::kBriefOperations);
}

}  // namespace memattn
