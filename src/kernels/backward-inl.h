// The backward pass over a range of tokens. P is computed again from x, tile by tile; sums over
// tokens go to TokenSums. docs/math.md, "Gradients"; each formula stands above its products.
// Included once for each instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_BACKWARD_INL_H_
#undef MEMATTN_KERNELS_BACKWARD_INL_H_
#else
#define MEMATTN_KERNELS_BACKWARD_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <numbers>

#include "hwy/highway.h"
#include "kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

// Weights in the forms that the way back reads.
template <typename T>
struct BackwardWeights {
  BackwardWeights(const Dims& dims, bool folded, T* base) {
    Carver<T> carver(base);
    const std::int64_t U = dims.units, S = dims.memory_size, H = dims.num_heads;
    if (folded) {
      a_transposed = carver.take(H * S * U);
      b_packed = carver.take(H * S * U);
    } else {
      query_transposed = carver.take(H * dims.key_dim * U);
      output_packed = carver.take(H * dims.value_dim * U);
      values_packed = carver.take(H * S * dims.value_dim);
    }
    size = carver.taken();
  }

  T* a_transposed = nullptr;      // A_hᵀ (H, S, U)
  T* b_packed = nullptr;          // B_h, packed by groups of heads
  T* query_transposed = nullptr;  // Wqᵀ / √D (H, D, U)
  T* output_packed = nullptr;     // Wo (H·Dv, U), packed
  T* values_packed = nullptr;     // V_h (S, Dv), packed head by head
  std::int64_t size = 0;
};

template <typename T>
std::int64_t backward_weights(const Dims& dims, bool folded) {
  return BackwardWeights<T>(dims, folded, nullptr).size;
}

template <typename T>
void prepare_backward(const Prepared<T>& prepared, const WeightPointers<const T>& w,
                      T* weights) noexcept {
  const Dims& dims = prepared.dims;
  const std::int64_t U = dims.units, S = dims.memory_size, H = dims.num_heads;
  const std::int64_t HD = H * dims.key_dim, Dv = dims.value_dim;
  const BackwardWeights<T> out(dims, prepared.folded, weights);
  if (prepared.folded) {
    transpose(U, H * S, prepared.a.data(), H * S, out.b_packed, U);
    for (std::int64_t i = 0; i < H * S * U; ++i) out.b_packed[i] *= std::numbers::ln2_v<T>;
    const std::int64_t group = group_heads(dims);
    for (std::int64_t h = 0; h < H; h += group) {
      const std::int64_t slots = std::min(group, H - h) * S;
      pack_right(slots, U, out.b_packed + h * S * U, U, out.a_transposed + h * S * U);
    }
    for (std::int64_t h = 0; h < H; h += group) {
      const std::int64_t slots = std::min(group, H - h) * S;
      pack_left(slots, U, prepared.b.data() + h * S * U, U, 1, out.b_packed + h * S * U);
    }
    return;
  }
  transpose(U, HD, w.query_kernel, HD, out.query_transposed, U);
  for (std::int64_t i = 0; i < HD * U; ++i)
    out.query_transposed[i] *= inverse_sqrt<T>(dims.key_dim);
  pack_left(H * Dv, U, w.output_kernel, U, 1, out.output_packed);
  for (std::int64_t h = 0; h < H; ++h) {
    pack_left(S, Dv, prepared.values.data() + h * S * Dv, Dv, 1, out.values_packed + h * S * Dv);
  }
}

// The buffers of a backward tile, behind those that it shares with forward.
template <typename T>
struct BackwardBuffers {
  BackwardBuffers(Tile<T>& tile, bool folded) {
    const Dims& dims = tile.dims;
    const std::int64_t U = dims.units, HD = dims.num_heads * dims.key_dim;
    const std::int64_t HDv = dims.num_heads * dims.value_dim;
    g_transposed = tile.carver.take(U * tile.stride);
    d_p = tile.carver.take(tile.group * dims.memory_size * tile.stride);
    clean = tile.carver.take(U * tile.stride);
    x_packed = tile.carver.take(folded ? U * tile.stride : 0);
    g_packed = tile.carver.take(U * tile.stride);
    d_q = tile.carver.take(folded ? 0 : tile.stride * HD);
    d_context = tile.carver.take(folded ? 0 : tile.stride * HDv);
    d_context_transposed = tile.carver.take(folded ? 0 : HDv * tile.stride);
  }

