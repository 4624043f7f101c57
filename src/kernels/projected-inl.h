// The projected route of a tile: queries from x, logits from queries and keys, a context from P and
// values, y from the context. It reads keys and values through KeysValues, whatever their source.
// Included once for each instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_PROJECTED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_PROJECTED_INL_H_
#undef MEMATTN_KERNELS_PROJECTED_INL_H_
#else
#define MEMATTN_KERNELS_PROJECTED_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/prepared.h"
#include "kernels/rows-inl.h"
#include "kernels/scale.h"
#include "kernels/tile-inl.h"
#include "kernels/token_sums.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

template <typename T>
class ProjectedHeads {
 public:
  ProjectedHeads(const Dims& dims, Carver<T>& carver)
      : q_(carver.take(tile_tokens(dims) * dims.num_heads * dims.key_dim)),
        q_transposed_(carver.take(dims.num_heads * dims.key_dim * tile_tokens(dims))),
        context_(carver.take(tile_tokens(dims) * dims.num_heads * dims.value_dim)) {}

  // Computes q = x·Wq + bq, in both layouts.
  void load(const Prepared<T>& prepared, const AttentionWeights<const T>& w, const Tile<T>& tile,
            const T* x) {
    const std::int64_t U = prepared.dims.units,
                       HD = prepared.dims.num_heads * prepared.dims.key_dim;
    fill_rows(tile.rows, HD, w.query_bias, q_);
    multiply<T>(Start::kAdd, tile.rows, HD, U, {x, U, 1}, {w.query_kernel, HD}, q_, HD);
    tile.transpose_tokens(q_, HD, q_transposed_);
  }

  // Computes logits of heads h..h + heads - 1 into p, (heads · S, stride): L_h = K_h·q_hᵀ / √D.
  void logits(const Prepared<T>& prepared, const Tile<T>& tile, std::int64_t h,
              std::int64_t heads) const {
    const KeysValues<T> memory = prepared.keys_values();
    const std::int64_t S = memory.slots, D = prepared.dims.key_dim, stride = tile.stride;
    for (std::int64_t i = 0; i < heads; ++i) {
      multiply<T>(Start::kZero, S, tile.width, D, {memory.keys_packed + (h + i) * S * D, 0, 0, D},
                  {q_transposed_ + (h + i) * D * stride, stride}, tile.p + i * S * stride, stride);
    }
  }

  // Computes context (rows, H, Dv) = P_h·V_h for heads h..h + heads - 1.
  void read(const Prepared<T>& prepared, const Tile<T>& tile, std::int64_t h, std::int64_t heads,
            const T* weights, T*) {
    const KeysValues<T> memory = prepared.keys_values();
    const std::int64_t S = memory.slots, Dv = prepared.dims.value_dim;
    const std::int64_t HDv = prepared.dims.num_heads * Dv;
    for (std::int64_t i = 0; i < heads; ++i) {
      for (std::int64_t row = 0; row < tile.rows; ++row) {
        std::fill_n(context_ + row * HDv + (h + i) * Dv, Dv, T(0));
      }
      tile.read(memory.finite, S, Dv, weights + i * S * tile.stride,
                Right<T>{memory.values + (h + i) * S * Dv, Dv}, context_ + (h + i) * Dv, HDv);
    }
  }

  // Adds context·Wo to y (rows, U).
  void finish(const Prepared<T>& prepared, const AttentionWeights<const T>& w, const Tile<T>& tile,
              T* y) const {
    const std::int64_t U = prepared.dims.units;
    const std::int64_t HDv = prepared.dims.num_heads * prepared.dims.value_dim;
    multiply<T>(Start::kAdd, tile.rows, U, HDv, {context_, HDv, 1}, {w.output_kernel, U}, y, U);
  }

  // For the backward pass, which may change the queries after the logits have been computed.
  T* queries() { return q_; }        // (rows, H, D)
  T* context() { return context_; }  // (rows, H, Dv)
  const T* context() const { return context_; }

 private:
  T* q_;             // (rows, H, D)
  T* q_transposed_;  // (H, D, stride)
  T* context_;       // (rows, H, Dv)
};

// Weights in the forms that the backward pass reads.
template <typename T>
struct ProjectedBackwardWeights {
  ProjectedBackwardWeights(const Dims& dims, T* base) {
    Carver<T> carver(base);
    query_transposed = carver.take(dims.num_heads * dims.key_dim * dims.units);
    output_packed = carver.take(dims.num_heads * dims.value_dim * dims.units);
    values_packed = carver.take(dims.num_heads * dims.memory_size * dims.value_dim);
    taken = carver.taken();
  }

  void fill(const Prepared<T>& prepared, const AttentionWeights<const T>& w) const {
    const auto [U, S, H, D, Dv] = prepared.dims;
    transpose(U, H * D, w.query_kernel, H * D, query_transposed, U);
    const T scale = inverse_sqrt<T>(D);
    for (std::int64_t i = 0; i < H * D * U; ++i) query_transposed[i] *= scale;
    pack_left(H * Dv, U, w.output_kernel, U, 1, output_packed);
    for (std::int64_t h = 0; h < H; ++h) {
      pack_left(S, Dv, prepared.values.data() + h * S * Dv, Dv, 1, values_packed + h * S * Dv);
    }
  }

  T* query_transposed = nullptr;  // Wqᵀ / √D (H, D, U)
  T* output_packed = nullptr;     // Wo (H·Dv, U), packed
  T* values_packed = nullptr;     // V_h (S, Dv), packed head by head
  std::int64_t taken = 0;
};

