// The forward pass in bfloat16: the routes of folded-inl.h and projected-inl.h with operands
// rounded to bfloat16, and sums, softmax, biases and residual in float. Included once for each
// instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_BFLOAT16_FORWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_BFLOAT16_FORWARD_INL_H_
#undef MEMATTN_KERNELS_BFLOAT16_FORWARD_INL_H_
#else
#define MEMATTN_KERNELS_BFLOAT16_FORWARD_INL_H_
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "hwy/highway.h"
#include "kernels/forward-inl.h"
#include "kernels/kernel_table.h"
#include "kernels/pairs-inl.h"
#include "kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

// Rounding tokens and A causes an error of about 0.0011 of the standard deviation of a slot's
// logits. For large logits this is too much for the softmax: at a deviation of 2.5 the output is
// wrong by 2e-3. So a logit is computed in float if the product for its token and slot exceeds this
// bound; no other slot or token matters. A lower bound costs speed, since such a tile computes both
// products: at 2, where 86 of 100 tiles of the bench's xtft have such a logit, a pass took 1.3
// times as long as in float.
inline constexpr float kLargestSpread = 2.5f;

// Returns the largest of `size` values that are not negative, or NaN if there is one; NaN is far.
inline float largest_or_nan(std::int64_t size, const float* values) {
  // The bits of non-negative floats have the order of their values, with NaN above all.
  std::int32_t largest = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    largest = std::max(largest, std::bit_cast<std::int32_t>(values[i]) & 0x7fffffff);
  }
  return std::bit_cast<float>(largest);
}

// Fills spread (H, S) with about the standard deviation of each slot's logits, over tokens whose
// elements have mean square 1. Returns the largest.
inline float find_spread(const Prepared<float>& prepared, float* spread) {
  const std::int64_t U = prepared.dims.units;
  const std::int64_t HS = prepared.dims.num_heads * prepared.dims.memory_size;
  std::fill_n(spread, HS, 0.0f);
  for (std::int64_t u = 0; u < U; ++u) {
    const float* const a = prepared.a.data() + u * HS;
    for (std::int64_t s = 0; s < HS; ++s) spread[s] += a[s] * a[s];
  }
  for (std::int64_t s = 0; s < HS; ++s) spread[s] = kFromBase2<float> * std::sqrt(spread[s]);
  return largest_or_nan(HS, spread);
}

// Sets sizes (rows) to factor times the root of the sum of squares of each row of a (rows, n), with
// rows lda apart. Returns the largest, or NaN if there is one.
inline float measure_rows(std::int64_t rows, std::int64_t n, const float* a, std::int64_t lda,
                          float factor, float* sizes) {
  for (std::int64_t i = 0; i < rows; ++i) sizes[i] = sum_of_squares(n, a + i * lda);
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= rows; i += lanes) {
    hn::StoreU(hn::Mul(hn::Set(d, factor), hn::Sqrt(hn::LoadU(d, sizes + i))), d, sizes + i);
  }
  for (; i < rows; ++i) sizes[i] = factor * std::sqrt(sizes[i]);
  return largest_or_nan(rows, sizes);
}

// Returns the factor that turns the root of the sum of squares of a token's U elements into the
// root of their mean square.
inline float token_factor(std::int64_t units) {
  return 1.0f / std::sqrt(static_cast<float>(units));
}

// Returns the least value that is not NaN, or infinity.
inline float least_of(std::int64_t size, const float* values) {
  float least = std::numeric_limits<float>::infinity();
  for (std::int64_t i = 0; i < size; ++i) least = values[i] < least ? values[i] : least;
  return least;
}

// Returns whether a logit is computed in float. NaN is far.
inline bool is_far(float size, float spread) { return !(size * spread <= kLargestSpread); }

