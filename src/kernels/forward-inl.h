// The forward pass over a range of tokens, tile by tile from x to y. Intermediate results stay in
// the nearest caches. Included once for each instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_FORWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_FORWARD_INL_H_
#undef MEMATTN_KERNELS_FORWARD_INL_H_
#else
#define MEMATTN_KERNELS_FORWARD_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/folded-inl.h"
#include "kernels/kernel_table.h"
#include "kernels/projected-inl.h"
#include "kernels/rows-inl.h"
#include "kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

// Sets y (rows, U) = x + bo, either of which may be missing. y may be x.
template <typename T>
void start_output(const AttentionWeights<const T>& w, const Call& call, std::int64_t rows,
                  std::int64_t units, const T* x, T* y) {
  for (std::int64_t i = 0; i < rows; ++i) {
    const T* row = x + i * units;
    T* out = y + i * units;
    if (!call.residual) {
      fill_rows(1, units, w.output_bias, out);
    } else if (w.output_bias) {
      for (std::int64_t u = 0; u < units; ++u) out[u] = row[u] + w.output_bias[u];
    } else {
      copy(units, row, out);
    }
  }
}

// Copies scores of heads h..h + heads - 1 from the tile to the caller's array. `mean` (S, stride)
// accumulates their sum over the groups of heads; lanes after the last token are undefined.
template <typename T>
void write_scores(const Call& call, const ForwardArrays<T>& arrays, std::int64_t h,
                  std::int64_t heads, const Tile<T>& tile, T* mean) {
  const std::int64_t S = tile.dims.memory_size, H = tile.dims.num_heads, stride = tile.stride;
  if (arrays.average_heads) {
    for (std::int64_t s = 0; s < S; ++s) {
      for (std::int64_t i = s * stride; i < s * stride + tile.width; ++i) {
        T sum = h == 0 ? T(0) : mean[i];
        for (std::int64_t head = 0; head < heads; ++head) sum += tile.p[head * S * stride + i];
        mean[i] = h + heads == H ? sum / static_cast<T>(H) : sum;
      }
    }
    if (h + heads == H) {
      transpose(S, tile.rows, mean, stride, arrays.scores + tile.first * S, S);
    }
    return;
  }
  for (std::int64_t row = 0; row < tile.rows;) {  // tokens of one sequence after another
    const std::int64_t b = (tile.first + row) / call.steps, t = (tile.first + row) % call.steps;
    const std::int64_t count = std::min(tile.rows - row, call.steps - t);
    for (std::int64_t i = 0; i < heads; ++i) {
      transpose(S, count, tile.p + i * S * stride + row, stride,
                arrays.scores + ((b * H + h + i) * call.steps + t) * S, S);
    }
    row += count;
  }
}

// With few tokens, a tile would consist mostly of empty lanes. Here the lanes are slots and units
// instead. Each element is the same chain of operations as in a tile, so results are equal to the
// bit. The bound was not measured.
inline constexpr std::int64_t kFewTokens = 3;

// Turns p (rows, slots) from logits to base 2 into P.
template <typename T>
void softmax_few(std::int64_t rows, std::int64_t slots, T* p) {
  for (std::int64_t i = 0; i < rows; ++i) {
    T* row = p + i * slots;
    T largest = row[0];
    for (std::int64_t s = 1; s < slots; ++s) largest = row[s] > largest ? row[s] : largest;
    for (std::int64_t s = 0; s < slots; ++s) row[s] -= largest;
  }
  exp2_array(p, p, rows * slots);
  for (std::int64_t i = 0; i < rows; ++i) {
    T* row = p + i * slots;
    T total = 0;
    for (std::int64_t s = 0; s < slots; ++s) total += row[s];
    const T inverse = T(1) / total;
    for (std::int64_t s = 0; s < slots; ++s) row[s] *= inverse;
  }
}

