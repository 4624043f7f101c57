// Attention between two inputs: the operands from source 2, and the tiles of queries that read
// them. Included once for each instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_SEQUENCE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_SEQUENCE_INL_H_
#undef MEMATTN_KERNELS_SEQUENCE_INL_H_
#else
#define MEMATTN_KERNELS_SEQUENCE_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/forward-inl.h"
#include "kernels/product-inl.h"
#include "kernels/rows-inl.h"
#include "kernels/sequence.h"
#include "kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

// Computes out (rows, n) = bias + a (rows, k)·kernel (k, n); the bias may be null.
template <typename T>
void affine(std::int64_t rows, std::int64_t k, std::int64_t n, const T* a, const T* kernel,
            const T* bias, T* out) {
  if (bias) fill_rows(rows, n, bias, out);
  multiply<T>(bias ? Start::kAdd : Start::kZero, rows, n, k, {a, k, 1}, {kernel, n}, out, n);
}

template <typename T>
const T* data_or_null(const AlignedVector<T>& part) {
  return part.empty() ? nullptr : part.data();
}

// Computes the operands that the tiles read, for tokens first..last-1 of source 2.
template <typename T>
void sequence_sources(const SequencePrepared<T>& prepared, const SequenceWeights<const T>& w,
                      const SequenceOperands<T>& operands, std::int64_t first,
                      std::int64_t last) noexcept {
  const SequenceDims& dims = prepared.dims;
  const WayWidths widths = prepared.widths();
  const std::int64_t rows = last - first, H = dims.num_heads, F2 = dims.source2_units;
  const std::int64_t G2 = widths.source2, HI = H * widths.key, HJ = H * widths.value;
  const T* s2 = operands.x2 + first * F2;
  if (operands.source2) {
    T* const out = operands.source2 + first * dims.units;
    affine(rows, F2, dims.units, s2, w.source2_kernel, w.source2_bias, out);
    s2 = out;
  }
  const T* none = nullptr;
  if (operands.keys) {
    affine(rows, G2, HI, s2, prepared.key.data(), none, operands.keys + first * HI);
  }
  if (operands.key_bias) {
    T* const out = operands.key_bias_rows + first * H;
    affine(rows, G2, H, s2, prepared.key_bias.data(), none, out);
    transpose(rows, H, out, H, operands.key_bias + first, operands.tokens2);
  }
  if (operands.values) {
    affine(rows, G2, HJ, s2, prepared.value.data(), data_or_null(prepared.value_bias),
           operands.values + first * HJ);
  }
}

// The queries, logits and reads for the heads of a tile.
template <typename T>
class SequenceHeads {
 public:
  SequenceHeads(const SequencePrepared<T>& prepared, const SequenceTiles& tiles, std::int64_t,
                Carver<T>& carver)
      : prepared_(prepared), widths_(prepared.widths()), lane_heads_(tiles.lane_heads) {
    const Way& way = prepared.way;
    const auto take = [&](bool there, std::int64_t size) {
      return there ? carver.take(size) : nullptr;
    };
    const std::int64_t lanes = tiles.group * tiles.stride;
    s1_ = take(way.dense1, prepared.dims.units * tiles.tokens);
    s1_transposed_ = take(lane_heads_ == 1, widths_.source1 * tiles.stride);
    query_rows_ = take(lane_heads_ > 1, widths_.key * tiles.stride);
    queries_ = take(way.logits != Way::Logits::kRight, widths_.key * lanes);
    context_ = take(way.read != Way::Read::kValue, widths_.value * lanes);
    const auto vector = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
    const bool narrow = way.read != Way::Read::kValue && 2 * widths_.value <= vector;
    narrow_ = take(narrow, widths_.value * tiles.stride);
    row_sums_ =
        take(!prepared.output_bias.empty(), prepared.dims.num_heads / lane_heads_ * tiles.stride);
  }

