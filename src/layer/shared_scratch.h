// Scratch for pieces and sums of parts, which all passes use.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "kernels/executor.h"
#include "kernels/thread_count.h"
#include "layer/scratch.h"

namespace memattn {

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// `size`, rounded up to whole cache lines of either type.
constexpr std::int64_t aligned(std::int64_t size) { return divide_up(size, 16) * 16; }

// Scratch for bodies that run at once. All of it belongs to the calling thread, so a warm call
// allocates nothing, whichever threads its pieces run on.
template <typename T>
class SharedScratch {
 public:
  // For up to `threads` bodies at once, with `size` values each, at `base`.
  SharedScratch(T* base, std::int64_t size, std::int64_t threads)
      : base_(base), size_(size), slots_(threads) {}

  // Runs body(workspace) with its own part of the scratch.
  template <typename Body>
  void lend(Body body) noexcept {
    const std::int64_t slot = claim();
    body(base_ + slot * size_);
    Word& word = words_[static_cast<std::size_t>(slot / kBits)];
    word.fetch_and(~(std::uint64_t{1} << slot % kBits), std::memory_order_release);
  }

 private:
  using Word = std::atomic<std::uint64_t>;
  static constexpr std::int64_t kBits = 64;

  // There are as many slots as bodies at once, so one is free now or soon.
  std::int64_t claim() noexcept {
    for (std::int64_t slot = 0;; slot = (slot + 1) % slots_) {
      const std::uint64_t bit = std::uint64_t{1} << slot % kBits;
      Word& word = words_[static_cast<std::size_t>(slot / kBits)];
      if (!(word.fetch_or(bit, std::memory_order_acquire) & bit)) return slot;
    }
  }

  T* base_;
  std::int64_t size_;
  std::int64_t slots_;
  std::array<Word, kernels::kMaxThreads / kBits> words_{};  // a bit a slot: taken
};

inline std::int64_t threads_for(std::int64_t pieces) {
  return pieces > 1 ? std::min<std::int64_t>(pieces, kernels::thread_count()) : 1;
}

// Returns the tokens of one part of the backward pass, each with sums of its own. A part costs a
// pass over its sums and the memory for them, for any number of tokens. So there are at most 16
// parts, and fewer if the sums are large. Neither 16 nor kStep was measured.
inline std::int64_t backward_part(std::int64_t tokens, std::int64_t sums_size) {
  constexpr std::int64_t kStep = 192;  // a multiple of every tile
  const std::int64_t parts = sums_size <= (1 << 16) ? 16 : sums_size <= (1 << 20) ? 8 : 4;
  return std::max<std::int64_t>(1, divide_up(tokens, parts * kStep)) * kStep;
}

// Adds all parts, of `size` values each, to the first one, each element in the order of the parts.
template <typename T>
void add_parts(std::int64_t parts, std::int64_t size, T* sums) noexcept {
  constexpr std::int64_t kBlock = 1 << 14;
  kernels::parallel_for(parts > 1 ? divide_up(size, kBlock) : 0, [&](std::int64_t block) noexcept {
    const std::int64_t end = std::min(size, (block + 1) * kBlock);
    for (std::int64_t i = 1; i < parts; ++i) {
      const T* __restrict other = sums + i * size;
      T* __restrict total = sums;
      for (std::int64_t j = block * kBlock; j < end; ++j) total[j] += other[j];
    }
  });
}

}  // namespace memattn