// Copies from `exact`, the logits computed in float, to p (slots, stride) where a logit is far.
inline void take_far(std::int64_t slots, std::int64_t width, std::int64_t stride,
                     const float* sizes, const float* spread, const float* exact, float* p) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto limit = hn::Set(d, kLargestSpread);
  for (std::int64_t s = 0; s < slots; ++s) {
    const auto factor = hn::Set(d, spread[s]);
    std::int64_t j = 0;
    for (; j + lanes <= width; j += lanes) {
      const std::int64_t at = s * stride + j;
      const auto near = hn::Le(hn::Mul(hn::LoadU(d, sizes + j), factor), limit);
      hn::StoreU(hn::IfThenElse(near, hn::LoadU(d, p + at), hn::LoadU(d, exact + at)), d, p + at);
    }
    for (; j < width; ++j) {
      if (is_far(sizes[j], spread[s])) p[s * stride + j] = exact[s * stride + j];
    }
  }
}

// Fills `pairs`, whose buffers have their sizes.
template <class Sums>
void prepare_pairs(const Prepared<float>& prepared, PreparedPairs& pairs) noexcept {
  const auto [U, S, H, D, Dv] = prepared.dims;
  const std::int64_t slots = pairs_of(S);
  const auto size = [](const auto& buffer) { return static_cast<std::int64_t>(buffer.size()); };
  pairs.finite = prepared.finite;
  if (!prepared.folded) {
    for (std::int64_t h = 0; h < H; ++h) {
      Sums::Rounding::columns(S, Dv, prepared.values.data() + h * S * Dv, Dv,
                              pairs.values.data() + h * slots * Dv, Dv);
    }
    pairs.finite = pairs.finite && all_finite(size(pairs.values), pairs.values.data());
    return;
  }
  pairs.largest_spread = find_spread(prepared, pairs.spread.data());
  Sums::Rounding::columns(U, H * S, prepared.a.data(), H * S, pairs.a.data(), H * S);
  for (std::int64_t h = 0; h < H; ++h) {
    Sums::Rounding::columns(S, U, prepared.b.data() + h * S * U, U, pairs.b.data() + h * slots * U,
                            U);
  }
  const std::int64_t group = group_heads(prepared.dims);
  for (std::int64_t h = 0; h < H; h += group) {
    const std::int64_t heads = std::min(group, H - h), at = h * slots * U;
    pack_left(heads * S, pairs_of(U), pairs.a.data() + h * S, 1, H * S,
              pairs.a_packed.data() + h * S * pairs_of(U));
    pack_right(heads * slots, U, pairs.b.data() + at, U, pairs.b_packed.data() + at);
  }
  pairs.finite = pairs.finite && all_finite(size(pairs.b), pairs.b.data());
}

// The data that the routes read, and the kind of sums that they use.
template <class Sums>
struct PairFold {
  PairFold(const Prepared<float>& floats, const PreparedPairs& rounded)
      : plain(floats), pairs(rounded), dims(floats.dims), folded(floats.folded) {}

  const Prepared<float>& plain;
  const PreparedPairs& pairs;
  Dims dims;
  bool folded;
};

// P of a tile's heads in pairs of slots, and the products that read with it.
template <class Sums>
class PairReads {
 public:
  PairReads(const Dims& dims, std::int64_t lanes, std::int64_t heads, std::int64_t width,
            Carver<float>& carver)
      : slots_(pairs_of(dims.memory_size)),
        p_(take_pairs(carver, heads * slots_ * lanes)),
        line_(take_pairs(carver, width)) {}

  // Loads P from weights (heads · S, stride) of a tile.
  void load(const Tile<float>& tile, std::int64_t heads, const float* weights) {
    const std::int64_t S = tile.dims.memory_size, stride = tile.stride;
    for (std::int64_t i = 0; i < heads; ++i) {
      Sums::Rounding::columns(S, tile.width, weights + i * S * stride, stride,
                              p_ + i * slots_ * stride, stride);
    }
  }

