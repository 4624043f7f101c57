// The backward pass over a range of tokens. It computes P again from x, tile by tile, and adds sums
// over tokens to TokenSums. Each formula of docs/math.md, "Gradients", stands above its products.
// Included once for each instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_BACKWARD_INL_H_
#undef MEMATTN_KERNELS_BACKWARD_INL_H_
#else
#define MEMATTN_KERNELS_BACKWARD_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/folded-inl.h"
#include "kernels/kernel_table.h"
#include "kernels/projected-inl.h"
#include "kernels/rows-inl.h"
#include "kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

template <typename T>
std::int64_t backward_weights(const Dims& dims, bool folded) noexcept {
  return folded ? FoldedBackwardWeights<T>(dims, nullptr).taken
                : ProjectedBackwardWeights<T>(dims, nullptr).taken;
}

template <typename T>
void prepare_backward(const Prepared<T>& prepared, const WeightPointers<const T>& w,
                      T* weights) noexcept {
  if (prepared.folded) {
    FoldedBackwardWeights<T>(prepared.dims, weights).fill(prepared, w);
  } else {
    ProjectedBackwardWeights<T>(prepared.dims, weights).fill(prepared, w);
  }
}

// One tile's backward pass on the route given by Backward: FoldedBackward or ProjectedBackward.
template <typename T, typename Backward>
class BackwardTile {
 public:
  BackwardTile(const Dims& dims, T* workspace)
      : carver_(workspace),
        tile_(dims, carver_),
        forward_(dims, carver_),
        route_(dims, carver_),
        g_transposed_(carver_.take(dims.units * tile_.stride)),
        g_packed_(carver_.take(dims.units * tile_.stride)),
        d_p_(carver_.take(tile_.group * dims.memory_size * tile_.stride)),
        clean_(carver_.take(dims.units * tile_.stride)) {}

  std::int64_t stride() const { return tile_.stride; }
  std::int64_t workspace() const { return carver_.taken(); }

  void run(const Prepared<T>& prepared, const WeightPointers<const T>& w,
           const typename Backward::Weights& weights, const Call& call,
           const BackwardArrays<T>& arrays, const typename Backward::Sums& sums, std::int64_t first,
           std::int64_t rows) {
    const std::int64_t U = tile_.dims.units, H = tile_.dims.num_heads;
    const T* x = arrays.x + first * U;
    const T* g = arrays.d_y + first * U;
    T* d_x = arrays.d_x ? arrays.d_x + first * U : nullptr;
    tile_.load(call, first, rows);
    forward_.load(prepared, w, tile_, x);
    note_used(sums.used);
    // Z = X + … + bo  =>  dX = G + …;  dbo = Σ G
    if (w.output_bias) add_rows(rows, U, g, sums.output_bias);
    if (d_x && call.residual) copy(rows * U, g, d_x);
    if (d_x && !call.residual) std::fill_n(d_x, rows * U, T(0));
    // A token that reads nothing must not reach a sum over tokens, not even as 0 times NaN.
    const bool inactive = !tile_.mask.all_active();
    const T* g_sum = inactive && !call.uniform_when_masked ? without_inactive(g) : g;
    pack_right(rows, U, g_sum, U, g_packed_);
    const T* x_sum = inactive ? without_inactive(x) : x;
    tile_.transpose_tokens(g, U, g_transposed_);
    route_.start(weights, tile_, x_sum, g_transposed_);
    // A backward call only reads `kept`.
    T* const kept = const_cast<T*>(arrays.kept);
    for (std::int64_t h = 0; h < H; h += tile_.group) {
      const std::int64_t heads = std::min(tile_.group, H - h);
      tile_.p = tile_.place(kept, h);
      if (!kept) {
        forward_.logits(prepared, tile_, h, heads);
        tile_.softmax_heads(call, heads);
      }
      const T* p = tile_.weights(call, h, heads);
      route_.read(forward_, prepared, weights, tile_, sums, h, heads, p, g_packed_, g_transposed_,
                  d_p_);
      softmax_backward_heads(call, h, heads);
      route_.logits(forward_, prepared, weights, tile_, sums, h, heads, d_p_, d_x);
    }
    route_.finish(forward_, weights, tile_, sums, x_sum, g_packed_, d_x);
  }

 private:
  // Computes d_p of heads h..h + heads - 1, from dP, the gradient of the read, to dL.
  void softmax_backward_heads(const Call& call, std::int64_t h, std::int64_t heads) {
    const std::int64_t S = tile_.dims.memory_size, stride = tile_.stride;
    if (call.dropout.rate > 0) tile_.dropout(call, h, heads, d_p_, d_p_);
    for (std::int64_t i = 0; i < heads; ++i) {
      softmax_backward(S, tile_.width, stride, tile_.mask.keep(), tile_.p + i * S * stride,
                       d_p_ + i * S * stride);
    }
  }

  void note_used(T* used_slots) const {
    for (std::int64_t s = 0; s < tile_.dims.memory_size; ++s) {
      bool used = false;
      for (std::int64_t i = 0; !used && i < tile_.rows; ++i) used = tile_.mask.reads(i, s);
      if (used) used_slots[s] = 1;
    }
  }

  // Returns the rows of a (rows, U) with zeros for tokens that keep no slot. Valid until the next
  // call.
  const T* without_inactive(const T* a) const {
    const std::int64_t U = tile_.dims.units;
    for (std::int64_t i = 0; i < tile_.rows; ++i) {
      for (std::int64_t u = 0; u < U; ++u) {
        clean_[i * U + u] = tile_.mask.active(i) ? a[i * U + u] : T(0);
      }
    }
    return clean_;
  }

  Carver<T> carver_;
  Tile<T> tile_;
  typename Backward::Heads forward_;
  Backward route_;
  T* g_transposed_;  // (U, stride)
  T* g_packed_;      // (rows, U): G, for sums over tokens
  T* d_p_;           // (group, S, stride): dP, then dL
  T* clean_;         // (rows, U): x or G, 0 where a token reads nothing
};

template <typename T>
std::int64_t backward_workspace(const Dims& dims, bool folded) noexcept {
  return folded ? BackwardTile<T, FoldedBackward<T>>(dims, nullptr).workspace()
                : BackwardTile<T, ProjectedBackward<T>>(dims, nullptr).workspace();
}

template <typename T, typename Backward>
void backward_tiles(const Prepared<T>& prepared, const WeightPointers<const T>& w, const T* weights,
                    const Call& call, const BackwardArrays<T>& arrays, std::int64_t first,
                    std::int64_t last, T* sums, T* workspace) {
  // Pointers to weights are writable for the code that creates them; here they are only read.
  const typename Backward::Weights views(prepared.dims, const_cast<T*>(weights));
  const typename Backward::Sums totals(prepared.dims, sums);
  BackwardTile<T, Backward> tile(prepared.dims, workspace);
  for (; first < last; first += tile.stride()) {
    tile.run(prepared, w, views, call, arrays, totals, first,
             std::min(tile.stride(), last - first));
  }
}

template <typename T>
void backward(const Prepared<T>& prepared, const WeightPointers<const T>& w, const T* weights,
              const Call& call, const BackwardArrays<T>& arrays, std::int64_t first,
              std::int64_t last, T* sums, T* workspace) noexcept {
  if (prepared.folded) {
    backward_tiles<T, FoldedBackward<T>>(prepared, w, weights, call, arrays, first, last, sums,
                                         workspace);
  } else {
    backward_tiles<T, ProjectedBackward<T>>(prepared, w, weights, call, arrays, first, last, sums,
                                            workspace);
  }
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_BACKWARD_INL_H_