  T* g_transposed = nullptr;          // (U, stride)
  T* d_p = nullptr;                   // (group, S, stride): dP, then dL
  T* clean = nullptr;                 // (rows, U): x or G, 0 where a token reads nothing
  T* x_packed = nullptr;              // (rows, U): x, for sums over tokens
  T* g_packed = nullptr;              // (rows, U): G, likewise
  T* d_q = nullptr;                   // (rows, H, D), times √D
  T* d_context = nullptr;             // (rows, H, Dv)
  T* d_context_transposed = nullptr;  // (H, Dv, stride)
};

template <typename T>
std::int64_t backward_workspace(const Dims& dims, bool folded) {
  Tile<T> tile(dims, folded, nullptr);
  const BackwardBuffers<T> buffers(tile, folded);
  return tile.carver.taken();
}

// One tile on its way back.
template <typename T>
class BackwardTile {
 public:
  BackwardTile(const Prepared<T>& prepared, const WeightPointers<const T>& w, const T* weights,
               const Call& call, const TokenSums<T>& sums, T* workspace)
      : prepared_(prepared),
        w_(w),
        call_(call),
        sums_(sums),
        // The pointers of a BackwardWeights are for its maker to write; here they are only read.
        weights_(prepared.dims, prepared.folded, const_cast<T*>(weights)),
        tile_(prepared.dims, prepared.folded, workspace),
        m_(tile_, prepared.folded) {}

  std::int64_t stride() const { return tile_.stride; }

  void run(const BackwardArrays<T>& arrays, std::int64_t first, std::int64_t rows) {
    const std::int64_t U = tile_.dims.units, H = tile_.dims.num_heads;
    const T* x = arrays.x + first * U;
    const T* g = arrays.d_y + first * U;
    T* d_x = arrays.d_x ? arrays.d_x + first * U : nullptr;
    tile_.load(call_, first, rows);
    tile_.load_x(prepared_, w_, x);
    note_used();
    // Z = X + … + bo  =>  dX = G + …;  dbo = Σ G
    if (w_.output_bias) add_rows(rows, U, g, sums_.output_bias);
    if (d_x && call_.residual) copy(rows * U, g, d_x);
    if (d_x && !call_.residual) std::fill_n(d_x, rows * U, T(0));
    // A token that reads nothing must not reach a sum over tokens, even as 0 times NaN.
    const bool clean = !tile_.all_active;
    const T* g_sum = clean && !call_.uniform_when_masked ? without_inactive(g) : g;
    pack_right(rows, U, g_sum, U, m_.g_packed);
    const T* x_sum = clean ? without_inactive(x) : x;
    if (prepared_.folded) pack_right(rows, U, x_sum, U, m_.x_packed);
    tile_.transpose_tokens(g, U, m_.g_transposed);
    if (!prepared_.folded) start_projected();
    // A backward call only reads what is kept.
    T* const kept = const_cast<T*>(arrays.kept);
    for (std::int64_t h = 0; h < H; h += tile_.group) {
      const std::int64_t heads = std::min(tile_.group, H - h);
      tile_.p = tile_.place(kept, h);
      if (!kept) {
        tile_.logits(prepared_, h, heads);
        tile_.softmax_heads(call_, heads);
      }
      const T* p = tile_.weights(call_, h, heads);
      prepared_.folded ? folded_heads(h, heads, p, d_x) : projected_heads(h, heads, p);
    }
    if (!prepared_.folded) finish_projected(x_sum, d_x);
  }

