// How the work of a call is split: tiles of tokens, groups of heads, and the cost of a piece. It
// depends only on sizes, and results do not depend on it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/shape.h"

namespace memattn::kernels {

// The most tokens that tile_tokens() gives.
inline constexpr std::int64_t kLargestTile = 96;

// The most lanes of a tile: where heads lie side by side, a token has as many as there are heads.
inline constexpr std::int64_t kLargestLanes = 384;

// Tokens that a kernel takes from x to y at a time. What they need beside the weights stays in L2,
// and the more they are, the fewer times all weights come by: 48 suffice while those lie in L1 and
// L2. Every instruction set's widest block of products, three vectors of tokens, fits in evenly.
// Where the change pays was not measured.
inline std::int64_t tile_tokens(const Dims& dims) noexcept {
  constexpr std::int64_t kWeights = 1 << 15;
  return dims.units * dims.memory_size * dims.num_heads > kWeights ? kLargestTile : 48;
}

// Heads whose logits are computed together: as many as keep a tile of them in the nearest cache.
// Not measured.
inline std::int64_t group_heads(const Dims& dims) noexcept {
  constexpr std::int64_t kGroupSlots = 128;
  return std::max<std::int64_t>(1, std::min(dims.num_heads, kGroupSlots / dims.memory_size));
}

// Values of the scores that forward keeps for backward: tile after tile, each as it is computed,
// (H, S, tile_tokens).
inline std::int64_t kept_size(const Dims& dims, std::int64_t tokens) noexcept {
  const std::int64_t tile = tile_tokens(dims);
  return (tokens + tile - 1) / tile * tile * dims.num_heads * dims.memory_size;
}

// Operations, two for a multiply-add, of a forward pass over so many tokens on the folded route.
inline double forward_operations(const Dims& dims, std::int64_t tokens) noexcept {
  return 4.0 * static_cast<double>(tokens) * static_cast<double>(dims.units) *
         static_cast<double>(dims.num_heads) * static_cast<double>(dims.memory_size);
}

// Work of about 5 µs. Below it, handing work to another thread, or giving Python's GIL up and
// getting it back, costs more than it saves. Not measured anew.
inline constexpr std::int64_t kBriefOperations = 500'000;

}  // namespace memattn::kernels
