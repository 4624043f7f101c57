// Attention between two inputs in bfloat16. It computes the same as sequence-inl.h with queries,
// keys, scores, values and context rounded, and sums in float. Denses, the computation of key and
// value operands, softmax and biases are in float. Included once for each instruction set by
// simd.cc.
#if defined(MEMATTN_KERNELS_SEQUENCE_PAIRS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_SEQUENCE_PAIRS_INL_H_
#undef MEMATTN_KERNELS_SEQUENCE_PAIRS_INL_H_
#else
#define MEMATTN_KERNELS_SEQUENCE_PAIRS_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/bfloat16_forward-inl.h"
#include "kernels/pairs-inl.h"
#include "kernels/sequence-inl.h"
#include "kernels/sequence.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

// Fills prepared.pairs, whose buffers have their sizes.
template <class Sums>
void sequence_prepare_pairs(SequencePrepared<float>& prepared) noexcept {
  const WayWidths widths = prepared.widths();
  const std::int64_t H = prepared.dims.num_heads, U = prepared.dims.units;
  const std::int64_t G1 = widths.source1, I = widths.key, J = widths.value;
  SequencePreparedPairs& pairs = prepared.pairs;
  if (!pairs.query.empty()) {
    Sums::Rounding::columns(G1, H * I, prepared.query.data(), H * I, pairs.query.data(), H * I);
    for (std::int64_t h = 0; h < H; ++h) {
      pack_left(I, pairs_of(G1), pairs.query.data() + h * I, 1, H * I,
                pairs.query_packed.data() + h * I * pairs_of(G1));
    }
  }
  for (std::int64_t h = 0; !pairs.output.empty() && h < H; ++h) {
    Sums::Rounding::columns(J, U, prepared.output.data() + h * J * U, U,
                            pairs.output.data() + h * pairs_of(J) * U, U);
  }
}

// A head's key or value operand of sequence b in float, rows `stride` apart.
struct OperandRows {
  OperandRows(const SequencePrepared<float>& prepared, const SequenceOperands<float>& operands,
              const float* made, std::int64_t width, std::int64_t b, std::int64_t h) {
    const std::int64_t T2 = operands.steps2, H = prepared.dims.num_heads;
    const std::int64_t G2 = prepared.widths().source2;
    if (made) {
      data = made + b * T2 * H * width + h * width;
      stride = H * width;
    } else {
      data = (operands.source2 ? operands.source2 : operands.x2) + b * T2 * G2;
      stride = G2;
    }
  }
  const float* data;
  std::int64_t stride;
};

// Rounds the operands that sequence_sources computed for sequences first..last-1.
template <class Sums>
void sequence_round_sources(const SequencePrepared<float>& prepared,
                            const SequenceOperands<float>& operands,
                            const SequencePairOperands& rounded, std::int64_t first,
                            std::int64_t last) noexcept {
  const WayWidths widths = prepared.widths();
  const std::int64_t T2 = operands.steps2, I = widths.key, J = widths.value;
  const std::int64_t key_pairs = pairs_of(I), value_rows = pairs_of(T2);
  for (std::int64_t b = first; b < last; ++b) {
    for (std::int64_t h = 0; h < rounded.key_heads; ++h) {
      const OperandRows keys(prepared, operands, operands.keys, I, b, h);
      const std::int64_t at = b * rounded.key_heads + h;
      Sums::Rounding::rows(T2, I, keys.data, keys.stride, rounded.keys + at * T2 * key_pairs,
                           key_pairs);
      rounded.largest_spread[at] =
          measure_rows(T2, I, keys.data, keys.stride, kFromBase2<float>, rounded.spread + at * T2);
    }
    Pair* const values = rounded.values + b * rounded.value_heads * value_rows * J;
    for (std::int64_t h = 0; h < rounded.value_heads; ++h) {
      const OperandRows held(prepared, operands, operands.values, J, b, h);
      Sums::Rounding::columns(T2, J, held.data, held.stride, values + h * value_rows * J, J);
    }
    if (!rounded.finite) continue;
    rounded.finite[b] = all_finite(rounded.value_heads * value_rows * J, values) ? 1.0f : 0.0f;
  }
}

// Like SequenceHeads.
template <class Sums>
class SequencePairHeads {
 public:
  SequencePairHeads(const SequencePrepared<float>& prepared, const SequenceTiles& tiles,
                    std::int64_t steps2, Carver<float>& carver)
      : prepared_(prepared),
        widths_(prepared.widths()),
        lane_heads_(tiles.lane_heads),
        right_(prepared.way.logits == Way::Logits::kRight),
        plain_(prepared, tiles, steps2, carver),
        reads_({prepared.dims.units, steps2, 1, 0, 0}, tiles.stride, tiles.group, widths_.value,
               carver) {
    const std::int64_t stride = tiles.stride, I = widths_.key, G1 = widths_.source1;
    s1_rows_ = take_pairs(carver, lane_heads_ > 1 ? tiles.tokens * pairs_of(G1) : 0);
    s1_ = take_pairs(carver, lane_heads_ == 1 ? pairs_of(G1) * stride : 0);
    query_rows_ = carver.take(lane_heads_ > 1 ? I * stride : 0);
    query_floats_ = carver.take(right_ ? 0 : I * stride);
    queries_ = take_pairs(carver, right_ ? 0 : pairs_of(I) * stride);
    context_ = take_pairs(carver, tiles.group * pairs_of(widths_.value) * stride);
    sizes_ = carver.take(stride);
  }

