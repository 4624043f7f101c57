// The thread pool: one word per worker, through which callers claim it, post a job and take it
// back.
//
// A caller claims idle workers, posts its job to them, and works itself. In the end it takes the
// job back from workers that have not started it, so it never waits for a thread to wake up. It
// only waits for bodies of its own job that still run on other threads.
//
//            claim           post            take           done
//     kIdle -------> kClaimed ----> kPosted ------> kBusy --------> kIdle
//       |                              |
//       |  the process ends            |  the caller has finished everything alone
//       v                              v
//     kGone                          kIdle
//
// The word also holds a ticket, one per claim, so that a caller never mistakes another job for its
// own. A flag marks a thread that sleeps on the word: the worker itself, or its caller while it is
// busy. With phase, ticket and flag in one atomic word, no wake-up can be lost.
#include "kernels/executor.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <charconv>
#include <chrono>
#include <mutex>
#include <thread>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace memattn::kernels {
namespace {

using Word = std::uint32_t;

constexpr Word kIdle = 0, kClaimed = 1, kPosted = 2, kBusy = 3, kGone = 4;
constexpr Word kPhase = 7;
constexpr Word kSleeper = 8;
constexpr Word kTicket = 16;  // the lowest bit of the ticket

constexpr Word phase(Word word) { return word & kPhase; }
constexpr Word ticket(Word word) { return word & ~(kTicket - 1); }
constexpr Word awake(Word word) { return word & ~kSleeper; }

// How long a thread spins before it sleeps. A wake-up takes the caller 2 us and the thread 20 to 35
// us (two cores of a virtual Zen 4 machine), so that eight bodies of 6 us take 25 us on two threads
// if the worker is still awake, 41 us if it sleeps, and 48 us on one thread.
constexpr auto kSpinTime = std::chrono::microseconds(40);

struct Worker;

// One call of parallel_for, on the caller's stack.
struct Job {
  Job(std::int64_t job_count, FunctionRef<void(std::int64_t) noexcept> job_body)
      : body(job_body), count(job_count) {
    std::fegetenv(&environment);
  }

  const FunctionRef<void(std::int64_t) noexcept> body;
  const std::int64_t count;
  std::fenv_t environment;
  int claims = 0;
  Worker* claimed[kMaxThreads - 1];  // only the first `claims` are set
  Word tickets[kMaxThreads - 1];
  alignas(64) std::atomic<std::int64_t> next{0};  // the first index that no thread has begun
  std::atomic<int> arrivals{0};                   // workers that have taken the job
};

struct alignas(64) Worker {
  std::atomic<Word> word{kIdle};
  Job* job = nullptr;  // written between claim and post, read between take and done
  pthread_t thread{};
};

// Static, so that nothing is allocated and a child after fork has nothing to free. Pages of workers
// that were never started take no memory.
constinit Worker workers[kMaxThreads - 1];
constinit std::atomic<int> live{0};  // workers[0..live-1] have a thread
constinit std::mutex starting;       // guards changes of `live`; held across fork()
constinit bool stopped = false;      // the process is ending: start no more workers

constinit thread_local bool inside_job = false;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// The system call itself: std::atomic::wait of libstdc++ yields and spins by its own rules, and
// keeps its sleepers in a table that the whole process shares.
void sleep_on(std::atomic<Word>& word, Word expected) {
#if defined(__linux__)
  ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
#else
  word.wait(expected);
#endif
}

void wake(std::atomic<Word>& word) {
#if defined(__linux__)
  ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
#else
  word.notify_one();
#endif
}

// Waits until done(word) or kSpinTime has passed, and returns the word. A worker yields meanwhile:
// if other processes keep the processors busy, it shares one with its caller, and without yielding
// eight bodies of 6 us took 84 us instead of the 48 us of one thread. A caller does not yield:
// another process might then run for milliseconds, while sleeping lets the worker run and return at
// once.
template <typename Done>
Word spin(const std::atomic<Word>& word, bool yield, Done done) {
  Word seen = word.load(std::memory_order_acquire);
  if (done(seen)) return seen;
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 16; ++i) {
      pause();
      seen = word.load(std::memory_order_acquire);
      if (done(seen)) return seen;
    }
    if (yield) std::this_thread::yield();
  } while (std::chrono::steady_clock::now() - start < kSpinTime);
  return seen;
}

void drain(Job& job) {
  for (;;) {
    const std::int64_t i = job.next.fetch_add(1, std::memory_order_relaxed);
    if (i >= job.count) return;
    job.body(i);
  }
}

// Thread `arrival` of a job, 0 for the caller, wakes its two children in a binary tree while there
// is work left. So with many workers no thread makes all the system calls.
void wake_two(Job& job, int arrival) {
  const int end = std::min(2 * arrival + 2, job.claims);
  for (int i = 2 * arrival; i < end; ++i) {
    if (job.next.load(std::memory_order_relaxed) >= job.count) return;
    std::atomic<Word>& word = job.claimed[i]->word;
    if (word.load(std::memory_order_relaxed) == (job.tickets[i] | kPosted | kSleeper)) wake(word);
  }
}

// Returns the next job of a worker, which is then kBusy, or null if the worker must end.
Job* take(Worker& worker) {
  for (;;) {
    Word word = spin(worker.word, true, [](Word seen) { return phase(seen) >= kPosted; });
    if (phase(word) == kGone) return nullptr;
    if (phase(word) == kPosted) {
      if (worker.word.compare_exchange_strong(word, ticket(word) | kBusy)) return worker.job;
    } else if (worker.word.compare_exchange_strong(word, word | kSleeper)) {
      sleep_on(worker.word, word | kSleeper);
      worker.word.fetch_and(~kSleeper);
    }
  }
}

