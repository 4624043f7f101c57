// Hands out parts of one buffer.
#pragma once

#include <cstdint>

namespace memattn::kernels {

// Returns parts that begin at a multiple of `line` values from the base, by default a cache line.
// Without a base it only counts values.
template <typename T>
class Carver {
 public:
  static constexpr std::int64_t kCacheLine = 64 / sizeof(T);

  explicit Carver(T* base, std::int64_t line = kCacheLine) : base_(base), line_(line) {}

  T* take(std::int64_t count) {
    T* place = base_ ? base_ + taken_ : nullptr;
    taken_ += (count + line_ - 1) / line_ * line_;
    return place;
  }
  std::int64_t taken() const { return taken_; }

 private:
  T* base_;
  std::int64_t line_;
  std::int64_t taken_ = 0;
};

}  // namespace memattn::kernels