  // Computes s1 of the tile's tokens, and their queries if the heads lie side by side.
  void load(const SequenceWeights<const T>& w, const SequenceOperands<T>& operands,
            const Tile<T>& tile) {
    load_source1(w, operands, tile);
    if (lane_heads_ == 1) {
      transpose_source1(tile);
    } else {
      affine(tile.rows / lane_heads_, widths_.source1, lane_heads_ * widths_.key, source1_,
             prepared_.query.data(), data_or_null(prepared_.query_bias), query_rows_);
      tile.transpose_tokens(query_rows_, widths_.key, queries_);
    }
  }
  void transpose_source1(const Tile<T>& tile) {
    tile.transpose_tokens(source1_, widths_.source1, s1_transposed_);
  }
  void load_source1(const SequenceWeights<const T>& w, const SequenceOperands<T>& operands,
                    const Tile<T>& tile) {
    const SequenceDims& dims = prepared_.dims;
    const std::int64_t first = tile.first / lane_heads_, tokens = tile.rows / lane_heads_;
    operands_ = &operands;
    if (!prepared_.way.dense1) {
      source1_ = operands.x1 + first * dims.source1_units;
    } else if (dims.one_source && operands.source2) {
      source1_ = operands.source2 + first * dims.units;
    } else {
      affine(tokens, dims.source1_units, dims.units, operands.x1 + first * dims.source1_units,
             w.source1_kernel, w.source1_bias, s1_);
      source1_ = s1_;
    }
  }

  // Computes logits to base 2 of heads h..h + heads - 1 of the tile into p, (heads · T2, stride).
  void logits(const Call& call, const Tile<T>& tile, std::int64_t h, std::int64_t heads) const {
    for (std::int64_t i = 0; i < heads; ++i) {
      head_logits(call, tile, h + i, i, tile.p + i * operands_->steps2 * tile.stride);
    }
  }
  // Computes the logits of head h into p (T2, stride); keeps its queries at index i.
  void head_logits(const Call& call, const Tile<T>& tile, std::int64_t h, std::int64_t i,
                   T* p) const {
    const std::int64_t I = widths_.key, G1 = widths_.source1, stride = tile.stride;
    const std::int64_t T2 = operands_->steps2;
    const T* q = queries_ ? queries_ : s1_transposed_;
    if (queries_ && lane_heads_ == 1) {
      T* const out = queries_ + i * I * stride;
      const T* bias = data_or_null(prepared_.query_bias);
      multiply<T>(bias ? Start::kRowBias : Start::kZero, I, tile.width, G1,
                  {prepared_.query_packed.data() + h * I * G1, 0, 0, G1}, {s1_transposed_, stride},
                  out, stride, bias ? bias + h * I : nullptr);
      q = out;
    }
    for_each_sequence(call, tile, [&](std::int64_t b, std::int64_t row, std::int64_t count) {
      const T* bias =
          operands_->key_bias ? operands_->key_bias + h * operands_->tokens2 + b * T2 : nullptr;
      const Rows keys = key_rows(b, h);
      multiply<T>(bias ? Start::kRowBias : Start::kZero, T2, lanes_from(tile, row, count), I,
                  {keys.data, keys.stride, 1}, {q + row, stride}, p + row, stride, bias);
    });
  }

  // Adds the values that heads h..h + heads - 1 read with `weights` (heads · T2, stride) to y
  // (rows, U).
  void read(const Call& call, const Tile<T>& tile, std::int64_t h, std::int64_t heads,
            const T* weights, T* y) {
    const std::int64_t J = widths_.value, U = prepared_.dims.units;
    const std::int64_t tokens = tile.rows / lane_heads_, all = heads * lane_heads_;
    read_values(call, tile, h, heads, weights, y);
    if (context_) {
      multiply<T>(Start::kAdd, tokens, U, all * J, {context_, all * J, 1},
                  {prepared_.output.data() + h * J * U, U}, y, U);
    }
    if (row_sums_ && call.dropout.rate > 0) {
      sum_rows(tile, h, heads, weights);
      if (h + heads < tile.dims.num_heads) return;
      // After all heads: otherwise the order of the sums would depend on the size of a group.
      const std::int64_t H = prepared_.dims.num_heads;
      multiply<T>(Start::kAdd, tokens, U, H, row_sums(tile, 0), {prepared_.output_bias.data(), U},
                  y, U);
    }
  }

