// Compiles the kernels once for each instruction set, and returns the table of the chosen one. Uses
// only Highway's headers. The choice is made here, so that forcing a set affects only memattn, and
// no library needs to be linked.
#define HWY_COMPILE_ALL_ATTAINABLE  // includes plain C++ even if the compiler may always use NEON
// No relevant machine has SSSE3 but not SSE4. The blocks of product-inl.h are arrays of vectors,
// which SVE's types do not allow.
#ifndef MEMATTN_SKIP_TARGETS
#define MEMATTN_SKIP_TARGETS 0
#endif
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SVE | HWY_SVE_256 | HWY_SVE2 | HWY_SVE2_128 | MEMATTN_SKIP_TARGETS)
#define HWY_IS_DEBUG_BUILD 0  // its assertions are in the library, which is not linked
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/simd.cc"
// clang-format off: Highway requires this order
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// clang-format on

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "kernels/backward-inl.h"
#include "kernels/bfloat16_forward-inl.h"
#include "kernels/exp2-inl.h"
#include "kernels/fold-inl.h"
#include "kernels/forward-inl.h"
#include "kernels/isa.h"
#include "kernels/kernel_table.h"
#include "kernels/pairs-inl.h"
#include "kernels/product-inl.h"
#include "kernels/sequence-inl.h"
#include "kernels/sequence_backward-inl.h"
#include "kernels/sequence_fold-inl.h"
#include "kernels/sequence_pairs-inl.h"
#include "kernels/sequence_unfold-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

template <typename T>
void multiply_matrices(bool add, std::int64_t m, std::int64_t n, std::int64_t k, const T* a,
                       std::int64_t row_stride, std::int64_t k_stride, const T* b, std::int64_t ldb,
                       T* c, std::int64_t ldc) noexcept {
  multiply<T>(add ? Start::kAdd : Start::kZero, m, n, k, {a, row_stride, k_stride}, {b, ldb}, c,
              ldc);
}

template <typename T>
constexpr Kernels<T> table(const char* isa) {
  return {.isa = isa,
          .prepare_heads = &prepare_heads<T>,
          .finish_prepare = &finish_prepare<T>,
          .forward_workspace = &forward_workspace<T>,
          .forward = &forward<T>,
          .backward_weights = &backward_weights<T>,
          .prepare_backward = &prepare_backward<T>,
          .backward_workspace = &backward_workspace<T>,
          .backward = &backward<T>,
          .finish_heads = &finish_heads<T>,
          .finish_memory = &finish_memory<T>,
          .sequence_fold_workspace = &sequence_fold_workspace<T>,
          .sequence_prepare_heads = &sequence_prepare_heads<T>,
          .sequence_finish_prepare = &sequence_finish_prepare<T>,
          .largest_magnitude = &largest_magnitude<T>,
          .sequence_sources = &sequence_sources<T>,
          .sequence_forward_workspace = &sequence_forward_workspace<T>,
          .sequence_forward = &sequence_forward<T>,
          .sequence_prepare_backward = &sequence_prepare_backward<T>,
          .sequence_backward_workspace = &sequence_backward_workspace<T>,
          .sequence_backward = &sequence_backward<T>,
          .sequence_unfold_workspace = &sequence_unfold_workspace<T>,
          .sequence_unfold = &sequence_unfold<T>,
          .multiply = &multiply_matrices<T>,
          .transpose = &transpose<T>,
          .add_rows = &add_rows<T>,
          .exp2 = &exp2_array<T>};
}

template <class Sums>
void multiply_pair_matrices(std::int64_t m, std::int64_t n, std::int64_t k, const Pair* a,
                            const Pair* b, float* c) noexcept {
  multiply_pairs<Sums>(Start::kAdd, m, n, k, {a, k, 1}, {b, n}, c, n);
}
template <class Sums>
void round_matrix_rows(std::int64_t m, std::int64_t k, const float* a, Pair* out) noexcept {
  Sums::Rounding::rows(m, k, a, k, out, pairs_of(k));
}
template <class Sums>
void round_matrix_columns(std::int64_t k, std::int64_t n, const float* b, Pair* out) noexcept {
  Sums::Rounding::columns(k, n, b, n, out, n);
}

