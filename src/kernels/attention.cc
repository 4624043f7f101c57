// Forward and backward over the tokens of a call, tile by tile, by either path.
#include "kernels/attention.h"

#include <algorithm>

#include "kernels/matmul.h"
#include "kernels/tile.h"

namespace memattn::kernels {
namespace {

// Calls body(tile) for all tokens of the call, in order.
template <typename Body>
void for_each_tile(const Dims& dims, const Call& call, std::uint8_t* keep, Body body) {
  const std::int64_t tokens = call.batch * call.steps;
  for (std::int64_t first = 0; first < tokens; first += kTileRows) {
    Tile tile;
    tile.first = first;
    tile.rows = std::min(kTileRows, tokens - first);
    if (call.mask.any()) {
      tile.reads = keep;
      tile.learns = keep + kTileRows * dims.memory_size;
    }
    body(tile);
  }
}

// q (rows, H, D) = x Wq + bq
template <typename T>
void query_tile(const Dims& dims, const WeightPointers<const T>& w, const Tile& tile, const T* x,
                T* q) noexcept {
  const std::int64_t width = dims.num_heads * dims.key_dim;
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    if (w.query_bias) {
      std::copy_n(w.query_bias, width, q + i * width);
    } else {
      std::fill_n(q + i * width, width, T(0));
    }
  }
  matmul_add(tile.rows, width, dims.units, x, dims.units, w.query_kernel, width, q, width);
}

// p (rows, H, S) = the logits of the tile; fills q on the projected path.
template <typename T>
void logits_tile(const Prepared<T>& prepared, const WeightPointers<const T>& w, const Tile& tile,
                 const T* x, T* q, T* p) noexcept {
  const auto [U, S, H, D, Dv] = prepared.dims;
  if (prepared.folded) {
    // L = x A + c
    for (std::int64_t i = 0; i < tile.rows; ++i)
      std::copy_n(prepared.c.data(), H * S, p + i * H * S);
    matmul_add(tile.rows, H * S, U, x, U, prepared.a.data(), H * S, p, H * S);
    return;
  }
  // L_h = q_h·K_hᵀ / √D
  query_tile(prepared.dims, w, tile, x, q);
  std::fill_n(p, tile.rows * H * S, T(0));
  for (std::int64_t h = 0; h < H; ++h) {
    matmul_add(tile.rows, S, D, q + h * D, H * D, prepared.keys_transposed.data() + h * D * S, S,
               p + h * S, H * S);
  }
}

template <typename T>
void write_scores(const Dims& dims, const Call& call, const Tile& tile, const T* p,
                  const ForwardBuffers<T>& buffers) noexcept {
  const std::int64_t S = dims.memory_size, H = dims.num_heads;
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    const std::int64_t token = tile.first + i;
    if (buffers.average_heads) {
      T* out = buffers.scores + token * S;
      std::fill_n(out, S, T(0));
      add_rows(H, S, p + i * H * S, S, out);
      for (std::int64_t s = 0; s < S; ++s) out[s] /= static_cast<T>(H);
      continue;
    }
    const std::int64_t b = token / call.steps, t = token % call.steps;
    for (std::int64_t h = 0; h < H; ++h) {
      std::copy_n(p + (i * H + h) * S, S, buffers.scores + ((b * H + h) * call.steps + t) * S);
    }
  }
}

// context (rows, H, Dv) = P_h·V_h
template <typename T>
void context_tile(const Prepared<T>& prepared, const Tile& tile, const T* p, T* context) noexcept {
  const auto [U, S, H, D, Dv] = prepared.dims;
  std::fill_n(context, tile.rows * H * Dv, T(0));
  for (std::int64_t h = 0; h < H; ++h) {
    read_slots(tile, !prepared.finite, S, Dv, p + h * S, H * S, prepared.values.data() + h * S * Dv,
               Dv, context + h * Dv, H * Dv);
  }
}

}  // namespace

std::int64_t forward_workspace(const Dims& dims) noexcept {
  return kTileRows * dims.num_heads * (dims.memory_size + dims.key_dim + dims.value_dim);
}

std::int64_t mask_workspace(const Dims& dims) noexcept {
  return kTileRows * (dims.memory_size + 1) + dims.memory_size;
}

