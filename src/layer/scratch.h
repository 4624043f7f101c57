// Scratch memory of a call, owned by the calling thread. Taking it needs no lock, and allocates
// only if the thread needs more than before.
#pragma once

#include <cstdint>

#include "kernels/aligned.h"

namespace memattn {

template <typename T>
kernels::AlignedVector<T>& scratch_buffer() noexcept {
  thread_local kernels::AlignedVector<T> buffer;
  return buffer;
}

// Returns at least `count` undefined values, aligned to a cache line. They are valid until this
// thread requests scratch of the same type again.
template <typename T>
T* scratch(std::int64_t count) {
  kernels::AlignedVector<T>& buffer = scratch_buffer<T>();
  if (buffer.size() < static_cast<std::size_t>(count)) {
    buffer = kernels::AlignedVector<T>();  // frees before it allocates; = {} would keep the memory
    buffer.resize(static_cast<std::size_t>(count));
  }
  return buffer.data();
}

}  // namespace memattn
