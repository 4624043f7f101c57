// The backward pass of an attention between two inputs, sequence by sequence. Each formula of
// docs/siblings-math.md stands above its product. Included once for each instruction set by
// simd.cc.
#if defined(MEMATTN_KERNELS_SEQUENCE_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_SEQUENCE_BACKWARD_INL_H_
#undef MEMATTN_KERNELS_SEQUENCE_BACKWARD_INL_H_
#else
#define MEMATTN_KERNELS_SEQUENCE_BACKWARD_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/pack-inl.h"
#include "kernels/product-inl.h"
#include "kernels/rows-inl.h"
#include "kernels/scale.h"
#include "kernels/sequence-inl.h"
#include "kernels/sequence.h"
#include "kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

template <typename T>
void sequence_prepare_backward(const SequencePrepared<T>& prepared,
                               const SequenceWeights<const T>& w, T* base) noexcept {
  const SequenceDims& dims = prepared.dims;
  const WayWidths widths = prepared.widths();
  const SequenceBackwardWeights<T> weights(prepared, base);
  const std::int64_t U = dims.units, H = dims.num_heads;
  const auto turn = [](std::int64_t rows, std::int64_t n, const T* a, T* out) {
    if (out) transpose(rows, n, a, n, out, rows);
  };
  turn(widths.source1, H * widths.key, prepared.query.data(), weights.query);
  turn(widths.source2, H * widths.key, prepared.key.data(), weights.key);
  turn(widths.source2, H, prepared.key_bias.data(), weights.key_bias);
  turn(widths.source2, H * widths.value, prepared.value.data(), weights.value);
  turn(H * widths.value, U, prepared.output.data(), weights.output);
  turn(H, U, prepared.output_bias.data(), weights.output_bias);
  turn(dims.source1_units, U, w.source1_kernel, weights.dense1);
  turn(dims.source2_units, U, w.source2_kernel, weights.dense2);
  const auto from_base_2 = [](std::int64_t size, T* a) {
    for (std::int64_t i = 0; i < size; ++i) a[i] *= kFromBase2<T>;
  };
  if (weights.query) from_base_2(H * widths.key * widths.source1, weights.query);
  if (prepared.way.logits != Way::Logits::kRight) return;
  from_base_2(H * widths.key * widths.source2, weights.key);
  if (weights.key_bias) from_base_2(H * widths.source2, weights.key_bias);
}

// Copies a to out (rows, n), with zeros in the rows that `keeps(row)` does not keep.
template <typename T, typename Keeps>
void copy_rows_if(std::int64_t rows, std::int64_t n, const T* a, Keeps keeps, T* out) {
  for (std::int64_t i = 0; i < rows; ++i) {
    if (keeps(i)) {
      copy(n, a + i * n, out + i * n);
    } else {
      std::fill_n(out + i * n, n, T(0));
    }
  }
}

// The backward pass of some whole sequences, whose tiles run one after another.
template <typename T>
class SequenceBackward {
 public:
  SequenceBackward(const SequencePrepared<T>& prepared, const SequenceTiles& tiles,
                   std::int64_t steps2, T* base)
      : carver_(base),
        prepared_(prepared),
        widths_(prepared.widths()),
        lane_heads_(tiles.lane_heads),
        tile_(tile_dims(prepared.dims, tiles, steps2), tiles.stride, tiles.group, carver_),
        forward_(prepared, tiles, steps2, carver_),
        tokens2_(tiles.sequences_together() * steps2) {
    const SequenceDims& dims = prepared.dims;
    const Way& way = prepared.way;
    const std::int64_t stride = tiles.stride, tokens = tiles.tokens, H = dims.num_heads;
    const std::int64_t group_keys = tiles.group * widths_.key;
    const std::int64_t group_values = tiles.group * widths_.value;
    const auto take = [&](bool there, std::int64_t size) {
      return there ? carver_.take(size) : nullptr;
    };
    operands_ = SequenceOperands<T>::place(prepared, tiles.sequences_together(), steps2, carver_);
    x1_ = take(way.dense1, tokens * dims.source1_units);
    s1_ = take(true, tokens * widths_.source1);
    g_ = take(true, tokens * dims.units);
    g_transposed_ = take(lane_heads_ == 1, stride * dims.units);
    queries_ = take(way.logits != Way::Logits::kRight, stride * group_keys);
    d_queries_ = take(way.logits != Way::Logits::kRight, stride * group_keys);
    d_context_ = take(way.read != Way::Read::kValue, stride * group_values);
    d_context_transposed_ = take(way.read != Way::Read::kValue, stride * group_values);
    d_row_sums_ = take(!prepared.output_bias.empty(), stride);
    d_p_ = take(true, tiles.group * steps2 * stride);
    d_s1_ = take(true, tokens * widths_.source1);
    used_ = take(true, tokens2_);
    d_keys_ = take(way.logits != Way::Logits::kLeft, tokens2_ * H * widths_.key);
    d_key_bias_ = take(!prepared.key_bias.empty(), tokens2_ * H);
    d_values_ = take(way.read != Way::Read::kSource, tokens2_ * H * widths_.value);
    d_s2_ = take(true, tokens2_ * widths_.source2);
    s2_ = take(true, tokens2_ * widths_.source2);
    x2_ = take(way.dense2, tokens2_ * dims.source2_units);
  }

