// Reads MEMATTN_NUM_THREADS, the affinity mask and the CPU quota of control groups.
#include "kernels/thread_count.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "check.h"
#include "memattn/threads.h"

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace memattn {
namespace kernels {
namespace {

constinit std::atomic<int> chosen{0};                   // 0: not determined yet
constinit thread_local int thread_limit = kMaxThreads;  // set by the ThreadLimits of this thread

// Parses the whole of `text` as an integer.
std::optional<std::int64_t> to_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Splits `text` at `separator`, dropping empty parts between blanks, which mean nothing.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0 || separator != ' ') parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::vector<std::string_view> words_of_first_line(std::string_view text) {
  return split(text.substr(0, text.find('\n')), ' ');
}

bool lists(std::string_view comma_separated, std::string_view name) {
  return std::ranges::count(split(comma_separated, ','), name) > 0;
}

// Quotes a variable's value for a message: short and printable for any bytes.
std::string quoted(std::string_view text) {
  std::string shown = "\"";
  for (const char c : text.substr(0, 80)) shown += c >= ' ' && c <= '~' ? c : '?';
  return shown + (text.size() > 80 ? "\"..." : "\"");
}

std::optional<int> affinity_count() {
#if defined(__linux__)
  // The system call instead of glibc's sched_getaffinity, which needs a guess of the mask's size.
  unsigned long mask[8192 / sizeof(unsigned long)] = {};  // 65536 processors
  const long bytes = ::syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
  if (bytes <= 0) return std::nullopt;
  int count = 0;
  for (const unsigned long word : mask) count += std::popcount(word);
  return count;
#else
  return std::nullopt;
#endif
}

std::optional<std::string> read_whole(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                             std::fclose);
  if (!file) return std::nullopt;
  std::string text;
  char buffer[4096];
  while (const std::size_t size = std::fread(buffer, 1, sizeof buffer, file.get())) {
    text.append(buffer, size);
  }
  return text;
}

// Returns the number of processors for `quota` of every `period` microseconds.
std::optional<int> processors(std::optional<std::int64_t> quota,
                              std::optional<std::int64_t> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<int>(std::min<std::int64_t>((*quota - 1) / *period + 1, kMaxThreads));
}

// Reads cpu.max of version 2: "max 100000" or "50000 100000".
std::optional<int> limit_v2(const ReadFile& read, const std::string& folder) {
  const auto text = read(folder + "/cpu.max");
  if (!text) return std::nullopt;
  const auto words = words_of_first_line(*text);
  if (words.size() != 2) return std::nullopt;
  return processors(to_integer(words[0]), to_integer(words[1]));
}

// Version 1 has a file for each number; a quota of -1 means none.
std::optional<int> limit_v1(const ReadFile& read, const std::string& folder) {
  const auto number = [&](const char* name) -> std::optional<std::int64_t> {
    const auto text = read(folder + name);
    if (!text) return std::nullopt;
    const auto words = words_of_first_line(*text);
    return words.size() == 1 ? to_integer(words[0]) : std::nullopt;
  };
  return processors(number("/cpu.cfs_quota_us"), number("/cpu.cfs_period_us"));
}

// A mounted hierarchy that may set a CPU quota, from a line of /proc/self/mountinfo.
struct Hierarchy {
  bool version_2;
  std::string_view root;  // the group that appears at `folder`
  std::string folder;
};

// "36 25 0:31 ROOT FOLDER OPTIONS [TAGS...] - TYPE SOURCE SUPER_OPTIONS"
std::optional<Hierarchy> parse_mount(std::string_view line) {
  const auto words = split(line, ' ');
  const auto dash = std::ranges::find(words, "-");
  if (dash - words.begin() < 6 || words.end() - dash < 4) return std::nullopt;
  const bool version_2 = dash[1] == "cgroup2";
  if (!version_2 && !(dash[1] == "cgroup" && lists(dash[3], "cpu"))) return std::nullopt;
  std::string folder;  // blanks, tabs, line feeds and backslashes are escaped, as in \040
  for (std::string_view rest = words[4]; !rest.empty();) {
    int code = 0;
    if (rest[0] == '\\' && rest.size() >= 4 &&
        std::from_chars(&rest[1], &rest[1] + 3, code, 8).ptr == &rest[1] + 3) {
      folder += static_cast<char>(code);
      rest.remove_prefix(4);
    } else {
      folder += rest[0];
      rest.remove_prefix(1);
    }
  }
  return Hierarchy{version_2, words[3], folder};
}

// Returns the path of this process's group in a hierarchy, from the lines "ID:CONTROLLERS:PATH" of
// /proc/self/cgroup.
std::optional<std::string_view> group_path(std::string_view groups, bool version_2) {
  for (const std::string_view line : split(groups, '\n')) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', std::min(first, line.size() - 1) + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    if (version_2 ? line.substr(0, second) == "0:" : lists(controllers, "cpu")) {
      return line.substr(second + 1);
    }
  }
  return std::nullopt;
}