  // Sets the operands of source 2. Call it first.
  void use(const SequencePairOperands& rounded) { rounded_ = &rounded; }

  void load(const SequenceWeights<const float>& w, const SequenceOperands<float>& operands,
            const Tile<float>& tile) {
    const std::int64_t G1 = widths_.source1, I = widths_.key, tokens = tile.rows / lane_heads_;
    operands_ = &operands;
    weights_ = &w;
    plain_.load_source1(w, operands, tile);
    if (lane_heads_ == 1) {
      plain_.transpose_source1(tile);
      Sums::Rounding::columns(G1, tile.width, plain_.source1_transposed(), tile.stride, s1_,
                              tile.stride);
      if (right_) measure(tile, G1, plain_.source1_transposed());
      return;
    }
    const float* const bias = data_or_null(prepared_.query_bias);
    const std::int64_t HI = lane_heads_ * I;
    Sums::Rounding::rows(tokens, G1, plain_.source1(), G1, s1_rows_, pairs_of(G1));
    if (bias) fill_rows(tokens, HI, bias, query_rows_);
    multiply_pairs<Sums>(bias ? Start::kAdd : Start::kZero, tokens, HI, pairs_of(G1),
                         {s1_rows_, pairs_of(G1), 1}, {prepared_.pairs.query.data(), HI},
                         query_rows_, HI);
    tile.transpose_tokens(query_rows_, I, query_floats_);
    round_queries(tile);
  }

  // Computes logits to base 2 of heads h..h + heads - 1 of the tile into p, (heads · T2, stride).
  void logits(const Call& call, const Tile<float>& tile, std::int64_t h, std::int64_t heads) {
    const std::int64_t I = widths_.key, G1 = widths_.source1, stride = tile.stride;
    const std::int64_t T2 = operands_->steps2, width = pairs_of(I);
    for (std::int64_t i = 0; i < heads; ++i) {
      if (!right_ && lane_heads_ == 1) {
        const float* const bias = data_or_null(prepared_.query_bias);
        multiply_pairs<Sums>(
            bias ? Start::kRowBias : Start::kZero, I, tile.width, pairs_of(G1),
            {prepared_.pairs.query_packed.data() + (h + i) * I * pairs_of(G1), 0, 0, pairs_of(G1)},
            {s1_, stride}, query_floats_, stride, bias ? bias + (h + i) * I : nullptr);
        round_queries(tile);
      }
      const Pair* const q = right_ ? s1_ : queries_;
      float* const p = tile.p + i * T2 * stride;
      bool any = false;
      Heads::for_each_sequence(call, tile,
                               [&](std::int64_t b, std::int64_t row, std::int64_t count) {
                                 const std::int64_t at = key_place(b, h + i);
                                 const float* const bias = key_bias(b, h + i);
                                 multiply_pairs<Sums>(bias ? Start::kRowBias : Start::kZero, T2,
                                                      Heads::lanes_from(tile, row, count), width,
                                                      {rounded_->keys + at * T2 * width, width, 1},
                                                      {q + row, stride}, p + row, stride, bias);
                                 any = any || is_far(largest_size_, rounded_->largest_spread[at]);
                               });
      if (any) take_exact(call, tile, h + i, p);
    }
  }

  // Adds the values that heads h..h + heads - 1 read with `weights` (heads · T2, stride) to y
  // (rows, U).
  void read(const Call& call, const Tile<float>& tile, std::int64_t h, std::int64_t heads,
            const float* weights, float* y) {
    const std::int64_t J = widths_.value, U = prepared_.dims.units;
    const std::int64_t tokens = tile.rows / lane_heads_, all = heads * lane_heads_;
    float* const context = plain_.context();
    if (plain_.narrow()) {  // too few values to fill the lanes: computes in float
      plain_.read_values(call, tile, h, heads, weights, y);
    } else {
      reads_.load(tile, heads, weights);
      for (std::int64_t i = 0; i < heads; ++i) {
        Heads::for_each_sequence(
            call, tile, [&](std::int64_t b, std::int64_t row, std::int64_t count) {
              const std::int64_t at = b * rounded_->value_heads + (h + i) % rounded_->value_heads;
              const bool finite =
                  plain_.finite() && (!rounded_->finite || rounded_->finite[b] != 0);
              const Right<Pair> held{rounded_->values + at * pairs_of(operands_->steps2) * J, J};
              reads_.read(tile, row, count, context ? Start::kZero : Start::kAdd, finite, i, 1, J,
                          held, nullptr, context ? context + (row * heads + i) * J : y + row * U,
                          context ? heads * J : U);
            });
      }
    }
    if (!context) return;
    const std::int64_t width = all * pairs_of(J);
    Sums::Rounding::rows(tokens * all, J, context, J, context_, pairs_of(J));
    multiply_pairs<Sums>(Start::kAdd, tokens, U, width, {context_, width, 1},
                         {prepared_.pairs.output.data() + h * pairs_of(J) * U, U}, y, U);
  }