  std::int64_t workspace() const { return carver_.taken(); }

  // Runs tiles first..last-1, which are all tiles of the sequences of a group.
  void run(const SequenceWeights<const T>& w, const SequenceBackwardWeights<T>& weights,
           const Call& call, const SequenceOperands<T>& inputs,
           const SequenceBackwardArrays<T>& arrays, const SequenceSums<T>& sums,
           const SequenceTiles& tiles, std::int64_t first, std::int64_t last) {
    const std::int64_t T1 = call.steps, T2 = inputs.steps2;
    const SequenceTiles::Range begin = tiles.range(first), end = tiles.range(last - 1);
    sequence_ = begin.first / T1;
    const std::int64_t sequences = (end.first + end.count) / T1 - sequence_;
    rows2_ = sequences * T2;
    operands_.steps2 = T2;
    operands_.tokens2 = rows2_;
    operands_.x1 = inputs.x1 + begin.first * prepared_.dims.source1_units;
    operands_.x2 = inputs.x2 + sequence_ * T2 * prepared_.dims.source2_units;
    operands_.finite = inputs.finite;
    if (rows2_ > 0) sequence_sources(prepared_, w, operands_, 0, rows2_);
    const auto clear = [&](T* a, std::int64_t width) {
      if (a) std::fill_n(a, rows2_ * width, T(0));
    };
    const std::int64_t H = prepared_.dims.num_heads;
    clear(used_, 1);
    clear(d_keys_, H * widths_.key);
    clear(d_key_bias_, H);
    clear(d_values_, H * widths_.value);
    clear(d_s2_, widths_.source2);
    call_ = call.part(sequence_, sequences, T2).with_lane_heads(lane_heads_);
    for (std::int64_t i = first; i < last; ++i) {
      const SequenceTiles::Range range = tiles.range(i);
      run_tile(w, weights, arrays, sums, range.first - begin.first, range.count, range.first);
    }
    finish_sources(weights, arrays, sums);
  }

 private:
  using Heads = SequenceHeads<T>;
  using Rows = typename Heads::Rows;