  // Computes context() from the value operands, or adds to y if no output projection follows.
  void read_values(const Call& call, const Tile<T>& tile, std::int64_t h, std::int64_t heads,
                   const T* weights, T* y) {
    const std::int64_t T2 = operands_->steps2, J = widths_.value, U = prepared_.dims.units;
    const std::int64_t stride = tile.stride;
    // Narrow values would leave lanes empty, so tokens lie in the lanes.
    const bool narrow = narrow_ && (finite() || !tile.mask.any());
    for (std::int64_t i = 0; i < heads; ++i) {
      for_each_sequence(call, tile, [&](std::int64_t b, std::int64_t row, std::int64_t count) {
        const T* from = weights + i * T2 * stride + row;
        const Rows held = value_rows(b, h + i);
        if (narrow) {
          multiply<T>(Start::kZero, J, lanes_from(tile, row, count), T2,
                      {held.data, 1, held.stride}, {from, stride}, narrow_ + row, stride);
        } else if (context_) {
          tile.read(row, count, Start::kZero, finite(), T2, J, from,
                    Right<T>{held.data, held.stride}, context_ + (row * heads + i) * J, heads * J);
        } else {
          tile.read(row, count, Start::kAdd, finite(), T2, J, from,
                    Right<T>{held.data, held.stride}, y + row * U, U);
        }
      });
      if (narrow) transpose(J, tile.rows, narrow_, stride, context_ + i * J, heads * J);
    }
  }

  // Computes row_sums() of heads h..h + heads - 1 of the tile from weights (heads · T2, stride).
  void sum_rows(const Tile<T>& tile, std::int64_t h, std::int64_t heads, const T* weights) const {
    const std::int64_t T2 = operands_->steps2, stride = tile.stride;
    for (std::int64_t i = 0; i < heads; ++i) {
      T* const sums = row_sums_ + (h + i) * stride;
      std::fill_n(sums, tile.width, T(0));
      for (std::int64_t s = 0; s < T2; ++s) {
        const T* from = weights + (i * T2 + s) * stride;
        for (std::int64_t j = 0; j < tile.width; ++j) sums[j] += from[j];
      }
    }
  }
  // Returns the sums over T2 from head h on: element (token, head).
  Left<T> row_sums(const Tile<T>& tile, std::int64_t h) const {
    if (lane_heads_ == 1) return {row_sums_ + h * tile.stride, 1, tile.stride};
    return {row_sums_, lane_heads_, 1};
  }

  // Returns whether 0 times any value that is read is 0.
  bool finite() const { return operands_->finite && prepared_.finite; }
  const T* source1() const { return source1_; }  // (rows, G1)
  const T* source1_transposed() const { return s1_transposed_; }
  bool narrow() const { return narrow_ != nullptr; }
  // The queries (heads, I, stride) of the heads whose logits were computed last, to base 2; null
  // for s1 itself. For heads side by side they are also available as (tokens, heads, I).
  const T* queries() const { return queries_; }
  const T* query_rows() const { return query_rows_; }
  T* context() { return context_; }  // (tokens, heads, J), or null: read into y
  const T* context() const { return context_; }

  // s2 of sequence b (T2, G2), and its key and value operands of a head, rows `stride` apart.
  struct Rows {
    const T* data;
    std::int64_t stride;
  };
  Rows source2(std::int64_t b) const {
    const std::int64_t at = b * operands_->steps2 * widths_.source2;
    return {(operands_->source2 ? operands_->source2 : operands_->x2) + at, widths_.source2};
  }
  Rows key_rows(std::int64_t b, std::int64_t h) const {
    if (!operands_->keys) return source2(b);
    const std::int64_t I = widths_.key, HI = prepared_.dims.num_heads * I;
    return {operands_->keys + b * operands_->steps2 * HI + h * I, HI};
  }
  Rows value_rows(std::int64_t b, std::int64_t h) const {
    if (!operands_->values) return source2(b);
    const std::int64_t J = widths_.value, HJ = prepared_.dims.num_heads * J;
    return {operands_->values + b * operands_->steps2 * HJ + h * J, HJ};
  }

