// The number of threads that a call may use: from the program, the environment or the machine.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace memattn::kernels {

inline constexpr int kMaxThreads = 1024;

// Threads a call may use, the caller included: memattn::num_threads(), or less where a ThreadLimit
// of the calling thread says so. One relaxed load once it is known. The first call reads the
// environment and the machine, and throws std::invalid_argument for a bad MEMATTN_NUM_THREADS.
int thread_count();

// The number that holds unless the program sets one. `variable` is the value of
// MEMATTN_NUM_THREADS, or null.
int default_thread_count(const char* variable);

// The content of a file, or nothing where it cannot be read.
using ReadFile = std::function<std::optional<std::string>(const std::string& path)>;

// Processors' worth of time that control groups of version 1 and 2 leave to this process, rounded
// up to a whole one: the least over its group and all groups above it. Nothing without a quota or
// where files are missing or not understood.
std::optional<int> cgroup_cpu_limit(const ReadFile& read);

}  // namespace memattn::kernels
