// Passes over many tokens, shared by threads, have the same bits for any number of threads.
#include <cstring>
#include <thread>

#include "memattn/threads.h"
#include "testing/problem.h"

namespace memattn::testing {
namespace {

// Compares values, gradients and fifty training steps for any number of threads: with many tokens
// for few weights, and with so many weights that threads share the fold, too.
void expect_same_bits(const MemoryAugmentedAttentionConfig& config, std::int64_t batch,
                      std::int64_t steps) {
  const auto x = normal_array<float>(batch * steps * config.units, 1);
  const auto target = normal_array<float>(batch * steps * config.units, 2);
  const auto train = [&](int threads, int count) {
    set_num_threads(threads);
    MemoryAugmentedAttention<float> layer(config);
    std::vector<float> y(x.size()), g(x.size()), grad_x(x.size()), grad(layer.parameters().size());
    ScoresCache<float> kept;
    for (int step = 0; step < count; ++step) {
      const CallOptions options{.training = true, .dropout_step = static_cast<std::uint64_t>(step)};
      layer.forward(x, {.batch = batch, .steps = steps}, y, options, {}, &kept);
      for (std::size_t i = 0; i < y.size(); ++i) g[i] = (y[i] - target[i]) / 1000;
      layer.backward(x, g, {.batch = batch, .steps = steps}, grad_x, grad, options, &kept);
      layer.update([&](std::span<float> weights) {
        for (std::size_t i = 0; i < grad.size(); ++i) weights[i] -= grad[i];
      });
    }
    set_num_threads(1);
    y.insert(y.end(), grad_x.begin(), grad_x.end());
    y.insert(y.end(), layer.parameters().begin(), layer.parameters().end());
    return y;
  };
  const auto alone = train(1, 2);
  for (const int threads : {2, 3, 4, 7, 8, 16}) {
    EXPECT_EQ(std::memcmp(train(threads, 2).data(), alone.data(), alone.size() * 4), 0) << threads;
  }
  const auto long_alone = train(1, 50), long_together = train(4, 50);
  EXPECT_EQ(std::memcmp(long_together.data(), long_alone.data(), long_alone.size() * 4), 0);
}

TEST(Passes, GiveTheSameBitsForAnyNumberOfThreads) {
  expect_same_bits({.units = 33, .memory_size = 20, .num_heads = 3, .dropout = 0.2, .seed = 3}, 14,
                   50);
  expect_same_bits({.units = 64, .memory_size = 20, .num_heads = 4, .seed = 3}, 2, 150);
}

// 64 threads call one layer, and each call could use several threads.
TEST(Passes, ManyCallersShareThePool) {
  set_num_threads(4);
  const MemoryAugmentedAttention<float> layer({.units = 32, .memory_size = 64, .num_heads = 4});
  const auto x = normal_array<float>(500 * 32, 1);
  std::vector<float> expected(x.size());
  layer.forward(x, {.batch = 1, .steps = 500}, expected);
  std::vector<int> failures(64);
  std::vector<std::thread> callers;
  for (std::size_t id = 0; id < failures.size(); ++id) {
    callers.emplace_back([&, id] {
      std::vector<float> y(x.size());
      for (int i = 0; i < 5; ++i) {
        layer.forward(x, {.batch = 1, .steps = 500}, y);
        failures[id] += y != expected;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  set_num_threads(1);
  EXPECT_EQ(failures, std::vector<int>(64, 0));
}

}  // namespace
}  // namespace memattn::testing
