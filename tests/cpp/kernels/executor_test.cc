// Every index runs once, for any number of threads, callers and processes. Nothing remains that a
// host program could notice: no allocation, lock, thread, signal or processor time.
#include "kernels/executor.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cfenv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "io/peak_memory.h"
#include "memattn/threads.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MEMATTN_TSAN 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define MEMATTN_TSAN 1
#endif

// The sanitizers' runtimes look these up. The test starts threads in a child of fork(), which TSan
// refuses by default, and where LeakSanitizer waits for the parent's threads.
bool forked = false;
extern "C" [[gnu::visibility("default")]] const char* __tsan_default_options() {
  return "die_after_fork=0:atexit_sleep_ms=0";
}
extern "C" [[gnu::visibility("default")]] int __lsan_is_turned_off() { return forked; }

#if !defined(MEMATTN_TSAN)
// Counts the mutex locks of the program.
std::atomic<int> locks{0};
int counted_lock(const char* function, pthread_mutex_t* mutex) {
  ++locks;
  return reinterpret_cast<int (*)(pthread_mutex_t*)>(dlsym(RTLD_NEXT, function))(mutex);
}
extern "C" int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  return counted_lock("pthread_mutex_lock", mutex);
}
extern "C" int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
  return counted_lock("pthread_mutex_trylock", mutex);
}
#endif

namespace memattn::kernels {
namespace {

using namespace std::chrono_literals;

// Runs a job of at most 1000 bodies that write plain memory, and reads the memory back. Returns the
// number of indices that did not run exactly once. Allocates nothing, since ASan's allocator is not
// safe after fork().
int wrong_indices(std::int64_t count) {
  std::array<int, 1001> runs{};
  parallel_for(count, [&](std::int64_t i) noexcept { ++runs[static_cast<std::size_t>(i)]; });
  int right = 0;
  for (std::int64_t i = 0; i < count; ++i) right += runs[static_cast<std::size_t>(i)] == 1;
  return static_cast<int>(count) - right;
}

// Returns the threads of a job of `count` bodies, none of which returns before all have begun, so
// that each needs its own thread. A pool with fewer threads ends the wait after a minute, which is
// enough on any machine.
std::set<std::thread::id> threads_that_meet(int count) {
  std::vector<std::thread::id> ids(static_cast<std::size_t>(count));
  std::atomic<int> begun{0};
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  parallel_for(count, [&](std::int64_t i) noexcept {
    ids[static_cast<std::size_t>(i)] = std::this_thread::get_id();
    ++begun;
    while (begun < count && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(100us);
    }
  });
  return {ids.begin(), ids.end()};
}

int threads_of_process() {
  int count = 0;
  for ([[maybe_unused]] const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    ++count;
  }
  return count;
}

double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// In a child, TSan's runtime still counts the parent's threads and fails when their numbers are
// reused. So with TSan the child computes alone, and only the parent's side is checked.
#if defined(MEMATTN_TSAN)
constexpr std::size_t kChildThreads = 1;
#else
constexpr std::size_t kChildThreads = 4;
#endif

bool all_meet() {
  return threads_that_meet(static_cast<int>(kChildThreads)).size() == kChildThreads;
}

// Returns the exit status of a child that runs `work`, or -1 if it did not exit by itself.
template <typename Work>
int in_child(const Work& work) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    forked = true;
    set_num_threads(static_cast<int>(kChildThreads));
    alarm(60);  // a hanging child must not block the test
    std::exit(work());
  }
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// The first test, since it needs a process without a pool.
TEST(Executor, StartsNoThreadBeforeAJobCanUseOne) {
  std::thread([] {}).join();  // the first thread also starts TSan's own
  const int before = threads_of_process();
  set_num_threads(16);
  EXPECT_EQ(wrong_indices(0), 0);
  EXPECT_EQ(wrong_indices(1), 0);
  set_num_threads(1);
  EXPECT_EQ(wrong_indices(1000), 0);
  EXPECT_EQ(threads_of_process(), before);
  set_num_threads(16);
  EXPECT_EQ(wrong_indices(3), 0);
  EXPECT_EQ(threads_of_process(), before + 2);
}

TEST(Executor, RunsEveryIndexExactlyOnce) {
  for (const int threads : {1, 2, 3, 4, 7, 8, 16}) {
    set_num_threads(threads);
    for (std::int64_t count = 0; count <= 1000; ++count) {
      ASSERT_EQ(wrong_indices(count), 0) << count << " indices, " << threads << " threads";
    }
  }
}

TEST(Executor, UsesAllAllowedThreadsIncludingTheCaller) {
  for (const int threads : {1, 2, 4, 8}) {
    set_num_threads(threads);
    const auto met = threads_that_meet(threads);
    EXPECT_EQ(met.size(), static_cast<std::size_t>(threads));
    EXPECT_TRUE(met.contains(std::this_thread::get_id()));
    std::vector<std::thread::id> ids(64);
    parallel_for(64, [&](std::int64_t i) noexcept {
      std::this_thread::sleep_for(100us);
      ids[static_cast<std::size_t>(i)] = std::this_thread::get_id();
    });
    EXPECT_LE(std::set(ids.begin(), ids.end()).size(), static_cast<std::size_t>(threads));
  }
}

TEST(Executor, ANegativeCountRunsNothing) {
  set_num_threads(4);
  parallel_for(-1, [](std::int64_t) noexcept { ADD_FAILURE(); });
}

TEST(Executor, NestedJobsRunOnTheirBodysThread) {
  set_num_threads(4);
  std::array<int, 2 * 64> runs{};
  std::atomic<int> strangers{0};
  parallel_for(2, [&](std::int64_t i) noexcept {  // leaves two of the four threads idle
    const auto self = std::this_thread::get_id();
    parallel_for(64, [&](std::int64_t j) noexcept {
      std::this_thread::sleep_for(100us);
      ++runs[static_cast<std::size_t>(64 * i + j)];
      strangers += std::this_thread::get_id() != self;
    });
  });
  for (const int n : runs) EXPECT_EQ(n, 1);
  EXPECT_EQ(strangers, 0);
  EXPECT_EQ(threads_that_meet(4).size(), 4u);  // a nested job leaves no trace
}

TEST(Executor, RunsAHundredThousandTinyJobs) {
  for (const int threads : {2, 5}) {
    set_num_threads(threads);
    std::int64_t sum = 0;
    std::int64_t parts[7] = {};
    for (std::int64_t job = 0; job < 100'000; ++job) {
      parallel_for(7, [&](std::int64_t i) noexcept { parts[i] = job + i + sum; });
      for (const std::int64_t part : parts) sum = (sum + part) % 1'000'003;
    }
    std::int64_t expected = 0;
    for (std::int64_t job = 0; job < 100'000; ++job) {
      const std::int64_t start = expected;
      for (std::int64_t i = 0; i < 7; ++i) expected = (expected + job + i + start) % 1'000'003;
    }
    EXPECT_EQ(sum, expected);
  }
}

// Jobs with pauses in between, so that they find workers in every state: awake, about to sleep,
// asleep, about to leave a job.
TEST(Executor, RunsJobsAfterPausesOfEveryLength) {
  set_num_threads(4);
  for (int pause = 0; pause < 4000; ++pause) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::nanoseconds(25 * pause);
    while (std::chrono::steady_clock::now() < end) {
    }
    ASSERT_EQ(wrong_indices(5), 0);
  }
}