  // Runs one tile. Token `token` of the call is token `first` of the group.
  void run_tile(const SequenceWeights<const T>& w, const SequenceBackwardWeights<T>& weights,
                const SequenceBackwardArrays<T>& arrays, const SequenceSums<T>& sums,
                std::int64_t first, std::int64_t tokens, std::int64_t token) {
    const SequenceDims& dims = prepared_.dims;
    const std::int64_t U = dims.units, H = tile_.dims.num_heads, G1 = widths_.source1;
    tile_.load(call_, first * lane_heads_, tokens * lane_heads_);
    forward_.load(w, operands_, tile_);
    note_used();
    const T* g = arrays.d_y + token * U;
    // Z = … + bo  =>  dbo = Σ G
    if (sums.output_bias0) add_rows(tokens, U, g, sums.output_bias0);
    // The values of a token that reads nothing must not reach a sum, not even as 0 times NaN.
    const auto reads = [&](std::int64_t i) { return active(i) || call_.uniform_when_masked; };
    copy_rows_if(tokens, U, g, reads, g_);
    copy_rows_if(tokens, G1, forward_.source1(), [&](std::int64_t i) { return active(i); }, s1_);
    if (g_transposed_) tile_.transpose_tokens(g_, U, g_transposed_);
    std::fill_n(d_s1_, tokens * G1, T(0));
    for (std::int64_t h = 0; h < H; h += tile_.group) {
      const std::int64_t heads = std::min(tile_.group, H - h);
      tile_.p = tile_.scores;
      forward_.logits(call_, tile_, h, heads);
      tile_.softmax_heads(call_, heads);
      read_backward(weights, sums, h, heads, tile_.weights(call_, h, heads));
      if (call_.dropout.rate > 0) tile_.dropout(call_, h, heads, d_p_, d_p_);
      for (std::int64_t i = 0; i < heads; ++i) {
        const std::int64_t at = i * operands_.steps2 * tile_.stride;
        softmax_backward(operands_.steps2, tile_.width, tile_.stride, tile_.mask.keep(),
                         tile_.p + at, d_p_ + at);
      }
      logits_backward(weights, sums, h, heads);
    }
    finish_tile(weights, arrays, sums, token);
  }

  // Returns whether token i of the tile keeps a step.
  bool active(std::int64_t i) const { return tile_.mask.active(i * lane_heads_); }

  // Notes the steps of source 2 that a token reads.
  void note_used() const {
    const std::int64_t T2 = operands_.steps2;
    Heads::for_each_sequence(call_, tile_, [&](std::int64_t b, std::int64_t row, std::int64_t n) {
      for (std::int64_t s = 0; s < T2; ++s) {
        bool used = used_[b * T2 + s] != 0;
        for (std::int64_t i = row; !used && i < row + n; ++i) used = tile_.mask.reads(i, s);
        used_[b * T2 + s] = used ? T(1) : T(0);
      }
    });
  }

  // Computes dP of heads h..h + heads - 1 from G, and the gradients of the values that they read.
  void read_backward(const SequenceBackwardWeights<T>& weights, const SequenceSums<T>& sums,
                     std::int64_t h, std::int64_t heads, const T* p) {
    const std::int64_t T2 = operands_.steps2, J = widths_.value, U = prepared_.dims.units;
    const std::int64_t stride = tile_.stride, rows = tile_.rows, HJ = prepared_.dims.num_heads * J;
    const std::int64_t tokens = rows / lane_heads_, all = heads * lane_heads_;
    const T* d_context = g_;
    std::int64_t d_context_stride = U;
    if (d_context_) {
      // Z = … + R_h·C_h  =>  dR_h = G·C_hᵀ;  dC_h = Σ R_hᵀ·G
      forward_.read_values(call_, tile_, h, heads, p, nullptr);
      multiply<T>(Start::kAdd, all * J, U, tokens, {forward_.context(), 1, all * J}, {g_, U},
                  sums.output + h * J * U, U);
      if (lane_heads_ > 1) {
        multiply<T>(Start::kZero, tokens, HJ, U, {g_, U, 1}, {weights.output, HJ}, d_context_, HJ);
        tile_.transpose_tokens(d_context_, J, d_context_transposed_);
      } else {
        multiply<T>(Start::kZero, heads * J, tile_.width, U,
                    {prepared_.output.data() + h * J * U, U, 1}, {g_transposed_, stride},
                    d_context_transposed_, stride);
        transpose(heads * J, rows, d_context_transposed_, stride, d_context_, heads * J);
      }
      d_context = d_context_;
      d_context_stride = heads * J;
    }
    if (sums.output_bias) {
      // Z = … + rowsum(P_h)·e_h  =>  de_h = Gᵀ·rowsum(P_h)
      forward_.sum_rows(tile_, h, heads, p);
      const Left<T> row_sums = forward_.row_sums(tile_, h);
      multiply<T>(Start::kAdd, all, U, tokens,
                  {row_sums.data, row_sums.k_stride, row_sums.row_stride}, {g_, U},
                  sums.output_bias + h * U, U);
    }
    for (std::int64_t i = 0; i < heads; ++i) {
      const T* from = d_context + (d_context_ ? i * J : 0);
      const T* turned = d_context_ ? d_context_transposed_ + i * J * stride : g_transposed_;
      Heads::for_each_sequence(call_, tile_, [&](std::int64_t b, std::int64_t row, std::int64_t n) {
        // R_h = P_h·v  =>  dP_h = dR_h·vᵀ;  dv = Σ P_hᵀ·dR_h
        const Rows values = forward_.value_rows(b, h + i);
        const std::int64_t lanes = Heads::lanes_from(tile_, row, n);
        multiply<T>(Start::kZero, T2, lanes, J, {values.data, values.stride, 1},
                    {turned + row, stride}, d_p_ + i * T2 * stride + row, stride);
        T* const d_values =
            d_values_ ? d_values_ + b * T2 * HJ + (h + i) * J : d_s2_ + b * T2 * widths_.source2;
        multiply<T>(Start::kAdd, T2, J, n, {p + i * T2 * stride + row, stride, 1},
                    {from + row * d_context_stride, d_context_stride}, d_values,
                    d_values_ ? HJ : widths_.source2);
      });
      // … and dP_h += G·e_hᵀ, which is the same for a whole row: the softmax cancels it, except
      // with dropout.
      if (sums.output_bias && call_.dropout.rate > 0) {
        if (lane_heads_ > 1) {
          multiply<T>(Start::kZero, tokens, lane_heads_, U, {g_, U, 1},
                      {weights.output_bias, lane_heads_}, d_row_sums_, lane_heads_);
          std::fill(d_row_sums_ + rows, d_row_sums_ + tile_.width, T(0));
        } else {
          multiply<T>(Start::kZero, 1, tile_.width, U,
                      {prepared_.output_bias.data() + (h + i) * U, U, 1}, {g_transposed_, stride},
                      d_row_sums_, stride);
        }
        for (std::int64_t s = 0; s < T2; ++s) {
          T* const d_p = d_p_ + (i * T2 + s) * stride;
          for (std::int64_t j = 0; j < tile_.width; ++j) d_p[j] += d_row_sums_[j];
        }
      }
    }
  }