  // Calls body(sequence, row, count) for each sequence of a tile; its tokens are rows row..row +
  // count - 1.
  template <typename Body>
  static void for_each_sequence(const Call& call, const Tile<T>& tile, Body body) {
    for (std::int64_t row = 0; row < tile.rows;) {
      const std::int64_t b = (tile.first + row) / call.steps, t = (tile.first + row) % call.steps;
      const std::int64_t count = std::min(tile.rows - row, call.steps - t);
      body(b, row, count);
      row += count;
    }
  }

  // Returns how many lanes `count` tokens from `row` on take, including empty lanes after the last
  // one.
  static std::int64_t lanes_from(const Tile<T>& tile, std::int64_t row, std::int64_t count) {
    return row + count == tile.rows ? tile.width - row : count;
  }

 private:
  const SequencePrepared<T>& prepared_;
  WayWidths widths_;
  std::int64_t lane_heads_;
  const SequenceOperands<T>* operands_ = nullptr;
  const T* source1_ = nullptr;  // (tokens, G1)
  T* s1_;                       // (tokens, U), if the tile computes it itself
  T* s1_transposed_;            // (G1, stride), if heads go one after another
  T* query_rows_;               // (tokens, H, I), if heads lie side by side
  T* queries_;                  // (group, I, stride), or null: s1 itself
  T* context_;                  // (tokens, heads, J), or null: read into y
  T* narrow_;                   // (J, stride): context of a head if J leaves most lanes empty
  T* row_sums_;                 // (H, stride), or (stride) if heads lie side by side
};

// Copies scores of a tile whose heads lie side by side to the caller's array.
template <typename T>
void write_lane_scores(const Call& call, const SequenceForwardArrays<T>& arrays,
                       const Tile<T>& tile) {
  const std::int64_t T2 = tile.dims.memory_size, H = call.lane_heads, T1 = call.steps / H;
  const std::int64_t stride = tile.stride;
  for (std::int64_t row = 0; row < tile.rows; row += H) {
    const std::int64_t token = (tile.first + row) / H, b = token / T1, t = token % T1;
    const T* const p = tile.p + row;
    if (!arrays.average_heads) {
      transpose(T2, H, p, stride, arrays.scores + (b * H * T1 + t) * T2, T1 * T2);
      continue;
    }
    T* const to = arrays.scores + token * T2;
    for (std::int64_t s = 0; s < T2; ++s) {
      T sum = 0;
      for (std::int64_t h = 0; h < H; ++h) sum += p[s * stride + h];
      to[s] = sum / static_cast<T>(H);
    }
  }
}

// The initial value of an output: bo, plus e for a token that reads, since its scores sum to 1.
// Null stands for 0.
template <typename T>
struct OutputStart {
  // `line` has room for (U).
  OutputStart(const SequencePrepared<T>& prepared, const SequenceWeights<const T>& w,
              const Call& call, std::int64_t steps2, T* line)
      : units(prepared.dims.units), idle(w.output_bias), reading(w.output_bias) {
    if (steps2 == 0 || call.dropout.rate > 0 || prepared.output_bias_sum.empty()) return;
    fill_rows(1, units, idle, line);
    add_rows(1, units, prepared.output_bias_sum.data(), line);
    reading = line;
  }

  // Sets y (rows, U) to it, or adds it.
  void apply(const Call& call, const Tile<T>& tile, bool add, T* y) const {
    const bool all = tile.mask.all_active() || call.uniform_when_masked || reading == idle;
    const std::int64_t tokens = tile.rows / call.lane_heads;
    if (all && !add) {
      fill_rows(tokens, units, reading, y);
      return;
    }
    for (std::int64_t i = 0; i < tokens; ++i) {
      const T* const start = all || tile.mask.active(i * call.lane_heads) ? reading : idle;
      if (!add) {
        fill_rows(1, units, start, y + i * units);
      } else if (start) {
        add_rows(1, units, start, y + i * units);
      }
    }
  }

