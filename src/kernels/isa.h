// The choice of the instruction set.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace memattn::kernels {

// Whether this machine, compiler support and operating system included, can run what Highway
// compiles under that name ("avx3", "avx2", "sse4", "neon", "scalar"), or "avx3_bf16": avx3 with
// AVX512-BF16.
bool isa_supported(std::string_view name) noexcept;

// The name out of `compiled`, best first, that is to run: the first that the machine supports, or
// the one that `forced` names when it is not empty. Throws std::invalid_argument when that name is
// unknown or unsupported.
std::string_view choose_isa(std::span<const std::string_view> compiled, std::string_view forced);

// All that this build has and this machine can run, best first.
std::vector<std::string_view> available_isas();

// MEMATTN_FORCE_ISA of the environment, read once; empty when it is not set.
const std::string& forced_isa();

}  // namespace memattn::kernels