void* worker_main(void* argument) {
  Worker& worker = *static_cast<Worker*>(argument);
#if defined(__linux__)
  char name[16] = "memattn-";
  *std::to_chars(name + 8, name + 15, &worker - workers + 1).ptr = '\0';
  ::pthread_setname_np(::pthread_self(), name);
#endif
  inside_job = true;
  while (Job* const job = take(worker)) {
    std::fesetenv(&job->environment);
    wake_two(*job, job->arrivals.fetch_add(1, std::memory_order_relaxed) + 1);
    drain(*job);
    // From here on the job may no longer exist. Only its caller's flag can be in the word.
    const Word busy = worker.word.load(std::memory_order_relaxed);
    if (worker.word.exchange(ticket(busy) | kIdle) & kSleeper) wake(worker.word);
  }
  return nullptr;
}

// Claims a worker for `job` if it is idle.
bool claim(Worker& worker, Job& job) {
  Word word = worker.word.load(std::memory_order_relaxed);
  while (phase(word) == kIdle) {
    const Word claimed = ((word & ~kPhase) + kTicket) | kClaimed;  // the flag stays
    if (worker.word.compare_exchange_weak(word, claimed)) {
      worker.job = &job;
      job.claimed[job.claims] = &worker;
      job.tickets[job.claims++] = ticket(claimed);
      return true;
    }
  }
  return false;
}

// Takes the job back, or waits until the worker has finished it.
void collect(Worker& worker, Word own_ticket) {
  Word word = worker.word.load(std::memory_order_acquire);
  while (awake(word) == (own_ticket | kPosted)) {
    if (worker.word.compare_exchange_weak(word, word - kPosted + kIdle)) return;
  }
  const Word busy = own_ticket | kBusy;
  word = spin(worker.word, false, [busy](Word seen) { return awake(seen) != busy; });
  while (awake(word) == busy) {
    if (word == busy && !worker.word.compare_exchange_strong(word, busy | kSleeper)) continue;
    sleep_on(worker.word, busy | kSleeper);
    word = worker.word.load(std::memory_order_acquire);
  }
}

// Ends all workers when the process ends or the library is unloaded.
struct StopAtExit {
  ~StopAtExit() {
    const std::lock_guard lock(starting);
    stopped = true;
    const int count = live.exchange(0);
    for (Worker* worker = workers; worker != workers + count; ++worker) {
      Word word = worker->word.load();
      while (phase(word) != kIdle || !worker->word.compare_exchange_weak(word, word | kGone)) {
        if (phase(word) != kIdle) {  // another thread's call still runs
          std::this_thread::sleep_for(std::chrono::microseconds(100));
          word = worker->word.load();
        }
      }
      if (word & kSleeper) wake(worker->word);
    }
    for (int i = 0; i < count; ++i) ::pthread_join(workers[i].thread, nullptr);
  }
};

// Starts workers up to `wanted` in all and returns how many there are. If the system refuses
// threads, or another caller is starting some, the call continues with the existing ones.
int start_workers(int wanted) {
  const std::unique_lock lock(starting, std::try_to_lock);
  int count = live.load(std::memory_order_acquire);
  if (!lock.owns_lock() || stopped) return count;

  static const StopAtExit stop_at_exit;
  // The child of fork() has only the forking thread. The handlers go when the library is unloaded.
  static const int registered = ::pthread_atfork([] { starting.lock(); },  //
                                                 [] { starting.unlock(); },
                                                 [] {
                                                   live.store(0, std::memory_order_relaxed);
                                                   starting.unlock();
                                                 });
  if (registered != 0) return count;

  // The host's threads handle signals as before, but a fault in a body is handled where it happens.
  sigset_t blocked, before;
  ::sigfillset(&blocked);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) ::sigdelset(&blocked, fault);
  ::pthread_sigmask(SIG_SETMASK, &blocked, &before);
  while (count < wanted) {
    Worker& worker = workers[count];
    worker.word.store(kIdle, std::memory_order_relaxed);  // in a child, the parent's value is stale
    if (::pthread_create(&worker.thread, nullptr, worker_main, &worker) != 0) break;
    live.store(++count, std::memory_order_release);
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return count;
}

[[gnu::noinline]] void run_on_pool(int threads, std::int64_t count,
                                   FunctionRef<void(std::int64_t) noexcept> body) {
  const int wanted = static_cast<int>(std::min<std::int64_t>(threads, count)) - 1;
  int available = live.load(std::memory_order_acquire);
  if (available < wanted) available = start_workers(wanted);
  available = std::min(available, threads - 1);

  Job job(count, body);
  for (int i = 0; i < available && job.claims < wanted; ++i) claim(workers[i], job);
  for (int i = 0; i < job.claims; ++i) job.claimed[i]->word.fetch_add(kPosted - kClaimed);
  inside_job = true;
  wake_two(job, 0);
  drain(job);
  inside_job = false;
  for (int i = 0; i < job.claims; ++i) collect(*job.claimed[i], job.tickets[i]);
}

}  // namespace

void parallel_for(std::int64_t count, FunctionRef<void(std::int64_t) noexcept> body) {
  if (count > 1) {
    const int threads = thread_count();
    if (threads > 1 && !inside_job) return run_on_pool(threads, count, body);
  }
  for (std::int64_t i = 0; i < count; ++i) body(i);
}

}  // namespace memattn::kernels