 private:
  void folded_heads(std::int64_t h, std::int64_t heads, const T* p, T* d_x) {
    const std::int64_t U = tile_.dims.units, S = tile_.dims.memory_size, stride = tile_.stride;
    const std::int64_t rows = tile_.rows, slots = heads * S, offset = h * S * U;
    // Z = … + Σ_h P_h·B_h  =>  dB_h = Σ P_hᵀ·G;  dP_h = G·B_hᵀ
    multiply<T>(Start::kAdd, slots, U, rows, {p, stride, 1}, {m_.g_packed, 0, rows},
                sums_.b + offset, U);
    multiply<T>(Start::kZero, slots, tile_.width, U, {weights_.b_packed + offset, 0, 0, true},
                {m_.g_transposed, stride}, m_.d_p, stride);
    softmax_backward_heads(h, heads);
    // L = X·A + c  =>  dA_hᵀ = Σ dL_hᵀ·X;  dc_h = Σ dL_h;  dX += dL_h·A_hᵀ
    multiply<T>(Start::kAdd, slots, U, rows, {m_.d_p, stride, 1}, {m_.x_packed, 0, rows},
                sums_.a_transposed + offset, U);
    for (std::int64_t s = 0; s < slots; ++s) sums_.c[h * S + s] += sum(rows, m_.d_p + s * stride);
    if (d_x) {
      tile_.read(call_, prepared_.finite, slots, U, m_.d_p,
                 {weights_.a_transposed + offset, 0, slots}, d_x, U);
    }
  }

  // context_h = P_h·V_h, Z = … + context·Wo  =>  dcontext = G·Woᵀ
  void start_projected() {
    const Dims& dims = tile_.dims;
    const std::int64_t HDv = dims.num_heads * dims.value_dim;
    multiply<T>(Start::kZero, HDv, tile_.width, dims.units, {weights_.output_packed, 0, 0, true},
                {m_.g_transposed, tile_.stride}, m_.d_context_transposed, tile_.stride);
    transpose(HDv, tile_.rows, m_.d_context_transposed, tile_.stride, m_.d_context, HDv);
    std::fill_n(m_.d_q, tile_.rows * dims.num_heads * dims.key_dim, T(0));
  }

  void projected_heads(std::int64_t h, std::int64_t heads, const T* p) {
    const Dims& dims = tile_.dims;
    const std::int64_t S = dims.memory_size, D = dims.key_dim, Dv = dims.value_dim;
    const std::int64_t HD = dims.num_heads * D, HDv = dims.num_heads * Dv, stride = tile_.stride;
    tile_.read_values(prepared_, call_, h, heads, p);
    const T* d_context = d_context_sum();
    for (std::int64_t i = 0; i < heads; ++i) {
      const T* weights = p + i * S * stride;
      // context_h = P_h·V_h  =>  dV_h = Σ P_hᵀ·dcontext_h;  dP_h = dcontext_h·V_hᵀ
      multiply<T>(Start::kAdd, S, Dv, tile_.rows, {weights, stride, 1},
                  {d_context + (h + i) * Dv, HDv}, sums_.values + (h + i) * Dv, HDv);
      multiply<T>(Start::kZero, S, tile_.width, Dv,
                  {weights_.values_packed + (h + i) * S * Dv, 0, 0, true},
                  {m_.d_context_transposed + (h + i) * Dv * stride, stride},
                  m_.d_p + i * S * stride, stride);
    }
    softmax_backward_heads(h, heads);
    const T* q = q_sum();
    for (std::int64_t i = 0; i < heads; ++i) {
      const T* d_logits = m_.d_p + i * S * stride;
      // L_h = q_h·K_hᵀ / √D  =>  √D·dK_h = Σ dL_hᵀ·q_h;  √D·dq_h = dL_h·K_h
      multiply<T>(Start::kAdd, S, D, tile_.rows, {d_logits, stride, 1}, {q + (h + i) * D, HD},
                  sums_.keys + (h + i) * D, HD);
      tile_.read(call_, prepared_.finite, S, D, d_logits,
                 {prepared_.keys.data() + (h + i) * S * D, D}, m_.d_q + (h + i) * D, HD);
    }
  }

