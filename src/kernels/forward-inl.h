// The forward pass over a range of tokens: tile by tile from x to y, nothing in between leaves the
// nearest caches. Included once for each instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_FORWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_FORWARD_INL_H_
#undef MEMATTN_KERNELS_FORWARD_INL_H_
#else
#define MEMATTN_KERNELS_FORWARD_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

// y (rows, U) = x + bo, of which either may be missing. y may be x.
template <typename T>
void start_output(const WeightPointers<const T>& w, const Call& call, std::int64_t rows,
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

// Scores of heads h..h + heads - 1 from the tile to where the caller wants them.
template <typename T>
void write_scores(const Call& call, const ForwardArrays<T>& arrays, std::int64_t h,
                  std::int64_t heads, const Tile<T>& tile) {
  const std::int64_t S = tile.dims.memory_size, H = tile.dims.num_heads;
  if (arrays.average_heads) {
    for (std::int64_t i = 0; i < S * tile.stride; ++i) {
      T sum = h == 0 ? T(0) : tile.mean[i];
      for (std::int64_t head = 0; head < heads; ++head) sum += tile.p[head * S * tile.stride + i];
      tile.mean[i] = h + heads == H ? sum / static_cast<T>(H) : sum;
    }
    if (h + heads == H) {
      transpose(S, tile.rows, tile.mean, tile.stride, arrays.scores + tile.first * S, S);
    }
    return;
  }
  for (std::int64_t row = 0; row < tile.rows;) {  // tokens of one sequence after another
    const std::int64_t b = (tile.first + row) / call.steps, t = (tile.first + row) % call.steps;
    const std::int64_t count = std::min(tile.rows - row, call.steps - t);
    for (std::int64_t i = 0; i < heads; ++i) {
      transpose(S, count, tile.p + i * S * tile.stride + row, tile.stride,
                arrays.scores + ((b * H + h + i) * call.steps + t) * S, S);
    }
    row += count;
  }
}

// Few tokens: a tile would mostly be empty lanes. Here the lanes are slots and units instead, and
// each element is the same chain of operations as in a tile, so that the bits are the same too.
inline constexpr std::int64_t kFewTokens = 3;

template <typename T>
void forward_few(const Prepared<T>& prepared, const WeightPointers<const T>& w, const Call& call,
                 const T* x, T* y, std::int64_t rows, T* p) {
  const std::int64_t U = prepared.dims.units, S = prepared.dims.memory_size;
  const std::int64_t H = prepared.dims.num_heads, HS = H * S;
  for (std::int64_t i = 0; i < rows; ++i) std::copy_n(prepared.c.data(), HS, p + i * HS);
  multiply<T>(Start::kAdd, rows, HS, U, {x, U, 1}, {prepared.a.data(), HS}, p, HS);
  for (std::int64_t i = 0; i < rows * H; ++i) {
    T* row = p + i * S;
    T largest = row[0];
    for (std::int64_t s = 1; s < S; ++s) largest = row[s] > largest ? row[s] : largest;
    for (std::int64_t s = 0; s < S; ++s) row[s] -= largest;
  }
  exp2_array(p, p, rows * HS);
  for (std::int64_t i = 0; i < rows * H; ++i) {
    T* row = p + i * S;
    T total = 0;
    for (std::int64_t s = 0; s < S; ++s) total += row[s];
    const T inverse = T(1) / total;
    for (std::int64_t s = 0; s < S; ++s) row[s] *= inverse;
  }
  start_output(w, call, rows, U, x, y);
  multiply<T>(Start::kAdd, rows, U, HS, {p, HS, 1}, {prepared.b.data(), U}, y, U);
}

inline std::int64_t few_workspace(const Dims& dims) {
  return kFewTokens * dims.num_heads * dims.memory_size;
}

template <typename T>
std::int64_t forward_workspace(const Dims& dims, bool folded) {
  return std::max(Tile<T>(dims, folded, nullptr).carver.taken(), few_workspace(dims));
}

template <typename T>
void forward(const Prepared<T>& prepared, const WeightPointers<const T>& w, const Call& call,
             const ForwardArrays<T>& arrays, std::int64_t first, std::int64_t last,
             T* workspace) noexcept {
  const std::int64_t U = prepared.dims.units, S = prepared.dims.memory_size;
  const std::int64_t H = prepared.dims.num_heads, HDv = H * prepared.dims.value_dim;
  const bool plain = prepared.folded && !call.mask.any() && call.dropout.rate == 0 &&
                     !arrays.scores && !arrays.kept;
  Tile<T> tile(prepared.dims, prepared.folded, workspace);
  while (first < last) {
    const T* x = arrays.x + first * U;
    T* y = arrays.y + first * U;
    const std::int64_t rows = std::min(tile.stride, last - first);
    first += rows;
    if (plain && rows <= kFewTokens) {
      forward_few(prepared, w, call, x, y, rows, workspace);
      continue;
    }
    tile.load(call, first - rows, rows);
    tile.load_x(prepared, w, x);
    start_output(w, call, rows, U, x, y);  // from here x is not needed: y may have taken its place
    for (std::int64_t h = 0; h < H; h += tile.group) {
      const std::int64_t heads = std::min(tile.group, H - h);
      tile.p = tile.place(arrays.kept, h);
      tile.logits(prepared, h, heads);
      tile.softmax_heads(call, heads);
      if (arrays.scores) write_scores(call, arrays, h, heads, tile);
      const T* weights = tile.weights(call, h, heads);
      if (prepared.folded) {  // Z += Σ_h P_h·B_h
        tile.read(call, prepared.finite, heads * S, U, weights,
                  {prepared.b_packed.data() + h * S * U, 0, heads * S}, y, U);
      } else {
        tile.read_values(prepared, call, h, heads, weights);
      }
    }
    if (!prepared.folded) {  // Z += context·Wo
      multiply<T>(Start::kAdd, rows, U, HDv, {tile.context, HDv, 1}, {w.output_kernel, U}, y, U);
    }
  }
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_FORWARD_INL_H_
