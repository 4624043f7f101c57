// What runs on this machine, and the memory that calls hold between them.
#pragma once

#include <cstdint>
#include <string_view>

#include "memattn/export.h"

namespace memattn {

// The instruction set that computes in this process: "avx3_bf16" (AVX-512 with bfloat16), "avx3",
// "avx2", "sse4", "neon" or "scalar". The best that the machine has, or the one that the
// environment variable MEMATTN_FORCE_ISA named when it was first needed. Thread-safe. Throws
// std::invalid_argument, as the first constructor of a layer does, when MEMATTN_FORCE_ISA names a
// set that this machine or this build does not have.
[[nodiscard]] MEMATTN_EXPORT std::string_view active_isa();

// Bytes of scratch that the calling thread holds. Each thread that calls forward, backward or a
// change of weights keeps a buffer for intermediate values, so that a warm call allocates nothing.
// The buffer is as large as the largest call needed so far: a forward call takes a tile of 48 or 96
// tokens for each thread that takes part (threads.h), a backward call up to 16 copies of the
// gradients of the weights besides.
[[nodiscard]] MEMATTN_EXPORT std::int64_t scratch_bytes() noexcept;

// Frees the calling thread's scratch. The next call of this thread allocates what it needs.
MEMATTN_EXPORT void release_scratch() noexcept;

}  // namespace memattn