template <typename T>
void forward(const Prepared<T>& prepared, const WeightPointers<const T>& w, const Call& call,
             const ForwardBuffers<T>& buffers) noexcept {
  const auto [U, S, H, D, Dv] = prepared.dims;
  T* p = buffers.workspace;
  T* q = p + kTileRows * H * S;
  T* context = q + kTileRows * H * D;
  for_each_tile(
      prepared.dims, call, buffers.keep, [&, U = U, S = S, H = H, Dv = Dv](const Tile& tile) {
        const T* x = buffers.x + tile.first * U;
        T* y = buffers.y + tile.first * U;
        mask_tile(prepared.dims, call, tile, nullptr);
        logits_tile(prepared, w, tile, x, q, p);
        softmax_tile(prepared.dims, tile, p);
        if (buffers.scores) write_scores(prepared.dims, call, tile, p, buffers);
        if (call.dropout.rate > 0) dropout_tile(prepared.dims, call, tile, p, p);

        // Z = X + bo + Σ_h P_h·B_h; from here x is not needed, so y may take its place
        for (std::int64_t i = 0; i < tile.rows; ++i) {
          for (std::int64_t u = 0; u < U; ++u) {
            y[i * U + u] =
                (call.residual ? x[i * U + u] : T(0)) + (w.output_bias ? w.output_bias[u] : T(0));
          }
        }
        if (prepared.folded) {
          for (std::int64_t h = 0; h < H; ++h) {
            read_slots(tile, !prepared.finite, S, U, p + h * S, H * S,
                       prepared.b.data() + h * S * U, U, y, U);
          }
        } else {
          context_tile(prepared, tile, p, context);
          matmul_add(tile.rows, U, H * Dv, context, H * Dv, w.output_kernel, U, y, U);
        }
      });
}

namespace {

// The buffers of a backward pass, one after another in the workspace. Those that sum over tokens
// come first, so that one fill clears them. Without a base it only counts.
template <typename T>
class BackwardLayout {
 public:
  BackwardLayout(const Dims& dims, bool folded, T* base) : base_(base) {
    const auto [U, S, H, D, Dv] = dims;
    d.keys = take(H * S * D);
    d.values = take(H * S * Dv);
    if (folded) {
      d.a = take(U * H * S);
      d.c = take(H * S);
      d.b = take(H * S * U);
      sums = size;
      a_transposed = take(H * S * U);
      b_transposed = take(U * H * S);
    } else {
      sums = size;
      query_transposed = take(H * D * U);
      output_transposed = take(U * H * Dv);
      values_transposed = take(H * Dv * S);
      q = take(kTileRows * H * D);
      d_q = take(kTileRows * H * D);
      context = take(kTileRows * H * Dv);
      d_context = take(kTileRows * H * Dv);
    }
    p = take(kTileRows * H * S);
    dropped = take(kTileRows * H * S);
    d_p = take(kTileRows * H * S);
    fold = take(fold_workspace(dims));
  }

  PreparedGradients<T> d;
  T* a_transposed = nullptr;       // (H, S, U)
  T* b_transposed = nullptr;       // (U, H, S)
  T* query_transposed = nullptr;   // (H, D, U), times 1/√D
  T* output_transposed = nullptr;  // (U, H, Dv)
  T* values_transposed = nullptr;  // (H, Dv, S)
  T* q = nullptr;                  // (rows, H, D)
  T* d_q = nullptr;                // (rows, H, D), without the factor 1/√D
  T* context = nullptr;            // (rows, H, Dv)
  T* d_context = nullptr;          // (rows, H, Dv)
  T* p = nullptr;                  // (rows, H, S): P
  T* dropped = nullptr;            // (rows, H, S): P after dropout
  T* d_p = nullptr;                // (rows, H, S): dP, then dL
  T* fold = nullptr;               // fold_workspace()
  std::int64_t sums = 0;           // values in d, all of them
  std::int64_t size = 0;           // values in all

 private:
  T* take(std::int64_t count) {
    T* place = base_ ? base_ + size : nullptr;
    size += count;
    return place;
  }
  T* base_;
};

// One pass over a call, its two paths side by side.
template <typename T>
class BackwardPass {
 public:
  BackwardPass(const Prepared<T>& prepared, const WeightPointers<const T>& w, const Call& call,
               const BackwardBuffers<T>& buffers) noexcept
      : prepared_(prepared),
        w_(w),
        call_(call),
        out_(buffers),
        m_(prepared.dims, prepared.folded, buffers.workspace),
        slot_used_(buffers.keep + kTileRows * (prepared.dims.memory_size + 1)) {}

