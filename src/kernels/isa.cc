// Chooses the instruction set from the processor's features and MEMATTN_FORCE_ISA.
#include "kernels/isa.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "check.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

namespace memattn::kernels {
namespace {

#if defined(__x86_64__) || defined(__i386__)

// Reads CPUID directly: __builtin_cpu_supports asks the compiler's run-time library, and some
// compilers' library finds no AVX2 on any processor.
struct Registers {
  std::uint32_t eax, ebx, ecx, edx;
};

// Returns zeros for a leaf that the processor does not have.
Registers cpuid(std::uint32_t leaf, std::uint32_t subleaf) noexcept {
  Registers found{};
  __get_cpuid_count(leaf, subleaf, &found.eax, &found.ebx, &found.ecx, &found.edx);
  return found;
}

constexpr bool has_bits(std::uint32_t value, std::uint32_t bits) noexcept {
  return (value & bits) == bits;
}

// Returns the registers that the operating system saves on a thread switch (XCR0).
std::uint32_t saved_registers() noexcept {
  std::uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

constexpr std::uint32_t kSavesYmm = 0x06;         // XMM and YMM
constexpr std::uint32_t kSavesZmm = 0xE0 | 0x06;  // masks and ZMM, too

// The features that each instruction set needs: those for which Highway's target of that name
// compiles (hwy/ops/set_macros-inl.h), and for avx3_bf16 also that of pairs-inl.h.
struct Features {
  bool sse4, avx2, avx3, avx3_bf16;
};

Features read_features() noexcept {
  const Registers one = cpuid(1, 0);
  const Registers seven = cpuid(7, 0);
  // Without subleaf 1, it reads as zero or as the content of another leaf.
  const std::uint32_t seven_one = seven.eax >= 1 ? cpuid(7, 1).eax : 0;
  const std::uint32_t saved = has_bits(one.ecx, bit_OSXSAVE) ? saved_registers() : 0;

  Features found{};
  found.sse4 = has_bits(one.ecx, bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_PCLMUL | bit_AES);
  found.avx2 = found.sse4 && has_bits(saved, kSavesYmm) &&
               has_bits(one.ecx, bit_AVX | bit_FMA | bit_F16C) &&
               has_bits(seven.ebx, bit_AVX2 | bit_BMI | bit_BMI2);
  found.avx3 = found.avx2 && has_bits(saved, kSavesZmm) &&
               has_bits(seven.ebx, bit_AVX512F | bit_AVX512VL | bit_AVX512DQ | bit_AVX512BW);
  found.avx3_bf16 = found.avx3 && has_bits(seven_one, bit_AVX512BF16);
  return found;
}

#endif

}  // namespace

bool isa_supported(std::string_view name) noexcept {
#if defined(__x86_64__) || defined(__i386__)
  static const Features features = read_features();  // CPUID is slow in a virtual machine
  if (name == "sse4") return features.sse4;
  if (name == "avx2") return features.avx2;
  if (name == "avx3") return features.avx3;
  if (name == "avx3_bf16") return features.avx3_bf16;
#elif defined(__aarch64__)
  if (name == "neon") return true;  // part of the architecture
#endif
  return name == "scalar";
}

std::string_view choose_isa(std::span<const std::string_view> compiled, std::string_view forced) {
  std::string supported;
  for (const std::string_view name : compiled) {
    if (!isa_supported(name)) continue;
    if (forced.empty() || forced == name) return name;
    supported += (supported.empty() ? "" : ", ") + std::string(name);
  }
  fail_argument("MEMATTN_FORCE_ISA", "value", concat("\"", forced, "\""),
                concat("one that this machine and this build have: ", supported));
}

const std::string& forced_isa() {
  static const std::string value = [] {
    const char* text = std::getenv("MEMATTN_FORCE_ISA");
    return std::string(text ? text : "");
  }();
  return value;
}

}  // namespace memattn::kernels