  // Sets or increments c (count, n) by P of heads first..first + heads - 1, tokens row..row + count
  // - 1, times the content of their slots, `held` (heads · S / 2, n) pairs; `packed` is a packed
  // copy or null. Slots that a token does not read are left out, as in Tile::read.
  void read(const Tile<float>& tile, std::int64_t row, std::int64_t count, Start start, bool finite,
            std::int64_t first, std::int64_t heads, std::int64_t n, Right<Pair> held,
            const Pair* packed, float* c, std::int64_t ldc) const {
    const std::int64_t stride = tile.stride, all = heads * slots_;
    const Pair* const p = p_ + first * slots_ * stride + row;
    if (finite || !tile.mask.any()) {
      multiply_pairs<Sums>(start, count, n, all, {p, 1, stride},
                           packed ? Right<Pair>{packed, 0, all} : held, c, ldc);
      return;
    }
    const std::int64_t S = tile.dims.memory_size;
    for (std::int64_t i = 0; i < count; ++i) {
      float* const out = c + i * ldc;
      if (start == Start::kZero) std::fill_n(out, n, 0.0f);
      for (std::int64_t s = 0; s < all; ++s) {
        const std::int64_t slot = 2 * (s % slots_);
        const Pair mask = (tile.mask.reads(row + i, slot) ? 0x0000ffffu : 0u) |
                          (slot + 1 < S && tile.mask.reads(row + i, slot + 1) ? 0xffff0000u : 0u);
        if (mask == 0) continue;
        for (std::int64_t j = 0; j < n; ++j) line_[j] = held.data[s * held.row_stride + j] & mask;
        multiply_pairs<Sums>(Start::kAdd, 1, n, 1, {p + s * stride + i, 1, 1}, {line_, n}, out,
                             ldc);
      }
    }
  }

 private:
  std::int64_t slots_;  // pairs of a head
  Pair* p_;             // (heads, S / 2, stride)
  Pair* line_;          // (n)
};

// Like FoldedHeads, in bfloat16.
template <class Sums>
class FoldedPairHeads {
 public:
  FoldedPairHeads(const Dims& dims, Carver<float>& carver)
      : x_(take_pairs(carver, tile_tokens(dims) * pairs_of(dims.units))),
        x_transposed_(take_pairs(carver, pairs_of(dims.units) * tile_tokens(dims))),
        floats_transposed_(carver.take(dims.units * tile_tokens(dims))),
        reads_(dims, tile_tokens(dims), group_heads(dims), dims.units, carver) {}

  void load(const PairFold<Sums>& fold, const WeightPointers<const float>&, const Tile<float>& tile,
            const float* x) {
    const std::int64_t U = fold.dims.units;
    largest_size_ = measure_rows(tile.rows, U, x, U, token_factor(U), sizes_.data());
    std::fill(sizes_.begin() + tile.rows, sizes_.begin() + tile.width, 0.0f);
    if (is_far(largest_size_, fold.pairs.largest_spread)) {
      tile.transpose_tokens(x, U, floats_transposed_);
    }
    Sums::Rounding::rows(tile.rows, U, x, U, x_, pairs_of(U));
    tile.transpose_tokens(x_, pairs_of(U), x_transposed_);
  }

  // Computes logits of heads h..h + heads - 1 into p, (heads · S, stride): L = A_hᵀ·xᵀ + c.
  void logits(const PairFold<Sums>& fold, const Tile<float>& tile, std::int64_t h,
              std::int64_t heads) const {
    const std::int64_t U = fold.dims.units, S = fold.dims.memory_size, k = pairs_of(U);
    const std::int64_t slots = heads * S;
    const float* const c = fold.plain.c.data() + h * S;
    const float* const spread = fold.pairs.spread.data() + h * S;
    const float *const first = sizes_.data(), *const last = first + tile.rows;
    const auto far_from = [](float size) {
      return [size](float one) { return is_far(size, one); };
    };
    const bool any = is_far(largest_size_, fold.pairs.largest_spread) &&
                     std::any_of(spread, spread + slots, far_from(largest_size_));
    const bool all = any && std::all_of(first, last, far_from(least_of(slots, spread)));
    if (!all) {
      multiply_pairs<Sums>(Start::kRowBias, slots, tile.width, k,
                           {fold.pairs.a_packed.data() + h * S * k, 0, 0, k},
                           {x_transposed_, tile.stride}, tile.p, tile.stride, c);
    }
    if (!any) return;
    float* const exact = all ? tile.p : tile.dropped;  // which only training uses
    multiply<float>(Start::kRowBias, slots, tile.width, U,
                    {fold.plain.a_packed.data() + h * S * U, 0, 0, U},
                    {floats_transposed_, tile.stride}, exact, tile.stride, c);
    if (!all) take_far(slots, tile.width, tile.stride, sizes_.data(), spread, exact, tile.p);
  }