  std::int64_t units;
  const T* idle;
  const T* reading;
};

// Returns the sizes of a tile's parts: its slots are the steps of source 2, and heads that lie side
// by side count as one.
inline Dims tile_dims(const SequenceDims& dims, const SequenceTiles& tiles, std::int64_t steps2) {
  return {dims.units, steps2, dims.num_heads / tiles.lane_heads, dims.key_dim, dims.value_dim};
}

template <typename T, class Heads = SequenceHeads<T>>
struct SequenceForwardTile {
  SequenceForwardTile(const SequencePrepared<T>& prepared, const SequenceTiles& tiles,
                      std::int64_t steps2, T* base)
      : carver(base),
        tile(tile_dims(prepared.dims, tiles, steps2), tiles.stride, tiles.group, carver),
        heads(prepared, tiles, steps2, carver),
        mean(carver.take(steps2 * tiles.stride)),
        start(carver.take(prepared.dims.units)) {}

  Carver<T> carver;
  Tile<T> tile;
  Heads heads;
  T* mean;   // (T2, stride): scores averaged over heads
  T* start;  // (U), of OutputStart
};

template <typename T>
std::int64_t sequence_forward_workspace(const SequencePrepared<T>& prepared,
                                        const SequenceTiles& tiles, std::int64_t steps2) noexcept {
  return SequenceForwardTile<T>(prepared, tiles, steps2, nullptr).carver.taken();
}

// Computes tiles first..last-1 of a call, whose steps are T1, in the buffers of a tile and its
// heads.
template <typename T, class Heads>
void sequence_forward_tiles(const SequencePrepared<T>& prepared, const SequenceWeights<const T>& w,
                            const Call& token_call, const SequenceOperands<T>& operands,
                            const SequenceForwardArrays<T>& arrays, const SequenceTiles& tiles,
                            std::int64_t first, std::int64_t last,
                            SequenceForwardTile<T, Heads>& buffers) {
  const std::int64_t U = prepared.dims.units, lane_heads = tiles.lane_heads;
  const Call call = token_call.with_lane_heads(lane_heads);
  Tile<T>& tile = buffers.tile;
  Heads& route = buffers.heads;
  const OutputStart<T> start(prepared, w, call, operands.steps2, buffers.start);
  ForwardArrays<T> scores;
  scores.scores = arrays.scores;
  scores.average_heads = arrays.average_heads;
  for (std::int64_t i = first; i < last; ++i) {
    const SequenceTiles::Range range = tiles.range(i);
    T* const y = arrays.y + range.first * U;
    tile.load(call, range.first * lane_heads, range.count * lane_heads);
    route.load(w, operands, tile);
    start.apply(call, tile, arrays.add, y);
    for (std::int64_t h = 0; h < tile.dims.num_heads; h += tile.group) {
      const std::int64_t heads = std::min(tile.group, tile.dims.num_heads - h);
      tile.p = tile.scores;
      route.logits(call, tile, h, heads);
      tile.softmax_heads(call, heads);
      if (arrays.scores && lane_heads > 1) write_lane_scores(call, arrays, tile);
      if (arrays.scores && lane_heads == 1) {
        write_scores(call, scores, h, heads, tile, buffers.mean);
      }
      route.read(call, tile, h, heads, tile.weights(call, h, heads), y);
    }
  }
}

template <typename T>
void sequence_forward(const SequencePrepared<T>& prepared, const SequenceWeights<const T>& w,
                      const Call& call, const SequenceOperands<T>& operands,
                      const SequenceForwardArrays<T>& arrays, const SequenceTiles& tiles,
                      std::int64_t first, std::int64_t last, T* workspace) noexcept {
  SequenceForwardTile<T> buffers(prepared, tiles, operands.steps2, workspace);
  sequence_forward_tiles(prepared, w, call, operands, arrays, tiles, first, last, buffers);
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_SEQUENCE_INL_H_
