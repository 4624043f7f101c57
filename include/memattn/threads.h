// How many threads one call of the library may use. Results never depend on it, bit for bit.
//
// Unless set_num_threads was called, the number is MEMATTN_NUM_THREADS (1 to 1024) or, without that
// variable, the number of processors that the calling thread may run on, and no more than the CPU
// quota of the process's control group, rounded up. It is found out at the first call that asks.
//
// Threads are started by the first call that has work for them, sleep between calls, block the
// signals of the host program and end with the process or with the unloading of the library. Calls
// from many threads at once share them: a call that finds them busy does its work alone. After
// fork() the child starts threads of its own when it needs them.
#pragma once

#include "memattn/export.h"

namespace memattn {

// Threads that one call may use, the calling thread included. Thread-safe. Throws
// std::invalid_argument when MEMATTN_NUM_THREADS is not a whole number from 1 to 1024.
[[nodiscard]] MEMATTN_EXPORT int num_threads();

// From now on, for the whole process and over MEMATTN_NUM_THREADS. Thread-safe: calls that are
// under way keep the number that they began with. Throws std::invalid_argument unless 1 to 1024.
MEMATTN_EXPORT void set_num_threads(int threads);

// While it lives, calls from the thread that made it use at most `threads` threads, the calling one
// included, and at most num_threads(). For hosts that have a setting of their own. Limits nest: the
// smallest counts, and the one made last ends first, on the thread that made it. Give it a name: an
// unnamed temporary ends at once. Throws std::invalid_argument unless `threads` is at least 1.
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
