// Allocations that fail on request, to test the state after a failure. It replaces operator new, so
// only one .cc file of a program may include it, and none that includes io/peak_memory.h.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace memattn::testing {

enum class Failure {
  kOnce,     // one allocation fails, those after it succeed
  kForGood,  // all later ones fail too, as if memory had run out
};

// The number of allocations, over all threads, that still succeed; below 0, none fails.
inline std::atomic<long> allocations_left{-1};
inline std::atomic<bool> fails_for_good{false};

inline void* allocate_or_fail(std::size_t size, std::size_t alignment = 0) {
  if (allocations_left.load(std::memory_order_relaxed) >= 0) {
    const long left = allocations_left.fetch_sub(1, std::memory_order_relaxed);
    if (left == 0 && fails_for_good) allocations_left = 0;
    if (left == 0) throw std::bad_alloc();
  }
  if (size == 0) size = 1;
  void* memory = alignment == 0 ? std::malloc(size)
                                : std::aligned_alloc(
                                      alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

// Runs work() while allocation number `index`, from 0, fails. Returns whether one failed, which is
// false if work() needs no more than `index` allocations. work() must let std::bad_alloc through.
template <typename Work>
bool fails_at_allocation(long index, Failure failure, const Work& work) {
  fails_for_good = failure == Failure::kForGood;
  allocations_left = index;
  try {
    work();
  } catch (const std::bad_alloc&) {
    allocations_left = -1;
    return true;
  } catch (...) {
    allocations_left = -1;
    throw;
  }
  allocations_left = -1;
  return false;
}

// Calls attempt() while its first allocation fails, then its second, and so on, once and for good,
// until it succeeds; calls check() after each failure. Returns how many allocations failed.
template <typename Attempt, typename Check>
long sweep_allocations(const Attempt& attempt, const Check& check) {
  for (long index = 0;; ++index) {
    if (!fails_at_allocation(index, Failure::kForGood, attempt)) return index;
    {
      SCOPED_TRACE(::testing::Message() << "after allocation " << index << " failed for good");
      check();
    }
    // After a single failure, attempt() may succeed.
    if (!fails_at_allocation(index, Failure::kOnce, attempt)) continue;
    SCOPED_TRACE(::testing::Message() << "after allocation " << index << " failed once");
    check();
  }
}

}  // namespace memattn::testing

// Not inlined: a compiler that saw the body would report malloc and delete as a mismatched pair.
// AlignedVector, the layer and scratch use the aligned forms.
[[gnu::noinline]] void* operator new(std::size_t size) {
  return memattn::testing::allocate_or_fail(size);
}
[[gnu::noinline]] void* operator new[](std::size_t size) {
  return memattn::testing::allocate_or_fail(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return memattn::testing::allocate_or_fail(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void* operator new[](std::size_t size, std::align_val_t alignment) {
  return memattn::testing::allocate_or_fail(size, static_cast<std::size_t>(alignment));
}
// Used by std::stable_sort. AddressSanitizer has its own version with another delete.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return memattn::testing::allocate_or_fail(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
[[gnu::noinline]] void* operator new[](std::size_t size, const std::nothrow_t& tag) noexcept {
  return operator new(size, tag);
}
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete[](void* memory, const std::nothrow_t&) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete[](void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
