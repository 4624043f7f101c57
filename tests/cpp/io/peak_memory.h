// Measures the memory that operator new allocates in this program, to check a bound. It replaces
// the global operators, so include it in only one .cc file of a program.
#pragma once

#include <malloc.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace memattn::testing {

inline std::atomic<std::size_t> live_bytes{0};
inline std::atomic<std::size_t> peak_bytes{0};

// Returns the peak of memory from operator new while `work` runs, less the memory allocated before.
template <typename Work>
std::size_t peak_memory_of(const Work& work) {
  const std::size_t before = live_bytes;
  peak_bytes = before;
  work();
  return peak_bytes - before;
}

inline void* counted_new(std::size_t size) {
  void* memory = std::malloc(size ? size : 1);
  if (memory == nullptr) throw std::bad_alloc();
  const std::size_t live = live_bytes += ::malloc_usable_size(memory);
  if (live > peak_bytes) peak_bytes = live;
  return memory;
}

inline void counted_delete(void* memory) noexcept {
  if (memory == nullptr) return;
  live_bytes -= ::malloc_usable_size(memory);
  std::free(memory);
}

}  // namespace memattn::testing

void* operator new(std::size_t size) { return memattn::testing::counted_new(size); }
void* operator new[](std::size_t size) { return memattn::testing::counted_new(size); }
void operator delete(void* memory) noexcept { memattn::testing::counted_delete(memory); }
void operator delete[](void* memory) noexcept { memattn::testing::counted_delete(memory); }
void operator delete(void* memory, std::size_t) noexcept {
  memattn::testing::counted_delete(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  memattn::testing::counted_delete(memory);
}
