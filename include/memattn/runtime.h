// The instruction set in use, and the scratch memory that threads keep between calls.
#pragma once

#include <cstdint>
#include <string_view>

#include "memattn/export.h"

namespace memattn {

// Returns the instruction set in use: "avx3_bf16" (AVX-512 with bfloat16), "avx3", "avx2", "sse4",
// "neon" or "scalar". By default it is the best that the machine supports. The environment variable
// MEMATTN_FORCE_ISA, read once, selects another. Thread-safe. Throws std::invalid_argument, as does
// the first constructor of a layer, if MEMATTN_FORCE_ISA names a set that this machine or this
// build does not support.
[[nodiscard]] MEMATTN_EXPORT std::string_view active_isa();

// Returns the bytes of scratch that the calling thread holds. Each thread that calls forward,
// backward or a change of weights keeps a buffer for intermediate values, so that later calls
// allocate nothing. The buffer is as large as the largest call needed so far: a tile of 48 or 96
// tokens for each participating thread (threads.h), and in backward also up to 16 copies of the
// gradients of the weights.
[[nodiscard]] MEMATTN_EXPORT std::int64_t scratch_bytes() noexcept;

// Frees the calling thread's scratch. Its next call allocates again.
MEMATTN_EXPORT void release_scratch() noexcept;

}  // namespace memattn
