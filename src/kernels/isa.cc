// Which instruction set computes: what the processor has, and what MEMATTN_FORCE_ISA says.
#include "kernels/isa.h"

#include <algorithm>
#include <cstdlib>

#include "check.h"

namespace memattn::kernels {

bool isa_supported(std::string_view name) noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_cpu_init();
  // The features that Highway's targets of these names compile for (hwy/ops/set_macros-inl.h), and
  // of avx3_bf16 the one more of pairs-inl.h.
  const bool sse4 = __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("sse4.2") &&
                    __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("aes");
  const bool avx2 = sse4 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool avx3 = avx2 && __builtin_cpu_supports("avx512f") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512bw");
  if (name == "avx3_bf16") return avx3 && __builtin_cpu_supports("avx512bf16");
  if (name == "sse4") return sse4;
  if (name == "avx2") return avx2;
  if (name == "avx3") return avx3;
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
