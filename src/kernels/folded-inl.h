// The folded route of a tile: logits from x·A + c, output from P·B. Included once for each
// instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_FOLDED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_FOLDED_INL_H_
#undef MEMATTN_KERNELS_FOLDED_INL_H_
#else
#define MEMATTN_KERNELS_FOLDED_INL_H_
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
class FoldedHeads {
 public:
  FoldedHeads(const Dims& dims, Carver<T>& carver)
      : x_transposed_(carver.take(dims.units * tile_tokens(dims))) {}

  void load(const Prepared<T>& prepared, const WeightPointers<const T>&, const Tile<T>& tile,
            const T* x) {
    tile.transpose_tokens(x, prepared.dims.units, x_transposed_);
  }

  // Computes logits of heads h..h + heads - 1 into p, (heads · S, stride): L = A_hᵀ·xᵀ + c.
  void logits(const Prepared<T>& prepared, const Tile<T>& tile, std::int64_t h,
              std::int64_t heads) const {
    const std::int64_t S = prepared.dims.memory_size, U = prepared.dims.units;
    multiply<T>(Start::kRowBias, heads * S, tile.width, U,
                {prepared.a_packed.data() + h * S * U, 0, 0, U}, {x_transposed_, tile.stride},
                tile.p, tile.stride, prepared.c.data() + h * S);
  }

  // Adds Σ_h P_h·B_h over heads h..h + heads - 1 to y (rows, U).
  void read(const Prepared<T>& prepared, const Tile<T>& tile, std::int64_t h, std::int64_t heads,
            const T* weights, T* y) {
    const std::int64_t S = prepared.dims.memory_size, U = prepared.dims.units;
    tile.read(prepared.finite, heads * S, U, weights,
              Right<T>{prepared.b_packed.data() + h * S * U, 0, heads * S}, y, U);
  }

  void finish(const Prepared<T>&, const WeightPointers<const T>&, const Tile<T>&, T*) const {}

 private:
  T* x_transposed_;  // (U, stride)
};

// Weights in the forms that the backward pass reads.
template <typename T>
struct FoldedBackwardWeights {
  FoldedBackwardWeights(const Dims& dims, T* base) {
    Carver<T> carver(base);
    const std::int64_t size = dims.num_heads * dims.memory_size * dims.units;
    a_packed = carver.take(size);
    b_packed = carver.take(size);
    taken = carver.taken();
  }

  void fill(const Prepared<T>& prepared, const WeightPointers<const T>&) const {
    const std::int64_t U = prepared.dims.units, S = prepared.dims.memory_size;
    const std::int64_t H = prepared.dims.num_heads, group = group_heads(prepared.dims);
    const auto for_each_group = [&](auto pack) {
      for (std::int64_t h = 0; h < H; h += group) pack(std::min(group, H - h) * S, h * S * U);
    };
    // Aᵀ temporarily lies in the place of B, which is packed after it.
    T* const a_transposed = b_packed;
    transpose(U, H * S, prepared.a.data(), H * S, a_transposed, U);
    for (std::int64_t i = 0; i < H * S * U; ++i) a_transposed[i] *= kFromBase2<T>;
    for_each_group([&](std::int64_t slots, std::int64_t offset) {
      pack_right(slots, U, a_transposed + offset, U, a_packed + offset);
    });
    for_each_group([&](std::int64_t slots, std::int64_t offset) {
      pack_left(slots, U, prepared.b.data() + offset, U, 1, b_packed + offset);
    });
  }

  T* a_packed = nullptr;  // A_hᵀ (H·S, U), natural, packed by groups of heads as a right operand
  T* b_packed = nullptr;  // B_h (H·S, U), packed by groups of heads as a left operand
  std::int64_t taken = 0;
};

// A tile's backward pass; `x` and `g` are the rows that may be summed over tokens.
template <typename T>
class FoldedBackward {
 public:
  using Heads = FoldedHeads<T>;
  using Weights = FoldedBackwardWeights<T>;
  using Sums = FoldedSums<T>;

  FoldedBackward(const Dims& dims, Carver<T>& carver)
      : x_packed_(carver.take(dims.units * tile_tokens(dims))) {}

  void start(const Weights&, const Tile<T>& tile, const T* x, const T*) {
    pack_right(tile.rows, tile.dims.units, x, tile.dims.units, x_packed_);
  }

  // Z = … + Σ_h P_h·B_h  =>  dB_h = Σ P_hᵀ·G;  dP_h = G·B_hᵀ
  void read(Heads&, const Prepared<T>&, const Weights& weights, const Tile<T>& tile,
            const Sums& sums, std::int64_t h, std::int64_t heads, const T* p, const T* g_packed,
            const T* g_transposed, T* d_p) {
    const std::int64_t U = tile.dims.units, S = tile.dims.memory_size, stride = tile.stride;
    const std::int64_t rows = tile.rows, slots = heads * S, offset = h * S * U;
    multiply<T>(Start::kAdd, slots, U, rows, {p, stride, 1}, {g_packed, 0, rows}, sums.b + offset,
                U);
    multiply<T>(Start::kZero, slots, tile.width, U, {weights.b_packed + offset, 0, 0, U},
                {g_transposed, stride}, d_p, stride);
  }

  // L = X·A + c  =>  dA_hᵀ = Σ dL_hᵀ·X;  dc_h = Σ dL_h;  dX += dL_h·A_hᵀ
  void logits(Heads&, const Prepared<T>& prepared, const Weights& weights, const Tile<T>& tile,
              const Sums& sums, std::int64_t h, std::int64_t heads, const T* d_logits, T* d_x) {
    const std::int64_t U = tile.dims.units, S = tile.dims.memory_size, stride = tile.stride;
    const std::int64_t rows = tile.rows, slots = heads * S, offset = h * S * U;
    multiply<T>(Start::kAdd, slots, U, rows, {d_logits, stride, 1}, {x_packed_, 0, rows},
                sums.a_transposed + offset, U);
    for (std::int64_t s = 0; s < slots; ++s) sums.c[h * S + s] += sum(rows, d_logits + s * stride);
    if (d_x) {
      tile.read(prepared.finite, slots, U, d_logits, Right<T>{weights.a_packed + offset, 0, slots},
                d_x, U);
    }
  }

  void finish(const Heads&, const Weights&, const Tile<T>&, const Sums&, const T*, const T*,
              T*) const {}

 private:
  T* x_packed_;  // (rows, U): x, for sums over tokens
};

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_FOLDED_INL_H_