  void run() noexcept {
    const Dims& dims = prepared_.dims;
    std::fill_n(m_.d.keys, m_.sums, T(0));
    std::fill_n(slot_used_, dims.memory_size, static_cast<std::uint8_t>(!call_.mask.any()));
    transpose_weights();
    for_each_tile(dims, call_, out_.keep, [&](const Tile& tile) {
      const T* x = out_.x + tile.first * dims.units;
      const T* g = out_.d_y + tile.first * dims.units;
      mask_tile(dims, call_, tile, slot_used_);
      logits_tile(prepared_, w_, tile, x, m_.q, m_.p);
      softmax_tile(dims, tile, m_.p);
      if (call_.dropout.rate > 0) dropout_tile(dims, call_, tile, m_.p, m_.dropped);
      const T* p = call_.dropout.rate > 0 ? m_.dropped : m_.p;

      // Z = X + attention + bo  =>  dX = G + …;  dbo = colsum(G)
      T* d_x = out_.d_x ? out_.d_x + tile.first * dims.units : nullptr;
      for (std::int64_t i = 0; d_x && i < tile.rows * dims.units; ++i) {
        d_x[i] = call_.residual ? g[i] : T(0);
      }
      if (w_.output_bias) {
        add_rows(tile.rows, dims.units, g, dims.units, out_.d_weights.output_bias);
      }
      prepared_.folded ? folded_tile(tile, x, g, p, d_x) : projected_tile(tile, x, g, p, d_x);
    });
    if (prepared_.folded) {
      fold_backward(prepared_, w_, slot_used_, m_.d, out_.d_weights, m_.fold);
    } else {
      scale_projected();
    }
    memory_backward(prepared_, w_, slot_used_, m_.d, out_.d_weights, m_.fold);
  }

 private:
  void transpose_weights() noexcept {
    const auto [U, S, H, D, Dv] = prepared_.dims;
    if (prepared_.folded) {
      transpose(U, H * S, prepared_.a.data(), H * S, T(1), m_.a_transposed);
      transpose(H * S, U, prepared_.b.data(), U, T(1), m_.b_transposed);
      return;
    }
    transpose(U, H * D, w_.query_kernel, H * D, inverse_sqrt<T>(D), m_.query_transposed);
    transpose(H * Dv, U, w_.output_kernel, U, T(1), m_.output_transposed);
    for (std::int64_t h = 0; h < H; ++h) {
      transpose(S, Dv, prepared_.values.data() + h * S * Dv, Dv, T(1),
                m_.values_transposed + h * Dv * S);
    }
  }

  // dP (rows, H, S), by the scores that were read, to dL by the logits.
  void softmax_backward(const Tile& tile) noexcept {
    if (call_.dropout.rate > 0) dropout_tile(prepared_.dims, call_, tile, m_.d_p, m_.d_p);
    softmax_tile_backward(prepared_.dims, tile, m_.p, m_.d_p);
  }

  void folded_tile(const Tile& tile, const T* x, const T* g, const T* p, T* d_x) noexcept {
    const auto [U, S, H, D, Dv] = prepared_.dims;
    // Z = … + Σ_h P_h·B_h  =>  dP_h = G·B_hᵀ;  dB_h = P_hᵀ·G
    std::fill_n(m_.d_p, tile.rows * H * S, T(0));
    matmul_add(tile.rows, H * S, U, g, U, m_.b_transposed, H * S, m_.d_p, H * S);
    sum_tokens(tile, reading_tokens(tile), H * S, U, p, H * S, g, U, m_.d.b, U);
    softmax_backward(tile);
    // L = X·A + c  =>  dX += dL·Aᵀ;  dA = Xᵀ·dL;  dc = colsum(dL)
    for (std::int64_t h = 0; d_x && h < H; ++h) {
      read_slots(tile, !prepared_.finite, S, U, m_.d_p + h * S, H * S, m_.a_transposed + h * S * U,
                 U, d_x, U);
    }
    sum_tokens(tile, tile.learns, U, H * S, x, U, m_.d_p, H * S, m_.d.a, H * S);
    add_rows(tile.rows, H * S, m_.d_p, H * S, m_.d.c);
  }

