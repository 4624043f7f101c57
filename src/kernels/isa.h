// The choice of the instruction set.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace memattn::kernels {

// Returns whether this machine, including the compiler's and operating system's support, can run
// the code that Highway compiles under that name ("avx3", "avx2", "sse4", "neon", "scalar") or
// "avx3_bf16", which is avx3 with AVX512-BF16.
bool isa_supported(std::string_view name) noexcept;

// Returns the name out of `compiled`, best first, to run: the one that `forced` names, or if that
// is empty, the first that the machine supports. Throws std::invalid_argument if `forced` is
// unknown or unsupported.
std::string_view choose_isa(std::span<const std::string_view> compiled, std::string_view forced);

// Returns all sets that this build has and this machine can run, best first.
std::vector<std::string_view> available_isas();

// Returns the environment variable MEMATTN_FORCE_ISA, read once; empty if it is not set.
const std::string& forced_isa();

}  // namespace memattn::kernels