// Returns `path` below `root`, "" or "/name/...". In a container the path may be visible only to
// the host; then the mounted group is the container's own.
std::string_view path_below(std::string_view path, std::string_view root) {
  if (root == "/") root = "";
  if (!path.starts_with(root)) return "";
  path.remove_prefix(root.size());
  if (!path.starts_with('/') || path.find("..") != path.npos) return "";
  return path.size() == 1 ? "" : path;
}

}  // namespace

std::optional<int> cgroup_cpu_limit(const ReadFile& read) {
  const auto groups = read("/proc/self/cgroup");
  const auto mounts = read("/proc/self/mountinfo");
  if (!groups || !mounts) return std::nullopt;
  std::optional<int> least;
  for (const std::string_view line : split(*mounts, '\n')) {
    const auto hierarchy = parse_mount(line);
    if (!hierarchy) continue;
    const auto path = group_path(*groups, hierarchy->version_2);
    if (!path) continue;
    for (std::string_view below = path_below(*path, hierarchy->root);;) {
      const std::string folder = hierarchy->folder + std::string(below);
      const auto limit = hierarchy->version_2 ? limit_v2(read, folder) : limit_v1(read, folder);
      if (limit) least = std::min(*limit, least.value_or(kMaxThreads));
      if (below.empty()) break;
      below = below.substr(0, below.rfind('/'));
    }
  }
  return least;
}

int default_thread_count(const char* variable) {
  if (variable != nullptr) {
    const auto threads = to_integer(variable);
    if (!threads || *threads < 1 || *threads > kMaxThreads) {
      fail_argument("num_threads", "MEMATTN_NUM_THREADS", quoted(variable),
                    "a whole number from 1 to 1024");
    }
    return static_cast<int>(*threads);
  }
  int threads = affinity_count().value_or(static_cast<int>(std::thread::hardware_concurrency()));
  threads = std::min(threads, cgroup_cpu_limit(read_whole).value_or(kMaxThreads));
  return std::clamp(threads, 1, kMaxThreads);
}

namespace {

int process_thread_count() {
  const int known = chosen.load(std::memory_order_relaxed);
  if (known != 0) return known;
  // Two threads may compute the same here at once; a number set with set_num_threads stays.
  const int found = default_thread_count(std::getenv("MEMATTN_NUM_THREADS"));
  int expected = 0;
  return chosen.compare_exchange_strong(expected, found) ? found : expected;
}

}  // namespace

int thread_count() { return std::min(process_thread_count(), thread_limit); }

}  // namespace kernels

int num_threads() { return kernels::process_thread_count(); }

void set_num_threads(int threads) {
  if (threads < 1 || threads > kernels::kMaxThreads) {
    fail_argument("set_num_threads", "threads", threads, "1 to 1024");
  }
  kernels::chosen.store(threads, std::memory_order_relaxed);
}

ThreadLimit::ThreadLimit(int threads) : before_(kernels::thread_limit) {
  if (threads < 1) fail_argument("ThreadLimit", "threads", threads, "at least 1");
  kernels::thread_limit = std::min(before_, threads);
}

ThreadLimit::~ThreadLimit() { kernels::thread_limit = before_; }

}  // namespace memattn
