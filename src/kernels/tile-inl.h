// A tile: a few tokens of a call, with the parts that both routes need: masks, scores, dropout, and
// reads of slots. Included once for each instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_TILE_INL_H_
#undef MEMATTN_KERNELS_TILE_INL_H_
#else
#define MEMATTN_KERNELS_TILE_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/call.h"
#include "kernels/carver.h"
#include "kernels/mask-inl.h"
#include "kernels/product-inl.h"
#include "kernels/softmax-inl.h"
#include "kernels/tiling.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

template <typename T>
struct Tile {
  Tile(const Dims& tile_dims, Carver<T>& carver)
      : Tile(tile_dims, tile_tokens(tile_dims), group_heads(tile_dims), carver) {}
  Tile(const Dims& tile_dims, std::int64_t lanes, std::int64_t heads, Carver<T>& carver)
      : dims(tile_dims),
        stride(lanes),
        group(heads),
        scores(carver.take(group * dims.memory_size * stride)),
        dropped(carver.take(group * dims.memory_size * stride)),
        mask(dims.memory_size, stride, carver) {}

  // Takes tokens first_token..first_token + count - 1 of a call.
  void load(const Call& call, std::int64_t first_token, std::int64_t count) {
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
    first = first_token;
    rows = count;
    width = (count + lanes - 1) / lanes * lanes;
    uniform_when_masked = call.uniform_when_masked;
    mask.load(call, first, rows, width);
  }

  // Returns where the scores of heads from h on are or will be; with `kept`, the place of this tile
  // in it.
  T* place(T* kept, std::int64_t h) const {
    const std::int64_t S = dims.memory_size;
    return kept ? kept + first * dims.num_heads * S + h * S * stride : scores;
  }

  // Transposes the tokens' rows a (rows, n) to out (n, stride); lanes after the last token become
  // 0.
  template <typename Value>
  void transpose_tokens(const Value* a, std::int64_t n, Value* out) const {
    transpose(rows, n, a, n, out, stride);
    for (std::int64_t j = 0; rows < width && j < n; ++j) {
      std::fill(out + j * stride + rows, out + j * stride + width, Value(0));
    }
  }

  // Turns p of this many heads from logits into P.
  void softmax_heads(const Call& call, std::int64_t heads) {
    const std::int64_t S = dims.memory_size;
    for (std::int64_t i = 0; i < heads; ++i) {
      softmax(S, width, stride, mask.keep(), p + i * S * stride);
    }
    if (mask.all_active() || !call.uniform_when_masked) return;
    for (std::int64_t row = 0; row < rows; ++row) {
      if (mask.active(row)) continue;
      for (std::int64_t s = 0; s < heads * S; ++s) p[s * stride + row] = T(1) / static_cast<T>(S);
    }
  }

  // Returns the weights of the reads of slots: P of heads h..h + heads - 1, after dropout.
  const T* weights(const Call& call, std::int64_t h, std::int64_t heads) {
    if (call.dropout.rate == 0) return p;
    dropout(call, h, heads, p, dropped);
    return dropped;
  }

  // Applies the dropout of heads h..h + heads - 1 to in, giving out, both (heads · S, stride).
  void dropout(const Call& call, std::int64_t h, std::int64_t heads, const T* in, T* out) {
    const std::int64_t S = dims.memory_size;
    const auto H = static_cast<std::uint64_t>(dims.num_heads);
    const std::uint64_t first_row =
        static_cast<std::uint64_t>(call.first_step) * static_cast<std::uint64_t>(call.lane_heads);
    for (std::int64_t i = 0; i < heads; ++i) {
      for (std::int64_t row = 0; row < rows;) {  // tokens of one sequence after another
        const std::int64_t b = (first + row) / call.steps, t = (first + row) % call.steps;
        const std::uint64_t sequence = call.dropout.sequence_key(call.first_sequence + b);
        const std::int64_t end = std::min(rows, row + call.steps - t);
        std::uint64_t score_row =
            (first_row + static_cast<std::uint64_t>(t)) * H + static_cast<std::uint64_t>(h + i);
        for (; row < end; ++row, score_row += H) {
          const std::uint64_t key = Dropout::row_key(sequence, score_row);
          const auto lane = static_cast<std::size_t>(row);
          key_low[lane] = static_cast<std::uint32_t>(key);
          key_high[lane] = static_cast<std::uint32_t>(key >> 32);
        }
      }
      // Lanes after the last token.
      std::fill(key_low.begin() + rows, key_low.begin() + width, 0u);
      std::fill(key_high.begin() + rows, key_high.begin() + width, 0u);
      apply_dropout(call.dropout, S, width, stride, key_low.data(), key_high.data(),
                    in + i * S * stride, out + i * S * stride);
    }
  }

