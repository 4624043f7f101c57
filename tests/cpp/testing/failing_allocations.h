// Allocations that fail on demand, to test what a failure leaves behind. Replaces operator new, so
// only one .cc of a program may include this, and none that includes io/peak_memory.h.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace memattn::testing {

enum class Failure {
  kOnce,     // one allocation fails, those after it succeed
  kForGood,  // so do all after it, as when memory is really gone
};

// Allocations that still succeed, of all threads; below 0: nothing fails.
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

// Runs work() with allocation number `index`, counted from 0, failing. Whether it failed: false
// when work() needed no more than `index` allocations. work() must let std::bad_alloc through.
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

// Calls attempt() with its first allocation failing, then with its second, and so on, once and for
// good, until it succeeds, and check() after each failure. Returns how many allocations failed.
template <typename Attempt, typename Check>
long sweep_allocations(const Attempt& attempt, const Check& check) {
  for (long index = 0;; ++index) {
    if (!fails_at_allocation(index, Failure::kForGood, attempt)) return index;
    {
      SCOPED_TRACE(::testing::Message() << "after allocation " << index << " failed for good");
      check();
    }
    // Once alone, the failure may be one that attempt() gets over.
    if (!fails_at_allocation(index, Failure::kOnce, attempt)) continue;
    SCOPED_TRACE(::testing::Message() << "after allocation " << index << " failed once");
    check();
  }
}

}  // namespace memattn::testing

// Not inlined: a compiler that saw through them would take malloc and delete for a mismatched pair.
// The aligned forms are those of AlignedVector, of what a layer keeps and of scratch.
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
// As std::stable_sort asks for memory. AddressSanitizer has one of its own, with another delete.
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
