// A tile: a few tokens of a call, with what every pass over them needs. Included once for each
// instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_TILE_INL_H_
#undef MEMATTN_KERNELS_TILE_INL_H_
#else
#define MEMATTN_KERNELS_TILE_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "hwy/highway.h"
#include "kernels/attention.h"
#include "kernels/fold-inl.h"
#include "kernels/micro-inl.h"
#include "kernels/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

// Hands out parts of a workspace; without a base it only counts.
template <typename T>
class Carver {
 public:
  explicit Carver(T* base) : base_(base) {}
  // `count` values, from a cache line on.
  T* take(std::int64_t count) {
    T* place = base_ ? base_ + taken_ : nullptr;
    constexpr std::int64_t kLine = 64 / sizeof(T);
    taken_ += (count + kLine - 1) / kLine * kLine;
    return place;
  }
  std::int64_t taken() const { return taken_; }

 private:
  T* base_;
  std::int64_t taken_ = 0;
};

// Buffers that every pass has, and the steps that forward and backward share.
template <typename T>
struct Tile {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

  Tile(const Dims& tile_dims, bool folded, T* base)
      : dims(tile_dims),
        stride(tile_tokens(tile_dims)),
        group(group_heads(tile_dims)),
        carver(base) {
    x_transposed = carver.take(folded ? dims.units * stride : 0);
    q = carver.take(folded ? 0 : stride * dims.num_heads * dims.key_dim);
    q_transposed = carver.take(folded ? 0 : dims.num_heads * dims.key_dim * stride);
    context = carver.take(folded ? 0 : stride * dims.num_heads * dims.value_dim);
    scores = carver.take(group * dims.memory_size * stride);
    dropped = carver.take(group * dims.memory_size * stride);
    keep = carver.take(dims.memory_size * stride);
    keep_lines = reinterpret_cast<Bits*>(carver.take(stride * dims.memory_size));
    mean = carver.take(dims.memory_size * stride);
    active = carver.take(stride);
    key_low = reinterpret_cast<std::uint32_t*>(carver.take(stride));
    key_high = reinterpret_cast<std::uint32_t*>(carver.take(stride));
  }

  // Takes tokens first..first + count - 1 of a call and works out what they may read.
  void load(const Call& call, std::int64_t first_token, std::int64_t count) {
    const hn::ScalableTag<T> d;
    const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
    first = first_token;
    rows = count;
    width = (count + lanes - 1) / lanes * lanes;
    masked = call.mask.any();
    all_active = true;
    if (masked) load_mask(call);
  }

  const T* mask() const { return masked ? keep : nullptr; }
  bool reads(const Call& call, std::int64_t row, std::int64_t slot) const {
    return keep[slot * stride + row] != 0 || (call.uniform_when_masked && active[row] == 0);
  }

  // Where the scores of heads from h on are, or will be: with `kept`, in the place of this tile
  // there.
  T* place(T* kept, std::int64_t h) const {
    const std::int64_t S = dims.memory_size;
    return kept ? kept + first * dims.num_heads * S + h * S * stride : scores;
  }

  // Logits of heads h..h + heads - 1 into p, (heads · S, stride).
  void logits(const Prepared<T>& prepared, std::int64_t h, std::int64_t heads) {
    const std::int64_t S = dims.memory_size, U = dims.units, D = dims.key_dim;
    if (prepared.folded) {  // L = A_hᵀ·xᵀ + c
      multiply<T>(Start::kRowBias, heads * S, width, U,
                  {prepared.a_packed.data() + h * S * U, 0, 0, U}, {x_transposed, stride}, p,
                  stride, prepared.c.data() + h * S);
      return;
    }
    for (std::int64_t i = 0; i < heads; ++i) {  // L_h = K_h·q_hᵀ / √D
      multiply<T>(Start::kZero, S, width, D,
                  {prepared.keys_packed.data() + (h + i) * S * D, 0, 0, D},
                  {q_transposed + (h + i) * D * stride, stride}, p + i * S * stride, stride);
    }
  }

