// Memory that a call needs for its own duration, owned by the calling thread: taking it locks
// nothing, and allocates only when this thread has never needed as much.
#pragma once

#include <cstdint>
#include <vector>

namespace memattn {

// At least `count` values, undefined ones, until this thread asks for the same T again.
template <typename T>
T* scratch(std::int64_t count) {
  thread_local std::vector<T> buffer;
  if (buffer.size() < static_cast<std::size_t>(count)) {
    buffer.resize(static_cast<std::size_t>(count));
  }
  return buffer.data();
}

}  // namespace memattn