template <class Sums>
constexpr PairKernels pair_table(const char* isa) {
  return {.isa = isa,
          .prepare = &prepare_pairs<Sums>,
          .forward_workspace = &pair_forward_workspace<Sums>,
          .forward = &pair_forward<Sums>,
          .sequence_prepare = &sequence_prepare_pairs<Sums>,
          .sequence_round_sources = &sequence_round_sources<Sums>,
          .sequence_forward_workspace = &sequence_pair_forward_workspace<Sums>,
          .sequence_forward = &sequence_pair_forward<Sums>,
          .multiply = &multiply_pair_matrices<Sums>,
          .round_rows = &round_matrix_rows<Sums>,
          .round_columns = &round_matrix_columns<Sums>};
}

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace memattn::kernels {
namespace {

// Best first, under the names that MEMATTN_FORCE_ISA takes.
template <typename T>
constexpr std::array kTables = {
#if HWY_TARGETS & HWY_AVX3
    N_AVX3::table<T>("avx3_bf16"), N_AVX3::table<T>("avx3"),
#endif
#if HWY_TARGETS & HWY_AVX2
    N_AVX2::table<T>("avx2"),
#endif
#if HWY_TARGETS & HWY_SSE4
    N_SSE4::table<T>("sse4"),
#endif
#if HWY_TARGETS & HWY_NEON
    N_NEON::table<T>("neon"),
#endif
#if HWY_TARGETS & HWY_EMU128
    N_EMU128::table<T>("scalar"),
#endif
#if HWY_TARGETS & HWY_SCALAR
    N_SCALAR::table<T>("scalar"),
#endif
};

// In the same order as above.
constexpr std::array kPairTables = {
#if HWY_TARGETS & HWY_AVX3
    N_AVX3::pair_table<N_AVX3::DotPairSums>("avx3_bf16"),
    N_AVX3::pair_table<N_AVX3::EmulatedPairSums>("avx3"),
#endif
#if HWY_TARGETS & HWY_AVX2
    N_AVX2::pair_table<N_AVX2::EmulatedPairSums>("avx2"),
#endif
#if HWY_TARGETS & HWY_SSE4
    N_SSE4::pair_table<N_SSE4::EmulatedPairSums>("sse4"),
#endif
#if HWY_TARGETS & HWY_NEON
    N_NEON::pair_table<N_NEON::EmulatedPairSums>("neon"),
#endif
#if HWY_TARGETS & HWY_EMU128
    N_EMU128::pair_table<N_EMU128::EmulatedPairSums>("scalar"),
#endif
#if HWY_TARGETS & HWY_SCALAR
    N_SCALAR::pair_table<N_SCALAR::EmulatedPairSums>("scalar"),
#endif
};

std::vector<std::string_view> compiled_isas() {
  std::vector<std::string_view> names;
  for (const Kernels<float>& table : kTables<float>) names.emplace_back(table.isa);
  return names;
}

template <typename Tables>
const auto& choose(const Tables& tables) {
  const std::string_view name = choose_isa(compiled_isas(), forced_isa());
  return *std::ranges::find(tables, name,
                            [](const auto& table) { return std::string_view(table.isa); });
}

}  // namespace

std::vector<std::string_view> available_isas() {
  std::vector<std::string_view> names = compiled_isas();
  std::erase_if(names, [](std::string_view name) { return !isa_supported(name); });
  return names;
}

template <typename T>
const Kernels<T>& chosen_kernels() {
  static const Kernels<T>& kernels = choose(kTables<T>);
  return kernels;
}

const PairKernels& chosen_pair_kernels() {
  static const PairKernels& kernels = choose(kPairTables);
  return kernels;
}

template const Kernels<float>& chosen_kernels<float>();
template const Kernels<double>& chosen_kernels<double>();

}  // namespace memattn::kernels
#endif  // HWY_ONCE
