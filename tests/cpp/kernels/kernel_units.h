// Single parts of the kernels for tests, from the instruction set in use.
#pragma once

#include <cstdint>

#include "kernels/call.h"

namespace memattn::kernels {

template <typename T>
struct KernelUnits {
  const char* isa;
  std::int64_t (*lanes)() noexcept;  // values of T in a vector

  // As documented in softmax-inl.h; all arrays are tiles (slots, stride).
  void (*softmax)(std::int64_t slots, std::int64_t width, std::int64_t stride, const T* keep,
                  T* p) noexcept;
  void (*softmax_backward)(std::int64_t slots, std::int64_t width, std::int64_t stride,
                           const T* keep, const T* p, T* d_p) noexcept;
  void (*apply_dropout)(const Dropout& dropout, std::int64_t slots, std::int64_t width,
                        std::int64_t stride, const std::uint32_t* low, const std::uint32_t* high,
                        const T* in, T* out) noexcept;

  // As documented in pack-inl.h.
  std::int64_t (*next_block)(std::int64_t rows) noexcept;     // rows of the next block, packed left
  std::int64_t (*next_panel)(std::int64_t columns) noexcept;  // columns of the next panel
  void (*transpose)(std::int64_t m, std::int64_t n, const T* a, std::int64_t lda, T* out,
                    std::int64_t ldo) noexcept;
  void (*pack_left)(std::int64_t m, std::int64_t k, const T* a, std::int64_t row_stride,
                    std::int64_t k_stride, T* out) noexcept;
  void (*pack_right)(std::int64_t k, std::int64_t n, const T* b, std::int64_t row_stride,
                     T* out) noexcept;

  // Computes C (m, n) = A·B with one or both operands packed, and optionally a bias per row of C.
  void (*multiply_packed)(std::int64_t m, std::int64_t n, std::int64_t k, const T* a,
                          const T* a_packed, const T* b, const T* b_packed, T* c,
                          const T* bias) noexcept;
  // Computes C (m, n) = A·B with operands stored as floats; rows of B lie ldb apart.
  void (*multiply_floats)(std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                          const float* b, std::int64_t ldb, T* c) noexcept;
};

// Returns the parts for the instruction set of chosen_kernels().
template <typename T>
const KernelUnits<T>& kernel_units();

}  // namespace memattn::kernels
