// The number of threads that a call of the library may use. Results do not depend on it, to the
// bit.
//
// By default it is MEMATTN_NUM_THREADS (1 to 1024) or, without that variable, the number of
// processors that the calling thread may run on, but at most the CPU quota of the process's control
// group, rounded up. The default is determined once, by the first call that needs it.
//
// Threads are started by the first call that has work for them. They sleep between calls, block the
// signals of the host program, and end with the process or when the library is unloaded. Concurrent
// calls share them: a call that finds them busy runs on its own thread alone. After fork(), the
// child starts its own threads when it needs them.
#pragma once

#include "memattn/export.h"

namespace memattn {

// Returns the number of threads that a call may use, including the calling thread. Thread-safe.
// Throws std::invalid_argument if MEMATTN_NUM_THREADS is not a whole number from 1 to 1024.
[[nodiscard]] MEMATTN_EXPORT int num_threads();

// Sets the number of threads for the whole process, from 1 to 1024; overrides MEMATTN_NUM_THREADS.
// Thread-safe: running calls keep their number. Throws std::invalid_argument for other numbers.
MEMATTN_EXPORT void set_num_threads(int threads);

// During its lifetime, calls from the thread that created it use at most `threads` threads,
// including the calling thread, and at most num_threads(). For host programs with their own
// setting. Limits nest: the smallest applies, and they must be destroyed in reverse order, on the
// thread that created them. Give it a name: an unnamed temporary ends at once. Throws
// std::invalid_argument if `threads` is below 1.
class MEMATTN_EXPORT ThreadLimit {
 public:
  [[nodiscard]] explicit ThreadLimit(int threads);
  ~ThreadLimit();
  ThreadLimit(const ThreadLimit&) = delete;
  ThreadLimit& operator=(const ThreadLimit&) = delete;

 private:
  int before_;
};

}  // namespace memattn
