// The options of a call: masks and dropout. Plain data, checked by src/layer.
#pragma once

#include <cstdint>

#include "kernels/random.h"
#include "kernels/shape.h"

namespace memattn::kernels {

// Selects the slots that a token reads; null pointers mask nothing. All parts are ANDed.
struct Mask {
  const std::uint8_t* attention = nullptr;  // broadcast to (B, T, S) by strides, 0 where it repeats
  std::int64_t attention_stride_batch = 0;
  std::int64_t attention_stride_step = 0;
  std::int64_t attention_stride_slot = 0;
  const std::uint8_t* query = nullptr;  // (B, T)
  const std::uint8_t* value = nullptr;  // (B, S)
  bool causal = false;

  bool any() const noexcept { return attention || query || value || causal; }
};

// Inverted dropout on the scores. Each decision depends only on seed, step, head, slot and the
// token's position in the whole input.
struct Dropout {
  double rate = 0;  // 0: off
  std::uint64_t seed = 0;
  std::uint64_t step = 0;

  // The keys of the call, of a sequence, and of a row of its scores, `row` = t * H + h, which may
  // wrap around. Sequence and t are positions in the whole input, of which the call may be a part.
  std::uint64_t call_key() const noexcept { return mix(seed, step); }
  std::uint64_t sequence_key(std::int64_t sequence) const noexcept {
    return mix(call_key(), static_cast<std::uint64_t>(sequence));
  }
  static std::uint64_t row_key(std::uint64_t key, std::uint64_t row) noexcept {
    return mix(key, row);
  }
  // A slot is dropped when its 32 random bits fall below rate * 2^32.
  std::uint32_t threshold() const noexcept { return static_cast<std::uint32_t>(rate * 0x1p32); }
  static bool keeps(std::uint64_t row_key, std::int64_t slot, std::uint32_t threshold) noexcept {
    return mix32(row_key, static_cast<std::uint32_t>(slot)) >= threshold;
  }
  double scale() const noexcept { return 1.0 / (1.0 - rate); }
};

struct Call {
  std::int64_t batch = 0;           // B
  std::int64_t steps = 0;           // T
  std::int64_t first_step = 0;      // position of the call's first step in its sequences
  std::int64_t first_sequence = 0;  // position of the call's first sequence in the batch
  std::int64_t lane_heads = 1;      // heads treated as steps: see with_lane_heads()
  Mask mask;
  Dropout dropout;
  bool residual = true;
  bool uniform_when_masked =
      false;  // true: a fully masked row reads 1/S of each slot; else nothing

  // Returns the call for sequences first..first + count - 1 of this call.
  Call part(std::int64_t first, std::int64_t count, std::int64_t slots) const noexcept {
    Call call = *this;
    call.batch = count;
    call.first_sequence += first;
    if (mask.attention) call.mask.attention += first * mask.attention_stride_batch;
    if (mask.query) call.mask.query += first * steps;
    if (mask.value) call.mask.value += first * slots;
    return call;
  }

  // Returns a call whose steps are (t, h): each reads as head 0 the slots that head h of step t
  // reads in this call. For tiles in which the heads of a step lie side by side.
  Call with_lane_heads(std::int64_t heads) const noexcept {
    Call call = *this;
    call.steps *= heads;
    call.lane_heads = heads;
    return call;
  }

  // Returns whether step t of sequence b, both counted in the call, keeps slot s.
  bool keeps(std::int64_t b, std::int64_t t, std::int64_t s, std::int64_t slots) const noexcept {
    return (!mask.attention ||
            mask.attention[b * mask.attention_stride_batch + t * mask.attention_stride_step +
                           s * mask.attention_stride_slot]) &&
           (!mask.query || mask.query[b * steps + t]) &&
           (!mask.value || mask.value[b * slots + s]) && (!mask.causal || s <= first_step + t);
  }
};

}  // namespace memattn::kernels
