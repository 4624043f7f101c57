// An attention between two inputs: its routes, and the products of weights that they need. Formulas
// and names follow docs/siblings-math.md.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/aligned.h"
#include "kernels/bfloat16.h"
#include "kernels/call.h"
#include "kernels/carver.h"
#include "kernels/shape.h"

namespace memattn::kernels {

// Where the chain of weights between the two inputs is cut. Logits are the products of a query
// operand and a key operand; the output is the sum of value operands that the scores weight:
//
//   logits   kProject     q_h = s1·Q_h              keys s2·K_h
//            kLeft        q_h = s1·A_h              keys s2 itself, for all heads
//            kRight       s1 itself, for all heads  keys s2·A_hᵀ
//   read     kProject     values s2·V_h             and then an output projection Wo_h
//            kSource      values s2 itself          and then C_h
//            kValue       values s2·C_h             which are summed
//
// where s1 and s2 are the inputs themselves or the outputs of their Denses.
struct Way {
  enum class Logits : std::uint8_t { kProject, kLeft, kRight };
  enum class Read : std::uint8_t { kProject, kSource, kValue };

  bool dense1 = true;
  bool dense2 = true;
  Logits logits = Logits::kProject;
  Read read = Read::kProject;

  bool operator==(const Way&) const = default;
};

// The widths of a way's operands.
struct WayWidths {
  WayWidths(const SequenceDims& dims, const Way& way)
      : source1(way.dense1 ? dims.units : dims.source1_units),
        source2(way.dense2 ? dims.units : dims.source2_units),
        key(way.logits == Way::Logits::kProject ? dims.key_dim
            : way.logits == Way::Logits::kLeft  ? source2
                                                : source1),
        value(way.read == Way::Read::kProject  ? dims.value_dim
              : way.read == Way::Read::kSource ? source2
                                               : dims.units) {}

  std::int64_t source1;  // G1, of s1
  std::int64_t source2;  // G2, of s2
  std::int64_t key;      // I, of a head's query and key operands
  std::int64_t value;    // J, of a head's value operand
};

// The weights for a forward pass in bfloat16, rounded and in pairs along the sums.
struct SequencePreparedPairs {
  AlignedVector<Pair> query;         // (G1 / 2, H, I)
  AlignedVector<Pair> query_packed;  // its transpose, packed head by head
  AlignedVector<Pair> output;        // (H, J / 2, U)
};

// Everything in an attention that depends only on its weights, in the forms that the kernels read,
// computed once for each change of weights. Parts that a way does not use are empty.
template <typename T>
struct SequencePrepared {
  SequenceDims dims;
  Way way;
  bool finite = true;  // no NaN or Inf in any part
  // The effective weights of each head for an input that is read directly, which the backward pass
  // of the fold reads: Q_h = W1·Wq_h (H, F1, D), K_h = W2·Wk_h (H, F2, D), V_h = W2·Wv_h (H, F2,
  // Dv), cq_h = b1·Wq_h + bq_h (H, D), cv_h = b2·Wv_h + bv_h (H, Dv).
  AlignedVector<T> q, k, v, cq, cv;
  AlignedVector<T> query;         // (G1, H, I), with 1 / √D, to base 2
  AlignedVector<T> query_packed;  // its transpose, packed head by head
  AlignedVector<T> query_bias;    // (H, I), with 1 / √D, to base 2
  AlignedVector<T> key;           // (G2, H, I); of kRight to base 2 with 1 / √D
  AlignedVector<T> key_bias;    // (G2, H): what a key adds to its logits, of kRight alone, likewise
  AlignedVector<T> value;       // (G2, H, J)
  AlignedVector<T> value_bias;  // (H, J)
  AlignedVector<T> output;      // (H, J, U)
  AlignedVector<T> output_bias;      // (H, U): e_h, of kSource alone, counted by the sum of a row
  AlignedVector<T> output_bias_sum;  // (U): Σ_h e_h, for rows whose sum is 1
  SequencePreparedPairs pairs;       // empty unless requested

  WayWidths widths() const noexcept { return WayWidths(dims, way); }

  // Resizes every buffer; allocates nothing if the sizes stay.
  void resize(const SequenceDims& new_dims, const Way& new_way, bool use_bias);
  // The same for `pairs`, after resize; without `wanted` they become empty.
  void resize_pairs(bool wanted);

  std::int64_t bytes() const noexcept;  // of all buffers
};

// A row of scores of a sequence fills one lane per query of one head or, if all heads read the same
// operand and sequences are short, per query of every head. Up to kShortSequence queries, a head
// alone would leave a part of its vectors empty.
inline constexpr std::int64_t kShortSequence = 24;
inline std::int64_t lane_heads(const Way& way, std::int64_t heads, std::int64_t steps1) noexcept {
  const bool shared = way.logits == Way::Logits::kLeft && way.read == Way::Read::kSource;
  return shared && steps1 <= kShortSequence ? heads : 1;
}

// How the queries of a call are cut into tiles: each is some whole sequences, or a part of one. If
// all heads read the same operand and sequences are short, the heads of a token lie side by side in
// the lanes, (token, head), and one product serves them all. Otherwise a tile processes one head
// after another. Both compute the same sums.
struct SequenceTiles {
  SequenceTiles(const SequenceDims& dims, const Way& way, std::int64_t batch, std::int64_t steps1,
                std::int64_t steps2);