  // x, transposed, or on the projected route the queries q = x·Wq + bq, both ways round.
  void load_x(const Prepared<T>& prepared, const WeightPointers<const T>& w, const T* x) {
    const std::int64_t U = dims.units, HD = dims.num_heads * dims.key_dim;
    if (prepared.folded) {
      transpose_tokens(x, U, x_transposed);
      return;
    }
    fill_rows(rows, HD, w.query_bias, q);
    multiply<T>(Start::kAdd, rows, HD, U, {x, U, 1}, {w.query_kernel, HD}, q, HD);
    transpose_tokens(q, HD, q_transposed);
  }

  // out (n, stride) from the tokens' rows a (rows, n); the lanes behind the last token become 0.
  void transpose_tokens(const T* a, std::int64_t n, T* out) const {
    transpose(rows, n, a, n, out, stride);
    for (std::int64_t j = 0; rows < width && j < n; ++j) {
      std::fill(out + j * stride + rows, out + j * stride + width, T(0));
    }
  }

  void softmax_heads(const Call& call, std::int64_t heads) {
    const std::int64_t S = dims.memory_size;
    for (std::int64_t i = 0; i < heads; ++i) {
      softmax(S, width, stride, mask(), p + i * S * stride);
    }
    if (all_active || !call.uniform_when_masked) return;
    for (std::int64_t row = 0; row < rows; ++row) {
      if (active[row] != 0) continue;
      for (std::int64_t s = 0; s < heads * S; ++s) p[s * stride + row] = T(1) / static_cast<T>(S);
    }
  }

  // What tokens read by: P of heads h..h + heads - 1, after dropout.
  const T* weights(const Call& call, std::int64_t h, std::int64_t heads) {
    if (call.dropout.rate == 0) return p;
    dropout(call, h, heads, p, dropped);
    return dropped;
  }

  // out = in with the dropout of heads h..h + heads - 1, both (heads · S, stride).
  void dropout(const Call& call, std::int64_t h, std::int64_t heads, const T* in, T* out) {
    const std::int64_t S = dims.memory_size;
    for (std::int64_t i = 0; i < heads; ++i) {
      for (std::int64_t row = 0; row < rows;) {  // tokens of one sequence after another
        const std::int64_t b = (first + row) / call.steps, t = (first + row) % call.steps;
        const std::uint64_t sequence = call.dropout.sequence_key(call.first_sequence + b);
        const std::int64_t end = std::min(rows, row + call.steps - t);
        const auto H = static_cast<std::uint64_t>(dims.num_heads);
        std::uint64_t score_row =
            static_cast<std::uint64_t>(call.first_step + t) * H + static_cast<std::uint64_t>(h + i);
        for (; row < end; ++row, score_row += H) {
          const std::uint64_t key = Dropout::row_key(sequence, score_row);
          key_low[row] = static_cast<std::uint32_t>(key);
          key_high[row] = static_cast<std::uint32_t>(key >> 32);
        }
      }
      std::fill(key_low + rows, key_low + width, 0u);  // lanes that no token is in
      std::fill(key_high + rows, key_high + width, 0u);
      apply_dropout(call.dropout, S, width, stride, key_low, key_high, in + i * S * stride,
                    out + i * S * stride);
    }
  }

  // c (rows, n) += weights of `slots` slots (slots, stride) times memory (slots, n). A slot that a
  // token does not read is left out even as 0 times NaN.
  void read(const Call& call, bool finite, std::int64_t slots, std::int64_t n, const T* weights,
            Right<T> memory, T* c, std::int64_t ldc) const {
    if (finite || !masked) {
      multiply<T>(Start::kAdd, rows, n, slots, {weights, 1, stride}, memory, c, ldc);
      return;
    }
    for (std::int64_t s = 0; s < slots; ++s) {
      for (std::int64_t i = 0; i < rows; ++i) {
        if (!reads(call, i, s % dims.memory_size)) continue;
        multiply<T>(Start::kAdd, 1, n, 1, {weights + s * stride + i, 1, 1}, memory, c + i * ldc,
                    ldc);
      }
      if (memory.depth > 0) {
        ++memory.first;
      } else {
        memory.data += memory.row;
      }
    }
  }

