// The split of a call: tiles of tokens, groups of heads, and the cost of a piece. It depends only
// on sizes, and results do not depend on it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/shape.h"

namespace memattn::kernels {

// The maximum of tile_tokens().
inline constexpr std::int64_t kLargestTile = 96;

// The most lanes of a tile: if heads lie side by side, a token has as many lanes as there are
// heads.
inline constexpr std::int64_t kLargestLanes = 384;

// Returns the tokens that a kernel takes from x to y at a time. Their data beside the weights stays
// in L2, and the more tokens there are, the less often all weights are read again: 48 suffice while
// the weights fit in L1 and L2. The widest block of products of every instruction set, three
// vectors of tokens, fits evenly. The point of the change was not measured.
inline std::int64_t tile_tokens(const Dims& dims) noexcept {
  constexpr std::int64_t kWeights = 1 << 15;
  return dims.units * dims.memory_size * dims.num_heads > kWeights ? kLargestTile : 48;
}

// Returns the heads whose logits are computed together: as many as keep a tile of them in the
// nearest cache. Not measured.
inline std::int64_t group_heads(const Dims& dims) noexcept {
  constexpr std::int64_t kGroupSlots = 128;
  return std::max<std::int64_t>(1, std::min(dims.num_heads, kGroupSlots / dims.memory_size));
}

// Returns the number of scores that forward keeps for backward: tile after tile, each as it is
// computed, (H, S, tile_tokens).
inline std::int64_t kept_size(const Dims& dims, std::int64_t tokens) noexcept {
  const std::int64_t tile = tile_tokens(dims);
  return (tokens + tile - 1) / tile * tile * dims.num_heads * dims.memory_size;
}

// Returns the operations, two per multiply-add, of a forward pass over the tokens on the folded
// route.
inline double forward_operations(const Dims& dims, std::int64_t tokens) noexcept {
  return 4.0 * static_cast<double>(tokens) * static_cast<double>(dims.units) *
         static_cast<double>(dims.num_heads) * static_cast<double>(dims.memory_size);
}

// The work of about 5 µs. Below it, handing work to another thread, or releasing and reacquiring
// Python's GIL, costs more than it saves. Not measured again.
inline constexpr std::int64_t kBriefOperations = 500'000;

}  // namespace memattn::kernels
