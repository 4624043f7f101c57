// Work on the thread pool that may throw, and that the caller can interrupt.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <thread>

#include "kernels/executor.h"

namespace memattn {

class InterruptibleWork {
 public:
  // Work without a poll function.
  InterruptibleWork() = default;
  // `poll` is called only on the thread that creates this object. It may be empty, and must outlive
  // the object.
  explicit InterruptibleWork(const std::function<void()>& poll) : poll_(poll ? &poll : nullptr) {}

  // Runs body(i) for 0 .. count - 1 on the pool. After a body has thrown, no other body begins;
  // once all have ended, run throws that exception. Call it from the thread that created this
  // object.
  template <typename Body>
  void run(std::int64_t count, Body body) {
    kernels::parallel_for(count, [&](std::int64_t i) noexcept {
      try {
        check();
        body(i);
      } catch (const Ended&) {  // another body has thrown
      } catch (...) {
        if (!failed_.exchange(true)) error_ = std::current_exception();
      }
    });
    if (error_) std::rethrow_exception(error_);
  }

  // Call this from a body between two parts of its work. It calls `poll`, or ends this body if
  // another one has thrown.
  void check() {
    if (failed_.load(std::memory_order_relaxed)) throw Ended();
    if (poll_ && std::this_thread::get_id() == caller_) (*poll_)();
  }

 private:
  struct Ended {};

  const std::function<void()>* poll_ = nullptr;
  std::thread::id caller_ = std::this_thread::get_id();
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;  // written by the body that sets failed_, read after all have ended
};

}  // namespace memattn