  // Computes the gradients of the query and key operands from dL of heads h..h + heads - 1.
  void logits_backward(const SequenceBackwardWeights<T>& weights, const SequenceSums<T>& sums,
                       std::int64_t h, std::int64_t heads) {
    const std::int64_t T2 = operands_.steps2, I = widths_.key, G1 = widths_.source1;
    const std::int64_t stride = tile_.stride, rows = tile_.rows, H = prepared_.dims.num_heads;
    const std::int64_t HI = H * I, tokens = rows / lane_heads_, all = heads * lane_heads_;
    if (queries_) {
      const T* natural = forward_.query_rows();
      if (!natural) {
        transpose(heads * I, rows, forward_.queries(), stride, queries_, heads * I);
        natural = queries_;
      }
      for (std::int64_t i = 0; i < tokens; ++i) {
        const T* const from = natural + i * all * I;
        T* const row = queries_ + i * all * I;
        const T factor = active(i) ? kFromBase2<T> : T(0);
        for (std::int64_t j = 0; j < all * I; ++j) row[j] = factor == 0 ? T(0) : from[j] * factor;
      }
    }
    for (std::int64_t i = 0; i < heads; ++i) {
      Heads::for_each_sequence(call_, tile_, [&](std::int64_t b, std::int64_t row, std::int64_t n) {
        // L_h = q·kᵀ  =>  dk = Σ dL_hᵀ·q;  dq = dL_h·k
        const T* d_logits = d_p_ + i * T2 * stride + row;
        const T* q = queries_ ? queries_ + (row * heads + i) * I : s1_ + row * G1;
        T* const d_keys =
            d_keys_ ? d_keys_ + b * T2 * HI + (h + i) * I : d_s2_ + b * T2 * widths_.source2;
        multiply<T>(Start::kAdd, T2, I, n, {d_logits, stride, 1}, {q, queries_ ? heads * I : G1},
                    d_keys, d_keys_ ? HI : widths_.source2);
        const Rows keys = forward_.key_rows(b, h + i);
        const Right<T> held{keys.data, keys.stride};
        if (queries_) {
          tile_.read(row, n, Start::kZero, forward_.finite(), T2, I, d_logits, held,
                     d_queries_ + (row * heads + i) * I, heads * I);
        } else {
          tile_.read(row, n, Start::kAdd, forward_.finite(), T2, G1, d_logits, held,
                     d_s1_ + row * G1, G1);
        }
        for (std::int64_t s = 0; d_key_bias_ && s < T2; ++s) {
          d_key_bias_[(b * T2 + s) * H + h + i] += sum(n, d_logits + s * stride);
        }
      });
    }
    if (!queries_) return;
    // q_h = s1·A_h + a_h  =>  dA_h = Σ s1ᵀ·dq;  da_h = Σ dq;  ds1 += dq·A_hᵀ
    multiply<T>(Start::kAdd, G1, all * I, tokens, {s1_, 1, G1}, {d_queries_, all * I},
                sums.query + h * I, HI);
    if (sums.query_bias) add_rows(tokens, all * I, d_queries_, sums.query_bias + h * I);
    multiply<T>(Start::kAdd, tokens, G1, all * I, {d_queries_, all * I, 1},
                {weights.query + h * I * G1, G1}, d_s1_, G1);
  }

