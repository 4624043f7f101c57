// The number of threads that a call may use: from the program, the environment or the machine.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace memattn::kernels {

inline constexpr int kMaxThreads = 1024;

// Returns the threads that a call may use, including the caller: memattn::num_threads(), or less
// with a ThreadLimit on the calling thread. One relaxed load, once the number is known. The first
// call reads the environment and the machine, and throws std::invalid_argument for a bad
// MEMATTN_NUM_THREADS.
int thread_count();

// Returns the number of threads unless the program sets one. `variable` is the value of
// MEMATTN_NUM_THREADS, or null.
int default_thread_count(const char* variable);

// Returns the content of a file, or nullopt if it cannot be read.
using ReadFile = std::function<std::optional<std::string>(const std::string& path)>;

// Returns the processors' worth of time that control groups of version 1 and 2 leave to this
// process, rounded up: the least over its group and all groups above it. Returns nullopt without a
// quota, or if files are missing or cannot be parsed.
std::optional<int> cgroup_cpu_limit(const ReadFile& read);

}  // namespace memattn::kernels