 private:
  using Heads = SequenceHeads<float>;

  std::int64_t key_place(std::int64_t b, std::int64_t h) const {
    return b * rounded_->key_heads + h % rounded_->key_heads;
  }
  const float* key_bias(std::int64_t b, std::int64_t h) const {
    if (!operands_->key_bias) return nullptr;
    return operands_->key_bias + h * operands_->tokens2 + b * operands_->steps2;
  }

  // Computes the root of the mean square of each lane's query (rows, stride). Each lane is one
  // chain of sums, so the size of a query does not depend on the layout of tokens and heads.
  void measure(const Tile<float>& tile, std::int64_t rows, const float* query) {
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>()));
    std::int64_t j = 0;
    for (; j + 4 * lanes <= tile.width; j += 4 * lanes) measure_lanes<4>(tile, rows, query, j);
    for (; j < tile.width; j += lanes) measure_lanes<1>(tile, rows, query, j);
    largest_size_ = largest_or_nan(tile.rows, sizes_);
  }
  // The same for kVectors vectors from lane j on.
  template <int kVectors>
  void measure_lanes(const Tile<float>& tile, std::int64_t rows, const float* query,
                     std::int64_t j) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    hn::VFromD<decltype(d)> sums[kVectors];
    for (int v = 0; v < kVectors; ++v) sums[v] = hn::Zero(d);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (int v = 0; v < kVectors; ++v) {
        const auto value = hn::LoadU(d, query + i * tile.stride + j + v * lanes);
        sums[v] = hn::MulAdd(value, value, sums[v]);
      }
    }
    const auto scale = hn::Set(d, 1.0f / static_cast<float>(rows));
    for (int v = 0; v < kVectors; ++v) {
      hn::StoreU(hn::Sqrt(hn::Mul(sums[v], scale)), d, sizes_ + j + v * lanes);
    }
  }
  void round_queries(const Tile<float>& tile) {
    measure(tile, widths_.key, query_floats_);
    Sums::Rounding::columns(widths_.key, tile.width, query_floats_, tile.stride, queries_,
                            tile.stride);
  }

  // Replaces far logits of head h in p (T2, stride) by logits computed in float.
  void take_exact(const Call& call, const Tile<float>& tile, std::int64_t h, float* p) {
    const std::int64_t T2 = operands_->steps2;
    float* const exact = tile.dropped;  // which only training uses
    if (lane_heads_ > 1) plain_.load(*weights_, *operands_, tile);
    plain_.head_logits(call, tile, h, 0, exact);
    Heads::for_each_sequence(call, tile, [&](std::int64_t b, std::int64_t row, std::int64_t count) {
      take_far(T2, count, tile.stride, sizes_ + row, rounded_->spread + key_place(b, h) * T2,
               exact + row, p + row);
    });
  }

  const SequencePrepared<float>& prepared_;
  WayWidths widths_;
  std::int64_t lane_heads_;
  bool right_;
  const SequenceWeights<const float>* weights_ = nullptr;
  const SequenceOperands<float>* operands_ = nullptr;
  const SequencePairOperands* rounded_ = nullptr;
  float largest_size_ = 0;
  Heads plain_;
  PairReads<Sums> reads_;
  Pair* s1_rows_;        // (tokens, G1 / 2), if heads lie side by side
  Pair* s1_;             // (G1 / 2, stride), if heads go one after another
  float* query_rows_;    // (tokens, H, I), if heads lie side by side
  float* query_floats_;  // (I, stride): queries of the latest head
  Pair* queries_;        // (I / 2, stride): the same, rounded
  Pair* context_;        // (tokens, heads, J / 2)
  float* sizes_;         // (stride), sizes of the queries
};

template <class Sums>
std::int64_t sequence_pair_forward_workspace(const SequencePrepared<float>& prepared,
                                             const SequenceTiles& tiles,
                                             std::int64_t steps2) noexcept {
  using Buffers = SequenceForwardTile<float, SequencePairHeads<Sums>>;
  return Buffers(prepared, tiles, steps2, nullptr).carver.taken();
}

template <class Sums>
void sequence_pair_forward(const SequencePrepared<float>& prepared,
                           const SequenceWeights<const float>& w, const Call& call,
                           const SequenceOperands<float>& operands,
                           const SequencePairOperands& rounded,
                           const SequenceForwardArrays<float>& arrays, const SequenceTiles& tiles,
                           std::int64_t first, std::int64_t last, float* workspace) noexcept {
  SequenceForwardTile<float, SequencePairHeads<Sums>> buffers(prepared, tiles, operands.steps2,
                                                              workspace);
  buffers.heads.use(rounded);
  sequence_forward_tiles(prepared, w, call, operands, arrays, tiles, first, last, buffers);
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_SEQUENCE_PAIRS_INL_H_