TEST(Executor, ServesSixtyFourCallersAtOnce) {
  for (const int threads : {2, 4, 16}) {
    set_num_threads(threads);
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 64; ++caller) {
      callers.emplace_back([&, caller] {
        for (int job = 0; job < 200; ++job) wrong += wrong_indices(2 + (caller + job) % 40);
      });
    }
    for (std::thread& caller : callers) caller.join();
    EXPECT_EQ(wrong, 0);
  }
}

TEST(Executor, TheNumberOfThreadsMayChangeDuringCalls) {
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      while (!done) wrong += wrong_indices(33);
    });
  }
  for (int i = 0; i < 2000; ++i) set_num_threads(1 + i % 9);
  done = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Executor, ACallerDoesNotWaitForOtherCallersJobs) {
  set_num_threads(3);
  std::atomic<int> blocked{0};
  std::atomic<bool> release{false};
  std::thread other([&] {
    parallel_for(3, [&](std::int64_t) noexcept {
      ++blocked;
      while (!release) std::this_thread::sleep_for(1ms);
    });
  });
  while (blocked < 3) std::this_thread::sleep_for(1ms);  // all of the pool is busy
  for (int job = 0; job < 1000; ++job) ASSERT_EQ(wrong_indices(16), 0);
  release = true;
  other.join();
  EXPECT_EQ(threads_that_meet(3).size(), 3u);
}

TEST(Executor, AllocatesNothingAndLocksNothing) {
  const auto jobs = [](std::int64_t count) {
    return [count] {
      std::atomic<std::int64_t> sum{0};
      for (int job = 0; job < 1000; ++job) {
        parallel_for(count, [&](std::int64_t i) noexcept { sum += i; });
      }
    };
  };
  const auto locks_of = [](const auto& work) {
#if defined(MEMATTN_TSAN)
    work();
    return 0;
#else
    const int before = locks;
    work();
    return locks - before;
#endif
  };
  set_num_threads(1);
  EXPECT_EQ(testing::peak_memory_of(jobs(100)), 0u);
  EXPECT_EQ(locks_of(jobs(100)), 0);
  set_num_threads(4);
  EXPECT_EQ(wrong_indices(4), 0);  // the pool exists
  EXPECT_EQ(testing::peak_memory_of(jobs(1)), 0u);
  EXPECT_EQ(locks_of(jobs(1)), 0);
  EXPECT_EQ(testing::peak_memory_of(jobs(100)), 0u);
  EXPECT_EQ(locks_of(jobs(100)), 0);
}