  void projected_tile(const Tile& tile, const T* x, const T* g, const T* p, T* d_x) noexcept {
    const auto [U, S, H, D, Dv] = prepared_.dims;
    // Z = … + context·Wo  =>  dcontext = G·Woᵀ;  dWo = contextᵀ·G
    context_tile(prepared_, tile, p, m_.context);
    sum_tokens(tile, reading_tokens(tile), H * Dv, U, m_.context, H * Dv, g, U,
               out_.d_weights.output_kernel, U);
    std::fill_n(m_.d_context, tile.rows * H * Dv, T(0));
    matmul_add(tile.rows, H * Dv, U, g, U, m_.output_transposed, H * Dv, m_.d_context, H * Dv);
    // context_h = P_h·V_h  =>  dP_h = dcontext_h·V_hᵀ;  dV_h = P_hᵀ·dcontext_h
    std::fill_n(m_.d_p, tile.rows * H * S, T(0));
    for (std::int64_t h = 0; h < H; ++h) {
      const T* d_context = m_.d_context + h * Dv;
      matmul_add(tile.rows, S, Dv, d_context, H * Dv, m_.values_transposed + h * Dv * S, S,
                 m_.d_p + h * S, H * S);
      sum_tokens(tile, reading_tokens(tile), S, Dv, p + h * S, H * S, d_context, H * Dv,
                 m_.d.values + h * S * Dv, Dv);
    }
    softmax_backward(tile);
    // L_h = q_h·K_hᵀ / √D  =>  dq_h = dL_h·K_h / √D;  dK_h = dL_hᵀ·q_h / √D
    std::fill_n(m_.d_q, tile.rows * H * D, T(0));
    for (std::int64_t h = 0; h < H; ++h) {
      const T* d_logits = m_.d_p + h * S;
      read_slots(tile, !prepared_.finite, S, D, d_logits, H * S, prepared_.keys.data() + h * S * D,
                 D, m_.d_q + h * D, H * D);
      sum_tokens(tile, tile.learns, S, D, d_logits, H * S, m_.q + h * D, H * D,
                 m_.d.keys + h * S * D, D);
    }
    // q = X·Wq + bq  =>  dX += dq·Wqᵀ;  dWq = Xᵀ·dq;  dbq = colsum(dq)
    if (d_x) matmul_add(tile.rows, U, H * D, m_.d_q, H * D, m_.query_transposed, U, d_x, U);
    sum_tokens(tile, tile.learns, U, H * D, x, U, m_.d_q, H * D, out_.d_weights.query_kernel,
               H * D);
    if (w_.query_bias) add_rows(tile.rows, H * D, m_.d_q, H * D, out_.d_weights.query_bias);
  }

  // The factor 1/√D of the projected path, once for each sum over tokens.
  void scale_projected() noexcept {
    const auto [U, S, H, D, Dv] = prepared_.dims;
    const T factor = inverse_sqrt<T>(D);
    scale(std::int64_t{1}, H * S * D, factor, m_.d.keys, H * S * D);
    scale(U, H * D, factor, out_.d_weights.query_kernel, H * D);
    if (w_.query_bias) scale(std::int64_t{1}, H * D, factor, out_.d_weights.query_bias, H * D);
  }

  // Tokens that read any slot: all, unless a token with every slot masked reads nothing.
  const std::uint8_t* reading_tokens(const Tile& tile) const noexcept {
    return call_.uniform_when_masked ? nullptr : tile.learns;
  }

  const Prepared<T>& prepared_;
  const WeightPointers<const T>& w_;
  const Call& call_;
  const BackwardBuffers<T>& out_;
  BackwardLayout<T> m_;
  std::uint8_t* slot_used_;  // (S)
};

}  // namespace

std::int64_t backward_workspace(const Dims& dims, bool folded) noexcept {
  return BackwardLayout<double>(dims, folded, nullptr).size;
}

template <typename T>
void backward(const Prepared<T>& prepared, const WeightPointers<const T>& w, const Call& call,
              const BackwardBuffers<T>& buffers) noexcept {
  BackwardPass<T>(prepared, w, call, buffers).run();
}

#define MEMATTN_INSTANTIATE(T)                                                            \
  template void forward(const Prepared<T>&, const WeightPointers<const T>&, const Call&,  \
                        const ForwardBuffers<T>&) noexcept;                               \
  template void backward(const Prepared<T>&, const WeightPointers<const T>&, const Call&, \
                         const BackwardBuffers<T>&) noexcept;
MEMATTN_INSTANTIATE(float)
MEMATTN_INSTANTIATE(double)

}  // namespace memattn::kernels
