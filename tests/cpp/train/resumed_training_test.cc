// Training that stops, is saved to two files, and continues in another process has the same bits as
// training that never stopped.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <exception>
#include <filesystem>
#include <vector>

#include "io/temporary_folder.h"
#include "memattn/memory_augmented_attention.h"
#include "memattn/optimizers.h"

namespace memattn {
namespace {

constexpr std::int64_t kBatch = 2, kSteps = 3;

template <typename T>
MemoryAugmentedAttention<T> new_layer() {
  return MemoryAugmentedAttention<T>({.units = 4, .memory_size = 3, .num_heads = 2, .seed = 1});
}

// Takes steps first..last-1 of a run in which every step has its own input and learning rate.
template <typename T>
void train(MemoryAugmentedAttention<T>& layer, Optimizer<T>& optimizer, int first, int last) {
  std::vector<T> x(static_cast<std::size_t>(kBatch * kSteps * layer.config().units));
  std::vector<T> y(x.size()), grad_x(x.size()), grad(layer.parameters().size());
  for (int step = first; step < last; ++step) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = static_cast<T>(std::sin(static_cast<double>(i) + 5.0 * step));
    }
    layer.forward(x, {.batch = kBatch, .steps = kSteps}, y);
    for (T& value : y) value -= T(0.5);  // the gradient of half the squared distance from 0.5
    layer.backward(x, y, {.batch = kBatch, .steps = kSteps}, grad_x, grad);
    clip_by_global_norm(grad, 1.0);
    optimizer.set_learning_rate(0.1 / (1 + step));
    layer.update([&](std::span<T> parameters) { optimizer.step(parameters, grad); });
  }
}

// Calls work() in its own process; returns whether it ended without an exception.
template <typename Work>
bool succeeds_in_child(const Work& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      work();
    } catch (const std::exception&) {
      ::_exit(1);
    }
    ::_exit(0);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

template <typename T, typename Kind>
void expect_same_bits_after_resuming(const Kind& fresh) {
  const testing::TemporaryFolder folder;
  const auto stopped_layer = folder / "stopped.layer";
  const auto stopped_optimizer = folder / "stopped.optimizer";
  const auto resumed_layer = folder / "resumed.layer";
  const auto resumed_optimizer = folder / "resumed.optimizer";
  ASSERT_TRUE(succeeds_in_child([&] {
    auto layer = new_layer<T>();
    Kind optimizer = fresh;
    train<T>(layer, optimizer, 0, 5);
    layer.save(stopped_layer);
    optimizer.save(stopped_optimizer);
  }));
  ASSERT_TRUE(succeeds_in_child([&] {
    auto layer = MemoryAugmentedAttention<T>::load(stopped_layer);
    Kind optimizer = Kind::load(stopped_optimizer);
    train<T>(layer, optimizer, 5, 10);
    layer.save(resumed_layer);
    optimizer.save(resumed_optimizer);
  }));

  auto layer = new_layer<T>();
  Kind optimizer = fresh;
  train<T>(layer, optimizer, 0, 10);
  const auto whole_layer = folder / "whole.layer", whole_optimizer = folder / "whole.optimizer";
  layer.save(whole_layer);
  optimizer.save(whole_optimizer);
  EXPECT_EQ(testing::read_all(resumed_layer), testing::read_all(whole_layer));
  EXPECT_EQ(testing::read_all(resumed_optimizer), testing::read_all(whole_optimizer));
  EXPECT_NE(testing::read_all(stopped_layer), testing::read_all(whole_layer));
}

template <typename T>
class ResumedTraining : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(ResumedTraining, Types);

TYPED_TEST(ResumedTraining, EqualsUninterruptedTrainingToTheBit) {
  using T = TypeParam;
  expect_same_bits_after_resuming<T>(Sgd<T>());
  expect_same_bits_after_resuming<T>(Sgd<T>({.momentum = 0.9}));
  expect_same_bits_after_resuming<T>(Sgd<T>({.momentum = 0.9, .nesterov = true}));
  expect_same_bits_after_resuming<T>(Adam<T>());
  expect_same_bits_after_resuming<T>(AdamW<T>());
}

}  // namespace
}  // namespace memattn
