// A few tokens at a time: which slots they read, softmax and dropout over their logits, and the
// products in which a masked slot or token must not count, whatever it holds.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/call.h"
#include "kernels/matmul.h"

namespace memattn::kernels {

inline constexpr std::int64_t kTileRows = 16;  // tokens; scores of a tile stay in cache

struct Tile {
  std::int64_t first = 0;          // the first token, b * T + t
  std::int64_t rows = 0;           // tokens in the tile, at most kTileRows
  std::uint8_t* reads = nullptr;   // (rows, S): the slots that count; null: all
  std::uint8_t* learns = nullptr;  // (rows): false when every slot is masked, so that no gradient
                                   // goes through the softmax; used with `reads` only
};

// Fills tile.reads and tile.learns, and marks in slot_used (S) the slots that any token reads.
inline void mask_tile(const Dims& dims, const Call& call, const Tile& tile,
                      std::uint8_t* slot_used) noexcept {
  const std::int64_t S = dims.memory_size;
  for (std::int64_t i = 0; tile.reads && i < tile.rows; ++i) {
    const std::int64_t b = (tile.first + i) / call.steps;
    const std::int64_t t = (tile.first + i) % call.steps;
    std::uint8_t* reads = tile.reads + i * S;
    bool any = false;
    for (std::int64_t s = 0; s < S; ++s) {
      reads[s] = call.mask.keeps(b, t, s, call.steps, S);
      any |= reads[s] != 0;
    }
    tile.learns[i] = any;
    if (!any && call.uniform_when_masked) std::fill_n(reads, S, std::uint8_t{1});
    for (std::int64_t s = 0; slot_used && s < S; ++s) slot_used[s] |= reads[s];
  }
}

// p (S) from logits to softmax over the slots that `reads` keeps (null: all); the rest becomes 0.
template <typename T>
void softmax_row(std::int64_t slots, const std::uint8_t* reads, T* p) noexcept {
  bool first = true;
  T largest = 0;
  for (std::int64_t s = 0; s < slots; ++s) {
    if (reads && !reads[s]) continue;
    if (first || p[s] > largest) largest = p[s];
    first = false;
  }
  T total = 0;
  for (std::int64_t s = 0; s < slots; ++s) {
    p[s] = reads && !reads[s] ? T(0) : std::exp(p[s] - largest);
    total += p[s];
  }
  for (std::int64_t s = 0; s < slots; ++s) {
    if (!reads || reads[s]) p[s] /= total;
  }
}

// p (rows, H, S) from logits to the scores P.
template <typename T>
void softmax_tile(const Dims& dims, const Tile& tile, T* p) noexcept {
  const auto S = dims.memory_size;
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    const std::uint8_t* reads = tile.reads ? tile.reads + i * S : nullptr;
    for (std::int64_t h = 0; h < dims.num_heads; ++h) {
      T* row = p + (i * dims.num_heads + h) * S;
      if (!tile.reads || tile.learns[i]) {
        softmax_row(S, reads, row);
      } else {  // nothing is kept: all of it alike, or nothing
        std::fill_n(row, S, reads[0] ? T(1) / static_cast<T>(S) : T(0));
      }
    }
  }
}

// d_p (rows, H, S) from the gradient by P to the gradient by the logits:
// dL = P ∘ (dP − rowsum(P ∘ dP)) over the slots that are read.
template <typename T>
void softmax_tile_backward(const Dims& dims, const Tile& tile, const T* p, T* d_p) noexcept {
  const auto S = dims.memory_size;
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    const std::uint8_t* reads = tile.reads ? tile.reads + i * S : nullptr;
    const bool learns = !tile.reads || tile.learns[i];
    for (std::int64_t h = 0; h < dims.num_heads; ++h) {
      const T* row = p + (i * dims.num_heads + h) * S;
      T* d_row = d_p + (i * dims.num_heads + h) * S;
      T sum = 0;
      for (std::int64_t s = 0; s < S; ++s) {
        if (!reads || reads[s]) sum += row[s] * d_row[s];
      }
      for (std::int64_t s = 0; s < S; ++s) {
        d_row[s] = learns && (!reads || reads[s]) ? row[s] * (d_row[s] - sum) : T(0);
      }
    }
  }
}

// out (rows, H, S) = in times 0 where dropout falls and 1 / (1 - rate) elsewhere; its own backward.
template <typename T>
void dropout_tile(const Dims& dims, const Call& call, const Tile& tile, const T* in,
                  T* out) noexcept {
  const auto S = dims.memory_size;
  const auto scale = static_cast<T>(call.dropout.scale());
  const std::uint32_t threshold = call.dropout.threshold();
  for (std::int64_t row = 0; row < tile.rows * dims.num_heads; ++row) {
    const std::uint64_t key = call.dropout.row_key(tile.first * dims.num_heads + row);
    for (std::int64_t s = 0; s < S; ++s) {
      out[row * S + s] = Dropout::keeps(key, s, threshold) ? in[row * S + s] * scale : T(0);
    }
  }
}

// c (rows, n) += weights (rows, S) * slots (S, n). `careful`: a slot that a token does not read is
// left out even as 0 times NaN.
template <typename T>
void read_slots(const Tile& tile, bool careful, std::int64_t slots, std::int64_t n,
                const T* weights, std::int64_t ldw, const T* memory, std::int64_t ldm, T* c,
                std::int64_t ldc) noexcept {
  if (!careful || !tile.reads) {
    matmul_add(tile.rows, n, slots, weights, ldw, memory, ldm, c, ldc);
    return;
  }
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    for (std::int64_t s = 0; s < slots; ++s) {
      if (!tile.reads[i * slots + s]) continue;
      matmul_add(1, n, 1, weights + i * ldw + s, ldw, memory + s * ldm, ldm, c + i * ldc, ldc);
    }
  }
}

// c (m, n) += aᵀ * b over the tokens of the tile, a (rows, m) and b (rows, n); tokens with
// counts[i] == 0 are left out even as 0 times NaN (null: all count).
template <typename T>
void sum_tokens(const Tile& tile, const std::uint8_t* counts, std::int64_t m, std::int64_t n,
                const T* a, std::int64_t lda, const T* b, std::int64_t ldb, T* c,
                std::int64_t ldc) noexcept {
  if (!counts) {
    matmul_transposed_add(m, n, tile.rows, a, lda, b, ldb, c, ldc);
    return;
  }
  for (std::int64_t i = 0; i < tile.rows; ++i) {
    if (counts[i])
      matmul_transposed_add(m, n, std::int64_t{1}, a + i * lda, lda, b + i * ldb, ldb, c, ldc);
  }
}

}  // namespace memattn::kernels