  // Computes the gradients of source 1 and its Dense from ds1 of a tile.
  void finish_tile(const SequenceBackwardWeights<T>& weights,
                   const SequenceBackwardArrays<T>& arrays, const SequenceSums<T>& sums,
                   std::int64_t token) {
    const SequenceDims& dims = prepared_.dims;
    const std::int64_t rows = tile_.rows / lane_heads_, F1 = dims.source1_units, U = dims.units;
    // Keys to base 2 gave ds1 the factor log2(e).
    for (std::int64_t i = 0; !queries_ && i < rows * widths_.source1; ++i) {
      d_s1_[i] *= kFromBase2<T>;
    }
    T* const d_x1 = arrays.d_x1 ? arrays.d_x1 + token * F1 : nullptr;
    if (d_x1 && !arrays.add) std::fill_n(d_x1, rows * F1, T(0));
    if (!prepared_.way.dense1) {
      if (d_x1) add_to(rows * F1, d_s1_, d_x1);
      return;
    }
    // s1 = X1·W1 + b1  =>  dW1 = Σ X1ᵀ·ds1;  db1 = Σ ds1;  dX1 = ds1·W1ᵀ
    copy_rows_if(
        rows, F1, operands_.x1 + tile_.first / lane_heads_ * F1,
        [&](std::int64_t i) { return active(i); }, x1_);
    multiply<T>(Start::kAdd, F1, U, rows, {x1_, 1, F1}, {d_s1_, U}, sums.dense1, U);
    if (sums.dense1_bias) add_rows(rows, U, d_s1_, sums.dense1_bias);
    if (d_x1) {
      multiply<T>(Start::kAdd, rows, F1, U, {d_s1_, U, 1}, {weights.dense1, F1}, d_x1, F1);
    }
  }

  // Computes the gradients of source 2, and of the weights behind its operands, from the gradients
  // of the operands of the group's sequences.
  void finish_sources(const SequenceBackwardWeights<T>& weights,
                      const SequenceBackwardArrays<T>& arrays, const SequenceSums<T>& sums) {
    const SequenceDims& dims = prepared_.dims;
    const std::int64_t H = dims.num_heads, U = dims.units, F2 = dims.source2_units;
    const std::int64_t G2 = widths_.source2, T2 = operands_.steps2;
    const auto used = [&](std::int64_t i) { return used_[i] != 0; };
    copy_rows_if(rows2_, G2, forward_.source2(0).data, used, s2_);
    // k_h = s2·K_h  =>  dK_h = Σ s2ᵀ·dk;  ds2 += dk·K_hᵀ; the same for key biases and values
    const auto finish = [&](std::int64_t width, const T* d_operand, const T* transposed,
                            T* d_kernel) {
      if (!d_operand) return;
      multiply<T>(Start::kAdd, G2, width, rows2_, {s2_, 1, G2}, {d_operand, width}, d_kernel,
                  width);
      multiply<T>(Start::kAdd, rows2_, G2, width, {d_operand, width, 1}, {transposed, G2}, d_s2_,
                  G2);
    };
    finish(H * widths_.key, d_keys_, weights.key, sums.key);
    finish(H, d_key_bias_, weights.key_bias, sums.key_bias);
    finish(H * widths_.value, d_values_, weights.value, sums.value);
    if (sums.value_bias) add_rows(rows2_, H * widths_.value, d_values_, sums.value_bias);

    const bool one = dims.one_source;
    T* const d_x = one ? arrays.d_x1 : arrays.d_x2;
    T* const d_x2 = d_x ? d_x + sequence_ * T2 * F2 : nullptr;
    if (d_x2 && !arrays.add && !one) std::fill_n(d_x2, rows2_ * F2, T(0));
    if (!prepared_.way.dense2) {
      if (d_x2) add_to(rows2_ * F2, d_s2_, d_x2);
      return;
    }
    copy_rows_if(rows2_, F2, operands_.x2, used, x2_);
    multiply<T>(Start::kAdd, F2, U, rows2_, {x2_, 1, F2}, {d_s2_, U}, sums.dense2, U);
    if (sums.dense2_bias) add_rows(rows2_, U, d_s2_, sums.dense2_bias);
    if (d_x2) {
      multiply<T>(Start::kAdd, rows2_, F2, U, {d_s2_, U, 1}, {weights.dense2, F2}, d_x2, F2);
    }
  }

