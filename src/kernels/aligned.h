// Vectors aligned to a cache line, so that no vector register straddles two lines.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace memattn::kernels {

template <typename T>
struct AlignedAllocator {
  using value_type = T;
  static constexpr std::align_val_t kAlignment{64};

  AlignedAllocator() = default;
  template <typename Other>
  AlignedAllocator(const AlignedAllocator<Other>&) {}

  T* allocate(std::size_t count) {
    if (count > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_array_new_length();
    return static_cast<T*>(::operator new(count * sizeof(T), kAlignment));
  }
  void deallocate(T* values, std::size_t) noexcept { ::operator delete(values, kAlignment); }
  template <typename Other>
  bool operator==(const AlignedAllocator<Other>&) const {
    return true;
  }
};

template <typename T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

}  // namespace memattn::kernels
