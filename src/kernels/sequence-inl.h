// Attention between two inputs: what is made of source 2, and the tiles of queries that read it.
// Included once for each instruction set by simd.cc.
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

// out (rows, n) = bias + a (rows, k)·kernel (k, n); the bias may be null.
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

// What the tiles read of tokens first..last-1 of source 2.
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

// Queries, logits and what is read for the heads of a tile.
template <typename T>
class SequenceHeads {
 public:
  SequenceHeads(const SequencePrepared<T>& prepared, const SequenceTiles& tiles, Carver<T>& carver)
      : prepared_(prepared), widths_(prepared.widths()) {
    const Way& way = prepared.way;
    const std::int64_t stride = tiles.stride;
    const auto take = [&](bool there, std::int64_t size) {
      return there ? carver.take(size * stride) : nullptr;
    };
    s1_ = take(way.dense1, prepared.dims.units);
    s1_transposed_ = take(true, widths_.source1);
    queries_ = take(way.logits != Way::Logits::kRight, tiles.group * widths_.key);
    context_ = take(way.read != Way::Read::kValue, tiles.group * widths_.value);
    row_sums_ = take(!prepared.output_bias.empty(), tiles.group);
  }

  // s1 of the tile's tokens.
  void load(const SequenceWeights<const T>& w, const SequenceOperands<T>& operands,
            const Tile<T>& tile) {
    const SequenceDims& dims = prepared_.dims;
    operands_ = &operands;
    if (!prepared_.way.dense1) {
      source1_ = operands.x1 + tile.first * dims.source1_units;
    } else if (dims.one_source && operands.source2) {
      source1_ = operands.source2 + tile.first * dims.units;
    } else {
      affine(tile.rows, dims.source1_units, dims.units,
             operands.x1 + tile.first * dims.source1_units, w.source1_kernel, w.source1_bias, s1_);
      source1_ = s1_;
    }
    tile.transpose_tokens(source1_, widths_.source1, s1_transposed_);
  }

  // Logits to base 2 of heads h..h + heads - 1 into p, (heads · T2, stride).
  void logits(const Call& call, const Tile<T>& tile, std::int64_t h, std::int64_t heads) const {
    const std::int64_t I = widths_.key, G1 = widths_.source1, stride = tile.stride;
    const std::int64_t T2 = operands_->steps2;
    for (std::int64_t i = 0; i < heads; ++i) {
      const T* q = s1_transposed_;
      if (queries_) {
        T* const out = queries_ + i * I * stride;
        const T* bias = data_or_null(prepared_.query_bias);
        multiply<T>(bias ? Start::kRowBias : Start::kZero, I, tile.width, G1,
                    {prepared_.query_packed.data() + (h + i) * I * G1, 0, 0, G1},
                    {s1_transposed_, stride}, out, stride, bias ? bias + (h + i) * I : nullptr);
        q = out;
      }
      for_each_sequence(call, tile, [&](std::int64_t b, std::int64_t row, std::int64_t count) {
        // The lanes behind the last token go along.
        const std::int64_t lanes = row + count == tile.rows ? tile.width - row : count;
        const T* bias = operands_->key_bias
                            ? operands_->key_bias + (h + i) * operands_->tokens2 + b * T2
                            : nullptr;
        multiply<T>(bias ? Start::kRowBias : Start::kZero, T2, lanes, I, keys(b, h + i),
                    {q + row, stride}, tile.p + i * T2 * stride + row, stride, bias);
      });
    }
  }

  // y (rows, U) += what heads h..h + heads - 1 read with `weights` (heads · T2, stride).
  void read(const Call& call, const Tile<T>& tile, std::int64_t h, std::int64_t heads,
            const T* weights, T* y) {
    const std::int64_t J = widths_.value, U = prepared_.dims.units;
    read_values(call, tile, h, heads, weights, y);
    if (context_) {
      multiply<T>(Start::kAdd, tile.rows, U, heads * J, {context_, heads * J, 1},
                  {prepared_.output.data() + h * J * U, U}, y, U);
    }
    if (row_sums_ && call.dropout.rate > 0) {
      multiply<T>(Start::kAdd, tile.rows, U, heads,
                  {sum_rows(tile, heads, weights), 1, tile.stride},
                  {prepared_.output_bias.data() + h * U, U}, y, U);
    }
  }

  // context() = what they read of the value operands, or y += it where nothing follows.
  void read_values(const Call& call, const Tile<T>& tile, std::int64_t h, std::int64_t heads,
                   const T* weights, T* y) {
    const std::int64_t T2 = operands_->steps2, J = widths_.value, U = prepared_.dims.units;
    for (std::int64_t i = 0; i < heads; ++i) {
      for_each_sequence(call, tile, [&](std::int64_t b, std::int64_t row, std::int64_t count) {
        const T* from = weights + i * T2 * tile.stride + row;
        if (context_) {
          tile.read(row, count, Start::kZero, finite(), T2, J, from, values(b, h + i),
                    context_ + (row * heads + i) * J, heads * J);
        } else {
          tile.read(row, count, Start::kAdd, finite(), T2, J, from, values(b, h + i), y + row * U,
                    U);
        }
      });
    }
  }

  // The sums over T2 of weights (heads · T2, stride): (heads, stride).
  const T* sum_rows(const Tile<T>& tile, std::int64_t heads, const T* weights) const {
    const std::int64_t T2 = operands_->steps2, stride = tile.stride;
    for (std::int64_t i = 0; i < heads; ++i) {
      T* const sums = row_sums_ + i * stride;
      std::fill_n(sums, tile.width, T(0));
      for (std::int64_t s = 0; s < T2; ++s) {
        const T* from = weights + (i * T2 + s) * stride;
        for (std::int64_t j = 0; j < tile.width; ++j) sums[j] += from[j];
      }
    }
    return row_sums_;
  }

