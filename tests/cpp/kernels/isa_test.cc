// The choice of the instruction set: the best available one, or the forced one.
#include "kernels/isa.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include "testing/arrays.h"

namespace memattn::kernels {
namespace {

using testing::message_of;

constexpr std::array<std::string_view, 3> kCompiled = {"unheard-of", "scalar", "also-unheard-of"};

TEST(Isa, TakesTheFirstThatTheMachineSupports) {
  EXPECT_EQ(choose_isa(kCompiled, ""), "scalar");
  EXPECT_EQ(choose_isa(kCompiled, "scalar"), "scalar");
}

TEST(Isa, RefusesUnknownAndUnsupportedNames) {
  for (const std::string_view name : {"unheard-of", "SCALAR", "avx", "scalar "}) {
    EXPECT_EQ(message_of([&] { static_cast<void>(choose_isa(kCompiled, name)); }),
              "MEMATTN_FORCE_ISA: value: found \"" + std::string(name) +
                  "\", expected one that this machine and this build have: scalar");
  }
}

TEST(Isa, ScalarIsAlwaysAvailable) {
  ASSERT_FALSE(available_isas().empty());
  EXPECT_EQ(available_isas().back(), "scalar");
  for (const std::string_view name : available_isas()) EXPECT_TRUE(isa_supported(name));
}

#if defined(__x86_64__) || defined(__i386__)

constexpr std::array<std::string_view, 4> kX86 = {"sse4", "avx2", "avx3", "avx3_bf16"};

// Returns the features that /proc/cpuinfo lists for the first processor. The kernel omits features
// whose registers it does not save.
std::set<std::string> features_of_linux() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("flags")) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    return {std::istream_iterator<std::string>(words), {}};
  }
  return {};
}

// valgrind emulates its own processor, which the kernel does not know.
bool under_valgrind() {
  const char* preloaded = std::getenv("LD_PRELOAD");
  return preloaded && std::string_view(preloaded).find("vgpreload") != std::string_view::npos;
}

TEST(Isa, AgreesWithLinux) {
  const std::set<std::string> features = features_of_linux();
  ASSERT_FALSE(features.empty());
  std::set<std::string> needed;
  const auto more = [&](std::initializer_list<const char*> names) {
    needed.insert(names.begin(), names.end());
    return std::ranges::includes(features, needed);
  };
  const std::array<bool, 4> expected = {more({"ssse3", "sse4_1", "sse4_2", "pclmulqdq", "aes"}),
                                        more({"avx", "avx2", "bmi1", "bmi2", "fma", "f16c"}),
                                        more({"avx512f", "avx512vl", "avx512dq", "avx512bw"}),
                                        more({"avx512_bf16"})};
  for (std::size_t k = 0; k < kX86.size(); ++k) {
    const bool found = isa_supported(kX86[k]);
    EXPECT_TRUE(found == expected[k] || (under_valgrind() && !found)) << kX86[k];
  }
}

#if defined(__GNUC__) && !defined(__clang__)
TEST(Isa, AgreesWithTheCompiler) {
  __builtin_cpu_init();
  const bool sse4 = __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1") &&
                    __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul") &&
                    __builtin_cpu_supports("aes");
  const bool avx2 = sse4 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                    __builtin_cpu_supports("f16c");
  const bool avx3 = avx2 && __builtin_cpu_supports("avx512f") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512bw");
  const std::array<bool, 4> expected = {sse4, avx2, avx3,
                                        avx3 && __builtin_cpu_supports("avx512bf16")};
  for (std::size_t k = 0; k < kX86.size(); ++k) {
    EXPECT_EQ(isa_supported(kX86[k]), expected[k]) << kX86[k];
  }
}
#endif

#endif

}  // namespace
}  // namespace memattn::kernels