  void finish_projected(const T* x, T* d_x) {
    const Dims& dims = tile_.dims;
    const std::int64_t U = dims.units, HD = dims.num_heads * dims.key_dim;
    const std::int64_t HDv = dims.num_heads * dims.value_dim;
    // Z = … + context·Wo  =>  dWo = Σ contextᵀ·G
    multiply<T>(Start::kAdd, HDv, U, tile_.rows, {tile_.context, 1, HDv},
                {m_.g_packed, 0, tile_.rows}, sums_.output_kernel, U);
    // q = X·Wq + bq  =>  dWq = Σ Xᵀ·dq;  dbq = Σ dq;  dX += dq·Wqᵀ
    multiply<T>(Start::kAdd, U, HD, tile_.rows, {x, 1, U}, {m_.d_q, HD}, sums_.query_kernel, HD);
    add_rows(tile_.rows, HD, m_.d_q, sums_.query_bias);
    if (d_x) {
      multiply<T>(Start::kAdd, tile_.rows, U, HD, {m_.d_q, HD, 1}, {weights_.query_transposed, U},
                  d_x, U);
    }
  }

  // dP of heads h..h + heads - 1, by what was read, to dL.
  void softmax_backward_heads(std::int64_t h, std::int64_t heads) {
    const std::int64_t S = tile_.dims.memory_size, stride = tile_.stride;
    if (call_.dropout.rate > 0) tile_.dropout(call_, h, heads, m_.d_p, m_.d_p);
    for (std::int64_t i = 0; i < heads; ++i) {
      softmax_backward(S, tile_.width, stride, tile_.mask(), tile_.p + i * S * stride,
                       m_.d_p + i * S * stride);
    }
  }

  void note_used() {
    for (std::int64_t s = 0; s < tile_.dims.memory_size; ++s) {
      bool used = !tile_.masked;
      for (std::int64_t i = 0; !used && i < tile_.rows; ++i) used = tile_.reads(call_, i, s);
      if (used) sums_.used[s] = 1;
    }
  }

  // The rows of a (rows, n), those of tokens that keep no slot as zeros.
  const T* without_inactive(const T* a) const {
    const std::int64_t U = tile_.dims.units;
    for (std::int64_t i = 0; i < tile_.rows; ++i) {
      for (std::int64_t u = 0; u < U; ++u)
        m_.clean[i * U + u] = tile_.active[i] != 0 ? a[i * U + u] : T(0);
    }
    return m_.clean;
  }

  // The same in place, for buffers of the tile that are only summed from here on.
  const T* d_context_sum() {
    if (!call_.uniform_when_masked)
      zero_inactive(m_.d_context, tile_.dims.num_heads * tile_.dims.value_dim);
    return m_.d_context;
  }
  const T* q_sum() {
    zero_inactive(tile_.q, tile_.dims.num_heads * tile_.dims.key_dim);
    return tile_.q;
  }
  void zero_inactive(T* a, std::int64_t n) {
    for (std::int64_t i = 0; !tile_.all_active && i < tile_.rows; ++i) {
      if (tile_.active[i] == 0) std::fill_n(a + i * n, n, T(0));
    }
  }

  const Prepared<T>& prepared_;
  const WeightPointers<const T>& w_;
  const Call& call_;
  const TokenSums<T>& sums_;
  BackwardWeights<T> weights_;
  Tile<T> tile_;
  BackwardBuffers<T> m_;
};

template <typename T>
void backward(const Prepared<T>& prepared, const WeightPointers<const T>& w, const T* weights,
              const Call& call, const BackwardArrays<T>& arrays, std::int64_t first,
              std::int64_t last, const TokenSums<T>& sums, T* workspace) noexcept {
  BackwardTile<T> tile(prepared, w, weights, call, sums, workspace);
  for (; first < last; first += tile.stride()) {
    tile.run(arrays, first, std::min(tile.stride(), last - first));
  }
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_BACKWARD_INL_H_