  struct Range {
    std::int64_t first;  // token, b * T1 + t
    std::int64_t count;
  };
  Range range(std::int64_t tile) const noexcept;
  // The number of tiles that share the same sequences, and the most sequences that they cover.
  std::int64_t tiles_together() const noexcept { return std::max<std::int64_t>(1, parts_); }
  std::int64_t sequences_together() const noexcept {
    return parts_ > 0 || steps_ == 0 ? 1 : size_ / steps_;
  }

  std::int64_t lane_heads = 1;  // heads side by side in the lanes: one, or all
  std::int64_t tokens = 0;      // in a tile, rounded up to 16
  std::int64_t stride = 0;      // lanes of a row of a tile, a multiple of 16
  std::int64_t group = 0;  // heads, or groups of lane_heads, whose scores are computed together
  std::int64_t count = 0;  // number of tiles

 private:
  std::int64_t steps_;
  std::int64_t tokens_;
  std::int64_t size_;  // tokens of a tile; the last one of a sequence or of the call may have fewer
  std::int64_t parts_;  // tiles of a sequence, or 0 if a tile takes whole sequences
};

// The inputs of a call, and the operands from source 2 for the tiles of queries.
template <typename T>
struct SequenceOperands {
  std::int64_t steps2 = 0;     // T2
  std::int64_t tokens2 = 0;    // B T2
  const T* x1 = nullptr;       // (B, T1, F1)
  const T* x2 = nullptr;       // (B, T2, F2)
  bool finite = true;          // no NaN or Inf in x2: 0 times any value is 0
  T* source2 = nullptr;        // (B, T2, U): s2, if it goes through a Dense
  T* keys = nullptr;           // (B, T2, H, I)
  T* key_bias = nullptr;       // (H, B, T2)
  T* values = nullptr;         // (B, T2, H, J)
  T* key_bias_rows = nullptr;  // (B, T2, H), intermediate, for key_bias

  // Returns the operands for `batch` sequences, placed in memory of their own.
  static SequenceOperands place(const SequencePrepared<T>& prepared, std::int64_t batch,
                                std::int64_t steps2, Carver<T>& carver);
};

// The operands from source 2 in bfloat16: the key and value operands of each sequence, in pairs. If
// all heads read the same operand, H is 1.
struct SequencePairOperands {
  std::int64_t key_heads = 1, value_heads = 1;
  Pair* keys = nullptr;             // (B, H, T2, I / 2)
  Pair* values = nullptr;           // (B, H, T2 / 2, J)
  float* spread = nullptr;          // (B, H, T2): ln(2) |k|, see bfloat16_forward-inl.h
  float* largest_spread = nullptr;  // (B, H)
  // (B): 1 if no value is NaN or infinite, else 0; null if there is no mask.
  float* finite = nullptr;

  static SequencePairOperands place(const SequencePrepared<float>& prepared, std::int64_t batch,
                                    std::int64_t steps2, bool masked, Carver<float>& carver);
};

template <typename T>
struct SequenceForwardArrays {
  T* y = nullptr;       // (B, T1, U)
  bool add = false;     // add to the content of y
  T* scores = nullptr;  // (B, H, T1, T2), averaged over heads (B, T1, T2), or null
  bool average_heads = false;
};

template <typename T>
struct SequenceBackwardArrays {
  const T* d_y = nullptr;  // (B, T1, U)
  // (B, T1, F1) and (B, T2, F2), or null; in self-attention d_x1 is the sum of both.
  T* d_x1 = nullptr;
  T* d_x2 = nullptr;
  bool add = false;  // add to the content of d_x1 and d_x2
};

// Sums over tokens and sequences for the gradients of the weights, one for each part of
// SequencePrepared that a way uses, all natural. With a null `base`, only `size` is valid.
template <typename T>
struct SequenceSums {
  SequenceSums(const SequencePrepared<T>& prepared, T* base);

  T* output_bias0;  // dbo (U)
  T* query;         // (G1, H, I)
  T* query_bias;    // (H, I)
  T* key;           // (G2, H, I)
  T* key_bias;      // (G2, H)
  T* value;         // (G2, H, J)
  T* value_bias;    // (H, J)
  T* output;        // (H, J, U)
  T* output_bias;   // (H, U)
  T* dense1;        // dW1 (F1, U), for an input that goes through a Dense
  T* dense1_bias;   // (U)
  T* dense2;        // dW2 (F2, U)
  T* dense2_bias;   // (U)
  std::int64_t size;
};

// Weights in the forms that the backward pass reads, natural; null if a way has none.
template <typename T>
struct SequenceBackwardWeights {
  SequenceBackwardWeights(const SequencePrepared<T>& prepared, T* base);

  T* query;        // (H, I, G1)
  T* key;          // (H, I, G2)
  T* key_bias;     // (H, G2)
  T* value;        // (H, J, G2)
  T* output;       // (U, H, J)
  T* output_bias;  // (U, H)
  T* dense1;       // W1ᵀ (U, F1)
  T* dense2;       // W2ᵀ (U, F2)
  std::int64_t size;
};

}  // namespace memattn::kernels