  // Whether 0 times whatever is read is 0.
  bool finite() const { return operands_->finite && prepared_.finite; }
  const T* source1() const { return source1_; }  // (rows, G1)
  // (heads, I, stride) of the heads whose logits were made last, to base 2; null: s1 itself.
  const T* queries() const { return queries_; }
  const T* context() const { return context_; }  // (rows, heads, J), or null: read into y

  // s2 of sequence b (T2, G2), and a head's key and value operands of it, rows `stride` apart.
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

  // body(sequence, row, count) for the sequences of a tile, whose tokens are rows row..row + count
  // - 1 of it.
  template <typename Body>
  static void for_each_sequence(const Call& call, const Tile<T>& tile, Body body) {
    for (std::int64_t row = 0; row < tile.rows;) {
      const std::int64_t b = (tile.first + row) / call.steps, t = (tile.first + row) % call.steps;
      const std::int64_t count = std::min(tile.rows - row, call.steps - t);
      body(b, row, count);
      row += count;
    }
  }

 private:
  Left<T> keys(std::int64_t b, std::int64_t h) const {
    const Rows rows = key_rows(b, h);
    return {rows.data, rows.stride, 1};
  }
  Right<T> values(std::int64_t b, std::int64_t h) const {
    const Rows rows = value_rows(b, h);
    return {rows.data, rows.stride};
  }

  const SequencePrepared<T>& prepared_;
  WayWidths widths_;
  const SequenceOperands<T>* operands_ = nullptr;
  const T* source1_ = nullptr;  // (rows, G1)
  T* s1_;                       // (rows, U), where the tile makes it itself
  T* s1_transposed_;            // (G1, stride)
  T* queries_;                  // (group, I, stride), or null: s1 itself
  T* context_;                  // (rows, heads, J), or null: read into y
  T* row_sums_;                 // (group, stride)
};

// The output before anything is read: bo, and e where a row of scores has the sum 1.
template <typename T>
void start_sequence_output(const SequencePrepared<T>& prepared, const SequenceWeights<const T>& w,
                           const Call& call, const Tile<T>& tile, bool add, T* y) {
  const std::int64_t U = prepared.dims.units;
  const bool reads = tile.dims.memory_size > 0 && call.dropout.rate == 0;
  const T* e = reads ? data_or_null(prepared.output_bias_sum) : nullptr;
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    T* const out = y + i * U;
    if (!add) fill_rows(1, U, w.output_bias, out);
    if (add && w.output_bias) add_rows(1, U, w.output_bias, out);
    if (e && (tile.mask.active(i) || call.uniform_when_masked)) add_rows(1, U, e, out);
  }
}

// The sizes of a tile's parts: its slots are the steps of source 2.
inline Dims tile_dims(const SequenceDims& dims, std::int64_t steps2) {
  return {dims.units, steps2, dims.num_heads, dims.key_dim, dims.value_dim};
}

template <typename T>
struct SequenceForwardTile {
  SequenceForwardTile(const SequencePrepared<T>& prepared, const SequenceTiles& tiles,
                      std::int64_t steps2, T* base)
      : carver(base),
        tile(tile_dims(prepared.dims, steps2), tiles.stride, tiles.group, carver),
        heads(prepared, tiles, carver),
        mean(carver.take(steps2 * tiles.stride)) {}

  Carver<T> carver;
  Tile<T> tile;
  SequenceHeads<T> heads;
  T* mean;  // (T2, stride): scores averaged over heads
};

template <typename T>
std::int64_t sequence_forward_workspace(const SequencePrepared<T>& prepared,
                                        const SequenceTiles& tiles, std::int64_t steps2) noexcept {
  return SequenceForwardTile<T>(prepared, tiles, steps2, nullptr).carver.taken();
}

// Tiles first..last-1 of a call. `steps` of the call are T1.
template <typename T>
void sequence_forward(const SequencePrepared<T>& prepared, const SequenceWeights<const T>& w,
                      const Call& call, const SequenceOperands<T>& operands,
                      const SequenceForwardArrays<T>& arrays, const SequenceTiles& tiles,
                      std::int64_t first, std::int64_t last, T* workspace) noexcept {
  const std::int64_t H = prepared.dims.num_heads, U = prepared.dims.units;
  SequenceForwardTile<T> buffers(prepared, tiles, operands.steps2, workspace);
  Tile<T>& tile = buffers.tile;
  SequenceHeads<T>& route = buffers.heads;
  ForwardArrays<T> scores;
  scores.scores = arrays.scores;
  scores.average_heads = arrays.average_heads;
  for (std::int64_t i = first; i < last; ++i) {
    const SequenceTiles::Range range = tiles.range(i);
    T* const y = arrays.y + range.first * U;
    tile.load(call, range.first, range.count);
    route.load(w, operands, tile);
    start_sequence_output(prepared, w, call, tile, arrays.add, y);
    for (std::int64_t h = 0; h < H; h += tile.group) {
      const std::int64_t heads = std::min(tile.group, H - h);
      tile.p = tile.scores;
      route.logits(call, tile, h, heads);
      tile.softmax_heads(call, heads);
      if (arrays.scores) write_scores(call, scores, h, heads, tile, buffers.mean);
      route.read(call, tile, h, heads, tile.weights(call, h, heads), y);
    }
  }
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_SEQUENCE_INL_H_