template <typename T>
void forward_few(const Prepared<T>& prepared, const WeightPointers<const T>& w, const Call& call,
                 const T* x, T* y, std::int64_t rows, T* p) {
  const std::int64_t U = prepared.dims.units, S = prepared.dims.memory_size;
  const std::int64_t H = prepared.dims.num_heads, HS = H * S;
  for (std::int64_t i = 0; i < rows; ++i) std::copy_n(prepared.c.data(), HS, p + i * HS);
  multiply<T>(Start::kAdd, rows, HS, U, {x, U, 1}, {prepared.a.data(), HS}, p, HS);
  softmax_few(rows * H, S, p);
  start_output(w, call, rows, U, x, y);
  multiply<T>(Start::kAdd, rows, U, HS, {p, HS, 1}, {prepared.b.data(), U}, y, U);
}

// Returns whether a range of this many tokens of a call is computed in that way.
template <typename T, class Fold>
bool goes_as_few(const Fold& prepared, const Call& call, const ForwardArrays<T>& arrays,
                 std::int64_t rows) {
  return rows <= kFewTokens && prepared.folded && !call.mask.any() && call.dropout.rate == 0 &&
         !arrays.scores && !arrays.kept;
}

inline std::int64_t few_workspace(const Dims& dims) {
  return kFewTokens * dims.num_heads * dims.memory_size;
}

// The buffers of a pass by one route, in one workspace.
template <typename T, typename Heads>
struct ForwardTile {
  ForwardTile(const Dims& dims, T* base)
      : carver(base),
        tile(dims, carver),
        heads(dims, carver),
        mean(carver.take(dims.memory_size * tile.stride)) {}

  Carver<T> carver;
  Tile<T> tile;
  Heads heads;
  T* mean;  // (S, stride): scores averaged over heads
};

template <typename T>
std::int64_t forward_workspace(const Dims& dims, bool folded) noexcept {
  const std::int64_t tiles = folded
                                 ? ForwardTile<T, FoldedHeads<T>>(dims, nullptr).carver.taken()
                                 : ForwardTile<T, ProjectedHeads<T>>(dims, nullptr).carver.taken();
  return std::max(tiles, few_workspace(dims));
}

// Fold is Prepared, or what else the Heads of a route read.
template <typename T, typename Heads, class Fold>
void forward_tiles(const Fold& prepared, const WeightPointers<const T>& w, const Call& call,
                   const ForwardArrays<T>& arrays, std::int64_t first, std::int64_t last,
                   T* workspace) {
  const std::int64_t U = prepared.dims.units, H = prepared.dims.num_heads;
  ForwardTile<T, Heads> buffers(prepared.dims, workspace);
  Tile<T>& tile = buffers.tile;
  Heads& route = buffers.heads;
  while (first < last) {
    const T* x = arrays.x + first * U;
    T* y = arrays.y + first * U;
    const std::int64_t rows = std::min(tile.stride, last - first);
    first += rows;
    if (goes_as_few(prepared, call, arrays, rows)) {
      forward_few(prepared, w, call, x, y, rows, workspace);
      continue;
    }
    tile.load(call, first - rows, rows);
    route.load(prepared, w, tile, x);
    start_output(w, call, rows, U, x, y);  // x is not needed from here on, as y may overwrite it
    for (std::int64_t h = 0; h < H; h += tile.group) {
      const std::int64_t heads = std::min(tile.group, H - h);
      tile.p = tile.place(arrays.kept, h);
      route.logits(prepared, tile, h, heads);
      tile.softmax_heads(call, heads);
      if (arrays.scores) write_scores(call, arrays, h, heads, tile, buffers.mean);
      route.read(prepared, tile, h, heads, tile.weights(call, h, heads), y);
    }
    route.finish(prepared, w, tile, y);
  }
}

template <typename T>
void forward(const Prepared<T>& prepared, const WeightPointers<const T>& w, const Call& call,
             const ForwardArrays<T>& arrays, std::int64_t first, std::int64_t last,
             T* workspace) noexcept {
  if (goes_as_few(prepared, call, arrays, last - first)) {  // without laying out a tile
    const std::int64_t at = first * prepared.dims.units;
    forward_few(prepared, w, call, arrays.x + at, arrays.y + at, last - first, workspace);
  } else if (prepared.folded) {
    forward_tiles<T, FoldedHeads<T>>(prepared, w, call, arrays, first, last, workspace);
  } else {
    forward_tiles<T, ProjectedHeads<T>>(prepared, w, call, arrays, first, last, workspace);
  }
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_FORWARD_INL_H_
