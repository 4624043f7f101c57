// The processor mode of AVX512-BF16's dot product, which ignores the mode of the thread: subnormal
// operands and results are 0, rounding is to nearest, nothing traps. The emulation sets this mode
// during a product.
#pragma once

#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace memattn::kernels {

// Sets the mode from construction to destruction, then restores the thread's own mode and flags. In
// between, floating-point code must be in functions that are not inlined, since compilers move it
// freely.
class FlushMode {
 public:
#if defined(__x86_64__) || defined(__i386__)
  FlushMode() noexcept : saved_(_mm_getcsr()) {
    constexpr unsigned kFlushBoth = 0x8040, kNoTraps = 0x1f80;
    set(kFlushBoth | kNoTraps);
  }
  ~FlushMode() { set(saved_); }
#elif defined(__aarch64__)
  FlushMode() noexcept {
    constexpr std::uint64_t kFlush = 1u << 24;
    asm volatile("mrs %0, fpcr\n\tmrs %1, fpsr" : "=r"(saved_), "=r"(flags_)::"memory");
    set(kFlush);
  }
  ~FlushMode() {
    set(saved_);
    asm volatile("msr fpsr, %0" ::"r"(flags_) : "memory");
  }
#else
  FlushMode() noexcept = default;
#endif
  FlushMode(const FlushMode&) = delete;
  FlushMode& operator=(const FlushMode&) = delete;

 private:
#if defined(__x86_64__) || defined(__i386__)
  static void set(unsigned mode) noexcept {
    asm volatile("" ::: "memory");
    _mm_setcsr(mode);
    asm volatile("" ::: "memory");
  }
  unsigned saved_;
#elif defined(__aarch64__)
  static void set(std::uint64_t mode) noexcept {
    asm volatile("msr fpcr, %0" ::"r"(mode) : "memory");
  }
  std::uint64_t saved_, flags_;
#endif
};

}  // namespace memattn::kernels
