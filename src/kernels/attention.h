// The layer's arithmetic over tokens, forward and backward, by the folded or the projected path
// (Prepared::folded). Tokens are taken a few at a time, so that nothing of size N·H·S is ever kept.
#pragma once

#include <cstdint>

#include "kernels/call.h"
#include "kernels/fold.h"

namespace memattn::kernels {

template <typename T>
struct ForwardBuffers {
  const T* x = nullptr;  // (B, T, U)
  T* y = nullptr;        // (B, T, U); may be x
  T* scores = nullptr;   // (B, H, T, S), averaged over heads (B, T, S), or null
  bool average_heads = false;
  T* workspace = nullptr;        // forward_workspace() values
  std::uint8_t* keep = nullptr;  // mask_workspace() bytes
};

template <typename T>
void forward(const Prepared<T>& prepared, const WeightPointers<const T>& w, const Call& call,
             const ForwardBuffers<T>& buffers) noexcept;

template <typename T>
struct BackwardBuffers {
  const T* x = nullptr;          // (B, T, U)
  const T* d_y = nullptr;        // (B, T, U)
  T* d_x = nullptr;              // (B, T, U), or null
  WeightPointers<T> d_weights;   // each zero on entry
  T* workspace = nullptr;        // backward_workspace() values
  std::uint8_t* keep = nullptr;  // mask_workspace() bytes
};

template <typename T>
void backward(const Prepared<T>& prepared, const WeightPointers<const T>& w, const Call& call,
              const BackwardBuffers<T>& buffers) noexcept;

std::int64_t forward_workspace(const Dims& dims) noexcept;
std::int64_t backward_workspace(const Dims& dims, bool folded) noexcept;
std::int64_t mask_workspace(const Dims& dims) noexcept;

}  // namespace memattn::kernels