  // Adds weights (slots, stride) of `slots` slots times their values (slots, n) to c (rows, n). A
  // slot that a token does not read is left out, even as 0 times NaN; with `finite` there is no
  // NaN.
  template <typename Stored>
  void read(bool finite, std::int64_t slots, std::int64_t n, const T* slot_weights,
            Right<Stored> held, T* c, std::int64_t ldc) const {
    read(0, rows, Start::kAdd, finite, slots, n, slot_weights, held, c, ldc);
  }
  // The same for `count` tokens from `row` on; slot_weights and c begin at the first of them.
  template <typename Stored>
  void read(std::int64_t row, std::int64_t count, Start start, bool finite, std::int64_t slots,
            std::int64_t n, const T* slot_weights, Right<Stored> held, T* c,
            std::int64_t ldc) const {
    read_if([&](std::int64_t i, std::int64_t s) { return mask.reads(i, s); }, row, count, start,
            finite, slots, n, slot_weights, held, c, ldc);
  }

  // The same with gradients of logits as the weights. A token that keeps no slot has none of them,
  // even if it reads every slot.
  template <typename Stored>
  void read_logits(bool finite, std::int64_t slots, std::int64_t n, const T* d_logits,
                   Right<Stored> held, T* c, std::int64_t ldc) const {
    read_logits(0, rows, Start::kAdd, finite, slots, n, d_logits, held, c, ldc);
  }
  template <typename Stored>
  void read_logits(std::int64_t row, std::int64_t count, Start start, bool finite,
                   std::int64_t slots, std::int64_t n, const T* d_logits, Right<Stored> held, T* c,
                   std::int64_t ldc) const {
    read_if([&](std::int64_t i, std::int64_t s) { return mask.keeps(i, s); }, row, count, start,
            finite, slots, n, d_logits, held, c, ldc);
  }

  // The reverse of read, from tokens to the slots that they read: adds weights (slots, stride) of
  // tokens row..row + count - 1 times their rows a (count, n) to c (slots, n). slot_weights and a
  // begin at the first of these tokens; with `finite` there is no NaN in a.
  void give(std::int64_t row, std::int64_t count, bool finite, std::int64_t slots, std::int64_t n,
            const T* slot_weights, const T* a, std::int64_t lda, T* c, std::int64_t ldc) const {
    if (finite || !mask.any()) {
      multiply<T>(Start::kAdd, slots, n, count, {slot_weights, stride, 1}, {a, lda}, c, ldc);
      return;
    }
    for (std::int64_t s = 0; s < slots; ++s) {
      for (std::int64_t i = 0; i < count; ++i) {
        if (!mask.reads(row + i, s % dims.memory_size)) continue;
        multiply<T>(Start::kAdd, 1, n, 1, {slot_weights + s * stride + i, 1, 1}, {a + i * lda, lda},
                    c + s * ldc, ldc);
      }
    }
  }

  // Reads only the pairs for which `takes(token, slot)` is true.
  template <typename Stored, typename Takes>
  void read_if(Takes takes, std::int64_t row, std::int64_t count, Start start, bool finite,
               std::int64_t slots, std::int64_t n, const T* slot_weights, Right<Stored> held, T* c,
               std::int64_t ldc) const {
    if (finite || !mask.any()) {
      multiply<T, T, Stored>(start, count, n, slots, {slot_weights, 1, stride}, held, c, ldc);
      return;
    }
    for (std::int64_t i = 0; start == Start::kZero && i < count; ++i) {
      std::fill_n(c + i * ldc, n, T(0));
    }
    for (std::int64_t s = 0; s < slots; ++s) {
      for (std::int64_t i = 0; i < count; ++i) {
        if (!takes(row + i, s % dims.memory_size)) continue;
        multiply<T, T, Stored>(Start::kAdd, 1, n, 1, {slot_weights + s * stride + i, 1, 1}, held,
                               c + i * ldc, ldc);
      }
      if (held.depth > 0) {
        ++held.first;
      } else {
        held.data += held.row_stride;
      }
    }
  }

  Dims dims;
  std::int64_t stride = 0;           // lanes of a row of the tile
  std::int64_t group = 0;            // heads whose scores fit into p together
  std::int64_t first = 0;            // the first token of the call, b * T + t
  std::int64_t rows = 0;             // tokens in the tile
  std::int64_t width = 0;            // lanes in use: rows, rounded up to vectors
  bool uniform_when_masked = false;  // of the call

  T* p = nullptr;  // (group, S, stride): `scores`, or where they are kept
  T* scores;       // (group, S, stride)
  T* dropped;      // (group, S, stride): P after dropout
  TileMask<T> mask;
  // (stride): the halves of the key of each row of scores, for dropout.
  std::array<std::uint32_t, kLargestLanes> key_low;
  std::array<std::uint32_t, kLargestLanes> key_high;
};

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_TILE_INL_H_