  // y (rows, U) += Σ_h P_h·B_h over heads h..h + heads - 1.
  void read(const PairFold<Sums>& fold, const Tile<float>& tile, std::int64_t h, std::int64_t heads,
            const float* weights, float* y) {
    const std::int64_t U = fold.dims.units, at = h * pairs_of(fold.dims.memory_size) * U;
    reads_.load(tile, heads, weights);
    reads_.read(tile, 0, tile.rows, Start::kAdd, fold.pairs.finite, 0, heads, U,
                {fold.pairs.b.data() + at, U}, fold.pairs.b_packed.data() + at, y, U);
  }

  void finish(const PairFold<Sums>&, const WeightPointers<const float>&, const Tile<float>&,
              float*) const {}

 private:
  Pair* x_;                                     // (rows, U / 2)
  Pair* x_transposed_;                          // (U / 2, stride)
  float* floats_transposed_;                    // (U, stride): x in float, if a logit may be far
  std::array<float, kLargestTile> sizes_ = {};  // (stride) of the tokens
  float largest_size_ = 0;
  PairReads<Sums> reads_;
};

// Like ProjectedHeads, but only with the read in bfloat16: rounding queries, context and kernels as
// well makes the output wrong by 2.2e-3 and more.
template <class Sums>
class ProjectedPairHeads {
 public:
  ProjectedPairHeads(const Dims& dims, Carver<float>& carver)
      : plain_(dims, carver),
        reads_(dims, tile_tokens(dims), group_heads(dims), dims.value_dim, carver) {}

  void load(const PairFold<Sums>& fold, const AttentionWeights<const float>& w,
            const Tile<float>& tile, const float* x) {
    plain_.load(fold.plain, w, tile, x);
  }
  void logits(const PairFold<Sums>& fold, const Tile<float>& tile, std::int64_t h,
              std::int64_t heads) const {
    plain_.logits(fold.plain, tile, h, heads);
  }

  // context (rows, H, Dv) = P_h·V_h for heads h..h + heads - 1.
  void read(const PairFold<Sums>& fold, const Tile<float>& tile, std::int64_t h, std::int64_t heads,
            const float* weights, float*) {
    const std::int64_t slots = pairs_of(fold.dims.memory_size), Dv = fold.dims.value_dim;
    reads_.load(tile, heads, weights);
    for (std::int64_t i = 0; i < heads; ++i) {
      reads_.read(tile, 0, tile.rows, Start::kZero, fold.pairs.finite, i, 1, Dv,
                  {fold.pairs.values.data() + (h + i) * slots * Dv, Dv}, nullptr,
                  plain_.context() + (h + i) * Dv, fold.dims.num_heads * Dv);
    }
  }

  void finish(const PairFold<Sums>& fold, const AttentionWeights<const float>& w,
              const Tile<float>& tile, float* y) const {
    plain_.finish(fold.plain, w, tile, y);
  }

 private:
  ProjectedHeads<float> plain_;
  PairReads<Sums> reads_;
};