  // context (rows, H, Dv) = P_h·V_h for heads h..h + heads - 1, on the projected route.
  void read_values(const Prepared<T>& prepared, const Call& call, std::int64_t h,
                   std::int64_t heads, const T* weights) {
    const std::int64_t S = dims.memory_size, Dv = dims.value_dim, HDv = dims.num_heads * Dv;
    for (std::int64_t i = 0; i < heads; ++i) {
      for (std::int64_t row = 0; row < rows; ++row) {
        std::fill_n(context + row * HDv + (h + i) * Dv, Dv, T(0));
      }
      read(call, prepared.finite, S, Dv, weights + i * S * stride,
           {prepared.values.data() + (h + i) * S * Dv, Dv}, context + (h + i) * Dv, HDv);
    }
  }

  Dims dims;
  std::int64_t stride = 0;  // lanes of a row of the tile
  std::int64_t group = 0;   // heads whose scores fit into p together
  std::int64_t first = 0;   // the first token of the call, b * T + t
  std::int64_t rows = 0;    // tokens in the tile
  std::int64_t width = 0;   // lanes in use: rows, rounded up to vectors
  bool masked = false;
  bool all_active = true;  // no token of the tile has every slot masked

  Carver<T> carver;
  T* x_transposed = nullptr;          // (U, stride)            folded route
  T* q = nullptr;                     // (rows, H, D)           projected route
  T* q_transposed = nullptr;          // (H, D, stride)         projected route
  T* context = nullptr;               // (rows, H, Dv)          projected route
  T* p = nullptr;                     // (group, S, stride): `scores`, or where they are kept
  T* scores = nullptr;                // (group, S, stride)
  T* dropped = nullptr;               // (group, S, stride): P after dropout
  T* keep = nullptr;                  // (S, stride), see softmax-inl.h
  Bits* keep_lines = nullptr;         // (rows, S): the same, token by token
  T* mean = nullptr;                  // (S, stride): scores averaged over heads
  T* active = nullptr;                // (stride): 0 where every slot is masked
  std::uint32_t* key_low = nullptr;   // (stride): of a row of scores, for dropout
  std::uint32_t* key_high = nullptr;  // (stride)

 private:
  // keep and active from the call's masks: token by token, then turned round.
  void load_mask(const Call& call) {
    const std::int64_t S = dims.memory_size;
    const Mask& mask = call.mask;
    bool all_kept = true;
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t b = (first + i) / call.steps, t = (first + i) % call.steps;
      const bool reads_any = !mask.query || mask.query[b * call.steps + t] != 0;
      const std::int64_t slots = !reads_any    ? 0
                                 : mask.causal ? std::min(S, call.first_step + t + 1)
                                               : S;
      Bits* HWY_RESTRICT line = keep_lines + i * S;
      std::fill(line, line + slots, ~Bits{0});
      std::fill(line + slots, line + S, Bits{0});
      if (mask.value) keep_only(slots, mask.value + b * S, line);
      if (mask.attention) {
        const std::uint8_t* row =
            mask.attention + b * mask.attention_stride_batch + t * mask.attention_stride_step;
        if (mask.attention_stride_slot != 0) {
          keep_only(slots, row, line);
        } else if (*row == 0) {
          std::fill(line, line + S, Bits{0});
        }
      }
      Bits any = 0, all = ~Bits{0};
      for (std::int64_t s = 0; s < S; ++s) {
        any |= line[s];
        all &= line[s];
      }
      active[i] = any != 0 ? T(1) : T(0);
      all_active = all_active && any != 0;
      all_kept = all_kept && all != 0;
    }
    masked = !all_kept;
    if (masked) transpose_tokens(reinterpret_cast<const T*>(keep_lines), S, keep);
  }

  static void keep_only(std::int64_t slots, const std::uint8_t* HWY_RESTRICT kept,
                        Bits* HWY_RESTRICT line) {
    for (std::int64_t s = 0; s < slots; ++s) line[s] &= kept[s] != 0 ? ~Bits{0} : Bits{0};
  }
};

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_TILE_INL_H_