TEST(Executor, ASleepingPoolUsesNoProcessorTime) {
  set_num_threads(8);
  EXPECT_EQ(threads_that_meet(8).size(), 8u);
  std::this_thread::sleep_for(20ms);  // long enough for all to fall asleep
  const double before = cpu_seconds();
  std::this_thread::sleep_for(300ms);
  // A spinning thread takes 0.3 s; the threads of a sanitizer wake up now and then.
  EXPECT_LT(cpu_seconds() - before, 0.03);
}

TEST(Executor, BodiesRunInTheFloatingPointEnvironmentOfTheCaller) {
  set_num_threads(4);
  for (const int mode : {FE_UPWARD, FE_TOWARDZERO, FE_TONEAREST}) {
    ASSERT_EQ(std::fesetround(mode), 0);
    std::vector<int> seen(4, -1);
    std::atomic<int> begun{0};
    parallel_for(4, [&](std::int64_t i) noexcept {
      for (++begun; begun < 4;) std::this_thread::sleep_for(100us);
      seen[static_cast<std::size_t>(i)] = std::fegetround();
    });
    EXPECT_EQ(std::fegetround(), mode);
    std::fesetround(FE_TONEAREST);
    EXPECT_EQ(seen, std::vector<int>(4, mode));
  }
}

TEST(Executor, WorkersHaveNamesAndLeaveSignalsToTheHost) {
  set_num_threads(4);
  const pthread_t caller = pthread_self();
  sigset_t before, after;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  std::set<std::string> names;
  std::vector<std::string> name_of(4);
  std::atomic<int> open_signals{0}, blocked_faults{0};
  std::atomic<int> begun{0};
  parallel_for(4, [&](std::int64_t i) noexcept {
    for (++begun; begun < 4;) std::this_thread::sleep_for(100us);
    if (pthread_equal(pthread_self(), caller)) return;
    char name[16] = {};
    pthread_getname_np(pthread_self(), name, sizeof name);
    name_of[static_cast<std::size_t>(i)] = name;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    for (const int sent : {SIGINT, SIGTERM, SIGCHLD, SIGALRM, SIGPROF, SIGUSR1}) {
      open_signals += !sigismember(&mask, sent);
    }
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
      blocked_faults += sigismember(&mask, fault);
    }
  });
  for (const auto& name : name_of) names.insert(name);
  names.erase("");
  EXPECT_EQ(names, (std::set<std::string>{"memattn-1", "memattn-2", "memattn-3"}));
  EXPECT_EQ(open_signals, 0);
  EXPECT_EQ(blocked_faults, 0);
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int number = 1; number < 32; ++number) {
    EXPECT_EQ(sigismember(&before, number), sigismember(&after, number)) << number;
  }
}

TEST(Executor, AfterForkBothProcessesContinue) {
  set_num_threads(4);
  EXPECT_EQ(threads_that_meet(4).size(), 4u);
  for (int round = 0; round < 10; ++round) {
    const int status = in_child([] {
      if (threads_of_process() != 1) return 2;
      if (wrong_indices(100) != 0) return 3;
      if (!all_meet()) return 4;
      return in_child([] { return all_meet() ? 0 : 5; });
    });
    EXPECT_EQ(status, 0);
    EXPECT_EQ(wrong_indices(100), 0);
  }
  EXPECT_EQ(threads_that_meet(4).size(), 4u);
}

TEST(Executor, ForkWorksWhileOtherThreadsCompute) {
  set_num_threads(4);
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      while (!done) wrong += wrong_indices(20);
    });
  }
  for (int round = 0; round < 20; ++round) {
    EXPECT_EQ(in_child([] { return wrong_indices(100) + !all_meet(); }), 0);
  }
  done = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

// Created before the pool, so destroyed after its end, when every job runs on its caller alone.
const struct AfterThePool {
  ~AfterThePool() {
    if (wrong_indices(100) != 0) _exit(7);
  }
} after_the_pool;

// Calls exit() with the pool awake, and while another thread's jobs continue.
TEST(ExecutorDeathTest, AProcessMayEndAtAnyTime) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // each round in its own process
  for (int round = 0; round < 20; ++round) {
    EXPECT_EXIT(
        {
          alarm(60);
          set_num_threads(4);
          std::atexit([] {
            if (wrong_indices(100) != 0) _exit(6);
          });
          if (round % 2 == 0 && wrong_indices(100) != 0) _exit(5);
          std::thread([] {
            for (;;) wrong_indices(20);
          }).detach();
          std::this_thread::sleep_for(std::chrono::microseconds(100 * round));
          std::exit(0);
        },
        ::testing::ExitedWithCode(0), "");
  }
}

TEST(FunctionRef, CallsItsTarget) {
  int calls = 0;
  auto count = [&calls](int by) noexcept { return calls += by; };
  const FunctionRef<int(int) noexcept> ref = count;
  const FunctionRef<int(int) noexcept> copy = ref;
  EXPECT_EQ(ref(2), 2);
  EXPECT_EQ(copy(3), 5);
  const auto may_throw = [](int by) { return by; };
  EXPECT_FALSE((std::is_constructible_v<FunctionRef<int(int) noexcept>, decltype(may_throw)>));
}

}  // namespace
}  // namespace memattn::kernels