  static void add_to(std::int64_t size, const T* a, T* out) {
    for (std::int64_t i = 0; i < size; ++i) out[i] += a[i];
  }

  Carver<T> carver_;
  const SequencePrepared<T>& prepared_;
  WayWidths widths_;
  std::int64_t lane_heads_;
  Tile<T> tile_;
  SequenceHeads<T> forward_;
  std::int64_t tokens2_;          // tokens of source 2 in the largest group
  SequenceOperands<T> operands_;  // the operands of the group, counted from its first sequence
  Call call_;                     // the call for the group, likewise
  std::int64_t sequence_ = 0;     // the group's first sequence
  std::int64_t rows2_ = 0;        // the group's tokens of source 2
  T* x1_;                         // (rows, F1), with zeros for tokens that read nothing
  T* s1_;                         // (rows, G1), likewise
  T* g_;                          // (rows, U), likewise
  T* g_transposed_;               // (U, stride)
  T* queries_;                    // (rows, heads, I), natural
  T* d_queries_;                  // (rows, heads, I)
  T* d_context_;                  // (rows, heads, J)
  T* d_context_transposed_;       // (heads, J, stride)
  T* d_row_sums_;                 // (stride)
  T* d_p_;                        // (group, T2, stride)
  T* d_s1_;                       // (rows, G1)
  T* used_;                       // (tokens2): 0 where no token reads the step
  T* d_keys_;                     // (tokens2, H, I), natural
  T* d_key_bias_;                 // (tokens2, H)
  T* d_values_;                   // (tokens2, H, J)
  T* d_s2_;                       // (tokens2, G2)
  T* s2_;                         // (tokens2, G2), with zeros for steps that no token reads
  T* x2_;                         // (tokens2, F2), likewise
};

template <typename T>
std::int64_t sequence_backward_workspace(const SequencePrepared<T>& prepared,
                                         const SequenceTiles& tiles, std::int64_t steps2) noexcept {
  return SequenceBackward<T>(prepared, tiles, steps2, nullptr).workspace();
}

// For all tiles of some sequences, adds to their sums and writes their gradients of the inputs.
template <typename T>
void sequence_backward(const SequencePrepared<T>& prepared, const SequenceWeights<const T>& w,
                       const T* weights, const Call& call, const SequenceOperands<T>& inputs,
                       const SequenceBackwardArrays<T>& arrays, const SequenceTiles& tiles, T* sums,
                       T* workspace) noexcept {
  // Pointers to weights are writable for the code that creates them; here they are only read.
  const SequenceBackwardWeights<T> views(prepared, const_cast<T*>(weights));
  const SequenceSums<T> totals(prepared, sums);
  SequenceBackward<T> backward(prepared, tiles, inputs.steps2, workspace);
  const std::int64_t together = tiles.tiles_together();
  for (std::int64_t i = 0; i < tiles.count; i += together) {
    backward.run(w, views, call, inputs, arrays, totals, tiles, i,
                 std::min(tiles.count, i + together));
  }
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_SEQUENCE_BACKWARD_INL_H_