// Like forward_few of Prepared, with the same chains of sums as in a tile.
struct FewPairs {
  FewPairs(const Dims& dims, float* base) : carver(base) {
    x = take_pairs(carver, kFewTokens * pairs_of(dims.units));
    scores = carver.take(kFewTokens * dims.num_heads * dims.memory_size);
    exact = carver.take(dims.num_heads * dims.memory_size);
    sizes = carver.take(kFewTokens);
    p = take_pairs(carver, kFewTokens * dims.num_heads * pairs_of(dims.memory_size));
  }
  Carver<float> carver;
  Pair* x;        // (rows, U / 2)
  float* scores;  // (rows, H, S)
  float* sizes;   // (rows) of the tokens
  float* exact;   // (H, S): a token's logits in float, if some are far
  Pair* p;        // (rows, H, S / 2)
};

template <class Sums>
void forward_few(const PairFold<Sums>& fold, const WeightPointers<const float>& w, const Call& call,
                 const float* x, float* y, std::int64_t rows, float* workspace) {
  const std::int64_t U = fold.dims.units, S = fold.dims.memory_size, H = fold.dims.num_heads;
  const std::int64_t HS = H * S, width = pairs_of(U), slots = H * pairs_of(S);
  const FewPairs few(fold.dims, workspace);
  const float largest = measure_rows(rows, U, x, U, token_factor(U), few.sizes);
  const bool any_far = is_far(largest, fold.pairs.largest_spread);
  Sums::Rounding::rows(rows, U, x, U, few.x, width);
  for (std::int64_t i = 0; i < rows; ++i) {
    float* const logits = few.scores + i * HS;
    std::copy_n(fold.plain.c.data(), HS, logits);
    multiply_pairs<Sums>(Start::kAdd, 1, HS, width, {few.x + i * width, width, 1},
                         {fold.pairs.a.data(), HS}, logits, HS);
    const float size = few.sizes[i];
    if (!any_far || !is_far(size, fold.pairs.largest_spread)) continue;
    std::copy_n(fold.plain.c.data(), HS, few.exact);
    multiply<float>(Start::kAdd, 1, HS, U, {x + i * U, U, 1}, {fold.plain.a.data(), HS}, few.exact,
                    HS);
    for (std::int64_t s = 0; s < HS; ++s) {
      if (is_far(size, fold.pairs.spread[static_cast<std::size_t>(s)])) logits[s] = few.exact[s];
    }
  }
  softmax_few(rows * H, S, few.scores);
  Sums::Rounding::rows(rows * H, S, few.scores, S, few.p, pairs_of(S));
  start_output(w, call, rows, U, x, y);
  multiply_pairs<Sums>(Start::kAdd, rows, U, slots, {few.p, slots, 1}, {fold.pairs.b.data(), U}, y,
                       U);
}

template <class Sums>
std::int64_t pair_forward_workspace(const Dims& dims, bool folded) noexcept {
  using Folded = ForwardTile<float, FoldedPairHeads<Sums>>;
  using Projected = ForwardTile<float, ProjectedPairHeads<Sums>>;
  const std::int64_t tiles =
      folded ? Folded(dims, nullptr).carver.taken() : Projected(dims, nullptr).carver.taken();
  return std::max(tiles, FewPairs(dims, nullptr).carver.taken());
}

template <class Sums>
void pair_forward(const Prepared<float>& prepared, const PreparedPairs& pairs,
                  const WeightPointers<const float>& w, const Call& call,
                  const ForwardArrays<float>& arrays, std::int64_t first, std::int64_t last,
                  float* workspace) noexcept {
  const PairFold<Sums> fold(prepared, pairs);
  if (goes_as_few(fold, call, arrays, last - first)) {
    const std::int64_t at = first * fold.dims.units;
    forward_few(fold, w, call, arrays.x + at, arrays.y + at, last - first, workspace);
  } else if (fold.folded) {
    forward_tiles<float, FoldedPairHeads<Sums>>(fold, w, call, arrays, first, last, workspace);
  } else {
    forward_tiles<float, ProjectedPairHeads<Sums>>(fold, w, call, arrays, first, last, workspace);
  }
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_BFLOAT16_FORWARD_INL_H_
