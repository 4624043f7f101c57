// After construction and one warm-up call, forward neither allocates nor locks. This program counts
// every call of malloc and its variants, of operator new, and of the mutex functions.
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

#include "layer/way_choice.h"
#include "memattn/hierarchical_attention.h"
#include "memattn/threads.h"
#include "testing/problem.h"

namespace {
std::atomic<long> allocations{0};
std::atomic<long> locks{0};

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}
}  // namespace

// The sanitizers have their own malloc; with them only operator new is counted. g++ and clang++
// announce a sanitizer in different ways.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMATTN_IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MEMATTN_IS_SANITIZED 1
#endif
#endif

#ifndef MEMATTN_IS_SANITIZED
#define MEMATTN_COUNTS_MALLOC 1
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* block, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) {
  ++allocations;
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  ++allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* block, std::size_t size) {
  ++allocations;
  return __libc_realloc(block, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  ++allocations;
  return __libc_memalign(alignment, size);
}
int pthread_mutex_lock(pthread_mutex_t* mutex) {
  ++locks;
  return next<int(pthread_mutex_t*)>("pthread_mutex_lock")(mutex);
}
int pthread_rwlock_rdlock(pthread_rwlock_t* lock) {
  ++locks;
  return next<int(pthread_rwlock_t*)>("pthread_rwlock_rdlock")(lock);
}
}
#endif

// Not inlined: a compiler that saw the body would report malloc and delete as a mismatched pair.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* block = std::malloc(size ? size : 1)) return block;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept { std::free(block); }

namespace memattn::testing {
namespace {

// Calls `work` twice and returns the counts of the second call.
template <typename Work>
std::pair<long, long> second_call(Work work) {
  work();
  const long allocated = allocations, locked = locks;
  work();
  return {allocations - allocated, locks - locked};
}
const std::pair<long, long> kNothing{0, 0};

TEST(NoAllocation, TheCountersDetectAllocationsAndLocks) {
  const auto [allocated, locked] = second_call([] {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    // Through volatile pointers, since the compiler would otherwise remove each pair.
    void* volatile block = ::operator new(100);
    ::operator delete(block);
    block = std::malloc(10);
    std::free(block);
  });
#if defined(MEMATTN_COUNTS_MALLOC)
  EXPECT_GE(allocated, 2);
  EXPECT_EQ(locked, 1);
#else
  EXPECT_GE(allocated, 1);
#endif
}

template <typename T>
void expect_nothing(Route route) {
  MemoryAugmentedAttentionConfig config{
      .units = 16, .memory_size = 12, .num_heads = 3, .dropout = 0.1};
  MemoryAugmentedAttention<T> layer(config);
  layer.set_route(route);
  const auto x = normal_array<T>(4 * 10 * 16, 1);
  const auto mask = random_mask(4 * 10 * 12, 2);
  std::vector<T> y(x.size()), scores(4 * 3 * 10 * 12);
  std::vector<T> grad_x(x.size()), grad(layer.parameters().size());
  CallOptions options{.attention_mask = {mask, 4, 10, 12}, .training = true};

  EXPECT_EQ(second_call([&] { layer.forward(x, {.batch = 4, .steps = 10}, y); }), kNothing);
  EXPECT_EQ(second_call([&] { layer.forward(x, {.batch = 4, .steps = 10}, y, options, {scores}); }),
            kNothing);
  EXPECT_EQ(
      second_call([&] { layer.backward(x, y, {.batch = 4, .steps = 10}, grad_x, grad, options); }),
      kNothing);
  EXPECT_EQ(second_call([&] { layer.set_parameters(grad); }), kNothing);
  ScoresCache<T> kept;
  EXPECT_EQ(second_call([&] {
              layer.forward(x, {.batch = 4, .steps = 10}, y, options, {}, &kept);
              layer.backward(x, y, {.batch = 4, .steps = 10}, grad_x, grad, options, &kept);
            }),
            kNothing);
}

TEST(NoAllocation, HappensInForwardBackwardAndFold) {
  expect_nothing<float>(Route::kFolded);
  expect_nothing<float>(Route::kProjected);
  expect_nothing<double>(Route::kFolded);
  expect_nothing<double>(Route::kProjected);
}

// Includes folds of changed weights, which the first call after a change computes in place.
template <typename T>
void expect_nothing_of_siblings(std::int64_t way) {
  CrossAttention<T> cross({.units = 16, .num_heads = 3, .source1_units = 5, .dropout = 0.1});
  HierarchicalAttention<T> hierarchical({.units = 16, .num_heads = 3, .long_units = 5});
  cross.set_route(route_at(way));
  hierarchical.set_route(route_at(way));
  const auto x = normal_array<T>(4 * 10 * 16, 1);
  const std::span<const T> narrow = std::span<const T>(x).first(4 * 10 * 5);
  const auto mask = random_mask(4 * 10, 2);
  std::vector<T> y(x.size()), grad_x(x.size()), grad_narrow(narrow.size());
  std::vector<T> cross_grad(cross.parameters().size());
  std::vector<T> hierarchical_grad(hierarchical.parameters().size());
  const CallOptions options{.value_mask = mask, .training = true};
  const CrossTokens tokens{.batch = 4, .steps1 = 10, .steps2 = 10};
  EXPECT_EQ(second_call([&] { cross.forward(narrow, x, tokens, y, options); }), kNothing);
  EXPECT_EQ(second_call([&] {
              cross.backward(narrow, x, y, tokens, grad_narrow, grad_x, cross_grad, options);
            }),
            kNothing);
  EXPECT_EQ(second_call([&] {
              cross.set_parameters(cross_grad);
              cross.forward(narrow, x, tokens, y);
            }).first,
            0);
  const Tokens steps{.batch = 4, .steps = 10};
  EXPECT_EQ(second_call([&] { hierarchical.forward(x, narrow, steps, y); }), kNothing);
  EXPECT_EQ(second_call([&] {
              hierarchical.backward(x, narrow, y, steps, grad_x, grad_narrow, hierarchical_grad);
            }),
            kNothing);
}

TEST(NoAllocation, HappensInTheSiblings) {
  for (std::int64_t way = 0; way < kSequenceWays; ++way) {
    expect_nothing_of_siblings<float>(way);
    expect_nothing_of_siblings<double>(way);
  }
}

// Many tokens, shared by the pool's threads: the scratch belongs to the caller on any thread.
TEST(NoAllocation, HappensOnTheThreadPool) {
  set_num_threads(4);
  const MemoryAugmentedAttention<float> layer({.units = 16, .memory_size = 100, .num_heads = 4});
  const auto x = normal_array<float>(3000 * 16, 1);
  std::vector<float> y(x.size()), grad_x(x.size()), grad(layer.parameters().size());
  EXPECT_EQ(second_call([&] { layer.forward(x, {.batch = 1, .steps = 3000}, y); }), kNothing);
  EXPECT_EQ(second_call([&] { layer.backward(x, y, {.batch = 1, .steps = 3000}, grad_x, grad); }),
            kNothing);
  set_num_threads(1);
}

TEST(NoAllocation, HappensInAnotherThreadAfterItsOwnWarmUp) {
  const MemoryAugmentedAttention<float> layer({.units = 16, .memory_size = 12, .num_heads = 3});
  std::pair<long, long> counted;
  std::thread([&] {
    std::vector<float> x(16), y(16);
    counted = second_call([&] { layer.forward(x, {.batch = 1, .steps = 1}, y); });
  }).join();
  EXPECT_EQ(counted, kNothing);
}

}  // namespace
}  // namespace memattn::testing
