// The instruction set in use, and the memory that a thread and a layer hold.
#include "memattn/runtime.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include "kernels/isa.h"
#include "testing/problem.h"

namespace memattn::testing {
namespace {

TEST(Runtime, TheActiveInstructionSetIsTheForcedOne) {
  const char* forced = std::getenv("MEMATTN_FORCE_ISA");
  if (forced != nullptr) {
    EXPECT_EQ(active_isa(), forced);
  } else {
    EXPECT_EQ(active_isa(), kernels::available_isas().front());
  }
}

TEST(Runtime, ScratchBelongsToTheThreadAndCanBeReleased) {
  std::thread([] {
    EXPECT_EQ(scratch_bytes(), 0);
    const MemoryAugmentedAttention<float> layer({.units = 16, .memory_size = 8, .num_heads = 2});
    const auto x = normal_array<float>(4 * 50 * 16, 1);
    std::vector<float> y(x.size()), expected(x.size());
    layer.forward(x, {.batch = 4, .steps = 50}, expected);
    const std::int64_t held = scratch_bytes();
    EXPECT_GT(held, 0);
    std::thread([] { EXPECT_EQ(scratch_bytes(), 0); }).join();

    const MemoryAugmentedAttention<double> other({.units = 16, .memory_size = 8, .num_heads = 2});
    const auto x_double = normal_array<double>(16, 1);
    std::vector<double> y_double(16);
    other.forward(x_double, {.batch = 1, .steps = 1}, y_double);
    EXPECT_GT(scratch_bytes(), held);

    release_scratch();
    EXPECT_EQ(scratch_bytes(), 0);
    layer.forward(x, {.batch = 4, .steps = 50}, y);
    EXPECT_TRUE(same_bits(y, expected));
    EXPECT_EQ(scratch_bytes(), held);
  }).join();
}

// The formula in memory_augmented_attention.h.
TEST(Runtime, KeptBytesFollowsItsFormula) {
  constexpr std::int64_t U = 16, S = 8, H = 2, D = 3, Dv = 5;
  MemoryAugmentedAttention<float> layer(
      {.units = U, .memory_size = S, .num_heads = H, .key_dim = D, .value_dim = Dv});
  const std::int64_t weights = layer.count_params();
  layer.set_route(Route::kFolded);
  EXPECT_EQ(layer.kept_bytes(), 4 * (weights + 4 * H * S * U + H * S * (2 * D + Dv + 1)));
  layer.set_route(Route::kProjected);
  EXPECT_EQ(layer.kept_bytes(), 4 * (weights + H * S * (3 * D + Dv)));
  layer.update([](std::span<float>) {});
  EXPECT_EQ(layer.kept_bytes(), 4 * (2 * weights + H * S * (3 * D + Dv)));
}

}  // namespace
}  // namespace memattn::testing