// A tile's backward pass; `x` and `g` are the rows that may be summed over tokens.
template <typename T>
class ProjectedBackward {
 public:
  using Heads = ProjectedHeads<T>;
  using Weights = ProjectedBackwardWeights<T>;
  using Sums = ProjectedSums<T>;

  ProjectedBackward(const Dims& dims, Carver<T>& carver)
      : d_q_(carver.take(tile_tokens(dims) * dims.num_heads * dims.key_dim)),
        d_context_(carver.take(tile_tokens(dims) * dims.num_heads * dims.value_dim)),
        d_context_transposed_(carver.take(dims.num_heads * dims.value_dim * tile_tokens(dims))) {}

  // Z = … + context·Wo  =>  dcontext = G·Woᵀ
  void start(const Weights& weights, const Tile<T>& tile, const T*, const T* g_transposed) {
    const Dims& dims = tile.dims;
    const std::int64_t HDv = dims.num_heads * dims.value_dim;
    multiply<T>(Start::kZero, HDv, tile.width, dims.units,
                {weights.output_packed, 0, 0, dims.units}, {g_transposed, tile.stride},
                d_context_transposed_, tile.stride);
    transpose(HDv, tile.rows, d_context_transposed_, tile.stride, d_context_, HDv);
    std::fill_n(d_q_, tile.rows * dims.num_heads * dims.key_dim, T(0));
  }

  // context_h = P_h·V_h  =>  dV_h = Σ P_hᵀ·dcontext_h;  dP_h = dcontext_h·V_hᵀ
  void read(Heads& forward, const Prepared<T>& prepared, const Weights& weights,
            const Tile<T>& tile, const Sums& sums, std::int64_t h, std::int64_t heads, const T* p,
            const T*, const T*, T* d_p) {
    const Dims& dims = tile.dims;
    const std::int64_t S = dims.memory_size, Dv = dims.value_dim, stride = tile.stride;
    const std::int64_t HDv = dims.num_heads * Dv;
    forward.read(prepared, tile, h, heads, p, nullptr);
    if (!tile.uniform_when_masked) zero_inactive(tile, HDv, d_context_);
    for (std::int64_t i = 0; i < heads; ++i) {
      multiply<T>(Start::kAdd, S, Dv, tile.rows, {p + i * S * stride, stride, 1},
                  {d_context_ + (h + i) * Dv, HDv}, sums.values + (h + i) * Dv, HDv);
      multiply<T>(
          Start::kZero, S, tile.width, Dv, {weights.values_packed + (h + i) * S * Dv, 0, 0, Dv},
          {d_context_transposed_ + (h + i) * Dv * stride, stride}, d_p + i * S * stride, stride);
    }
  }

  // L_h = q_h·K_hᵀ / √D  =>  √D·dK_h = Σ dL_hᵀ·q_h;  √D·dq_h = dL_h·K_h
  void logits(Heads& forward, const Prepared<T>& prepared, const Weights&, const Tile<T>& tile,
              const Sums& sums, std::int64_t h, std::int64_t heads, const T* d_logits, T*) {
    const KeysValues<T> memory = prepared.keys_values();
    const std::int64_t S = memory.slots, D = tile.dims.key_dim, stride = tile.stride;
    const std::int64_t HD = tile.dims.num_heads * D;
    zero_inactive(tile, HD, forward.queries());
    for (std::int64_t i = 0; i < heads; ++i) {
      multiply<T>(Start::kAdd, S, D, tile.rows, {d_logits + i * S * stride, stride, 1},
                  {forward.queries() + (h + i) * D, HD}, sums.keys + (h + i) * D, HD);
      tile.read(memory.finite, S, D, d_logits + i * S * stride,
                Right<T>{memory.keys + (h + i) * S * D, D}, d_q_ + (h + i) * D, HD);
    }
  }

  // Z = … + context·Wo  =>  dWo = Σ contextᵀ·G
  // q = X·Wq + bq       =>  dWq = Σ Xᵀ·dq;  dbq = Σ dq;  dX += dq·Wqᵀ
  void finish(const Heads& forward, const Weights& weights, const Tile<T>& tile, const Sums& sums,
              const T* x, const T* g_packed, T* d_x) const {
    const Dims& dims = tile.dims;
    const std::int64_t U = dims.units, HD = dims.num_heads * dims.key_dim;
    const std::int64_t HDv = dims.num_heads * dims.value_dim;
    multiply<T>(Start::kAdd, HDv, U, tile.rows, {forward.context(), 1, HDv},
                {g_packed, 0, tile.rows}, sums.output_kernel, U);
    multiply<T>(Start::kAdd, U, HD, tile.rows, {x, 1, U}, {d_q_, HD}, sums.query_kernel, HD);
    add_rows(tile.rows, HD, d_q_, sums.query_bias);
    if (d_x) {
      multiply<T>(Start::kAdd, tile.rows, U, HD, {d_q_, HD, 1}, {weights.query_transposed, U}, d_x,
                  U);
    }
  }

 private:
  // Sets tokens that keep no slot to zero, in a buffer (rows, n) that is only summed from here on.
  static void zero_inactive(const Tile<T>& tile, std::int64_t n, T* a) {
    for (std::int64_t i = 0; !tile.mask.all_active() && i < tile.rows; ++i) {
      if (!tile.mask.active(i)) std::fill_n(a + i * n, n, T(0));
    }
  }

  T* d_q_;                   // (rows, H, D), times √D
  T* d_context_;             // (rows, H, Dv)
  T* d_context_transposed_;  // (H, Dv, stride)
};

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_PROJECTED_INL_H_
