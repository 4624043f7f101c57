// Compiles the parts of the kernels once for each instruction set, as src/kernels/simd.cc does.
#define HWY_COMPILE_ALL_ATTAINABLE
#ifndef MEMATTN_SKIP_TARGETS
#define MEMATTN_SKIP_TARGETS 0
#endif
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SVE | HWY_SVE_256 | HWY_SVE2 | HWY_SVE2_128 | MEMATTN_SKIP_TARGETS)
#define HWY_IS_DEBUG_BUILD 0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/kernel_units.cc"
// clang-format off: Highway requires this order
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// clang-format on

#include "kernels/kernel_units.h"

#include <stdexcept>
#include <string_view>

#include "kernels/kernel_table.h"
#include "kernels/pack-inl.h"
#include "kernels/product-inl.h"
#include "kernels/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

template <typename T>
std::int64_t lanes_of() noexcept {
  return static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<T>()));
}
template <typename T>
void softmax_unit(std::int64_t slots, std::int64_t width, std::int64_t stride, const T* keep,
                  T* p) noexcept {
  softmax(slots, width, stride, keep, p);
}
template <typename T>
void softmax_backward_unit(std::int64_t slots, std::int64_t width, std::int64_t stride,
                           const T* keep, const T* p, T* d_p) noexcept {
  softmax_backward(slots, width, stride, keep, p, d_p);
}
template <typename T>
void dropout_unit(const Dropout& dropout, std::int64_t slots, std::int64_t width,
                  std::int64_t stride, const std::uint32_t* low, const std::uint32_t* high,
                  const T* in, T* out) noexcept {
  apply_dropout(dropout, slots, width, stride, low, high, in, out);
}
inline std::int64_t block_unit(std::int64_t rows) noexcept { return next_block(rows, kPackedRows); }
template <typename T>
std::int64_t panel_unit(std::int64_t columns) noexcept {
  return next_panel(columns, lanes_of<T>());
}
template <typename T>
void pack_left_unit(std::int64_t m, std::int64_t k, const T* a, std::int64_t row_stride,
                    std::int64_t k_stride, T* out) noexcept {
  pack_left(m, k, a, row_stride, k_stride, out);
}
template <typename T>
void pack_right_unit(std::int64_t k, std::int64_t n, const T* b, std::int64_t row_stride,
                     T* out) noexcept {
  pack_right(k, n, b, row_stride, out);
}
template <typename T>
void multiply_packed_unit(std::int64_t m, std::int64_t n, std::int64_t k, const T* a,
                          const T* a_packed, const T* b, const T* b_packed, T* c,
                          const T* bias) noexcept {
  const Left<T> left = a_packed ? Left<T>{a_packed, 0, 0, k} : Left<T>{a, k, 1};
  const Right<T> right = b_packed ? Right<T>{b_packed, 0, k} : Right<T>{b, n};
  multiply<T>(bias ? Start::kRowBias : Start::kZero, m, n, k, left, right, c, n, bias);
}
template <typename T>
void multiply_floats_unit(std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                          const float* b, std::int64_t ldb, T* c) noexcept {
  multiply<T, float, float>(Start::kZero, m, n, k, {a, k, 1}, {b, ldb}, c, n);
}

template <typename T>
constexpr KernelUnits<T> units(const char* isa) {
  return {.isa = isa,
          .lanes = &lanes_of<T>,
          .softmax = &softmax_unit<T>,
          .softmax_backward = &softmax_backward_unit<T>,
          .apply_dropout = &dropout_unit<T>,
          .next_block = &block_unit,
          .next_panel = &panel_unit<T>,
          .transpose = &transpose<T>,
          .pack_left = &pack_left_unit<T>,
          .pack_right = &pack_right_unit<T>,
          .multiply_packed = &multiply_packed_unit<T>,
          .multiply_floats = &multiply_floats_unit<T>};
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace memattn::kernels {

template <typename T>
const KernelUnits<T>& kernel_units() {
  static constexpr KernelUnits<T> kAll[] = {
#if HWY_TARGETS & HWY_AVX3
      N_AVX3::units<T>("avx3_bf16"), N_AVX3::units<T>("avx3"),
#endif
#if HWY_TARGETS & HWY_AVX2
      N_AVX2::units<T>("avx2"),
#endif
#if HWY_TARGETS & HWY_SSE4
      N_SSE4::units<T>("sse4"),
#endif
#if HWY_TARGETS & HWY_NEON
      N_NEON::units<T>("neon"),
#endif
#if HWY_TARGETS & HWY_EMU128
      N_EMU128::units<T>("scalar"),
#endif
#if HWY_TARGETS & HWY_SCALAR
      N_SCALAR::units<T>("scalar"),
#endif
  };
  for (const KernelUnits<T>& one : kAll) {
    if (std::string_view(one.isa) == chosen_kernels<T>().isa) return one;
  }
  throw std::logic_error("kernel_units: the kernels have an instruction set that the tests lack");
}

template const KernelUnits<float>& kernel_units<float>();
template const KernelUnits<double>& kernel_units<double>();

}  // namespace memattn::kernels
#endif  // HWY_ONCE
