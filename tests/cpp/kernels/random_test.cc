// The random numbers are uniform and normal, and independent of their neighbours.
#include "kernels/random.h"

#include <gtest/gtest.h>

#include <bit>

#include "kernels/call.h"

namespace memattn::kernels {
namespace {

TEST(Random, OneBitOfTheCounterFlipsHalfOfTheBits) {
  double flipped = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    flipped += std::popcount(mix(7, i) ^ mix(7, i ^ (1u << (i % 10))));
  }
  EXPECT_NEAR(flipped / 1000, 32, 0.5);
}

TEST(Random, UniformFillsTheUnitInterval) {
  EXPECT_EQ(uniform(0), 0.0);
  EXPECT_LT(uniform(~std::uint64_t{0}), 1.0);
}

TEST(Random, NormalHasTheMomentsOfTheNormalDistribution) {
  double sums[4] = {};
  constexpr int kCount = 200'000;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    const double value = standard_normal(3, i);
    for (double power = value; double& sum : sums) sum += power / kCount, power *= value;
  }
  EXPECT_NEAR(sums[0], 0, 0.01);
  EXPECT_NEAR(sums[1], 1, 0.02);
  EXPECT_NEAR(sums[2], 0, 0.04);
  EXPECT_NEAR(sums[3], 3, 0.1);
}

// Checks the share of dropped values, and how often two neighbours are dropped together: slots of a
// row, rows, sequences, steps.
TEST(Dropout, DropsAtItsRateAndIndependently) {
  const Dropout dropout{.rate = 0.3, .seed = 1, .step = 0};
  const Dropout next_step{.rate = 0.3, .seed = 1, .step = 1};
  constexpr std::int64_t kRows = 3000, kSlots = 100;
  double alone = 0, slots = 0, rows = 0, sequences = 0, steps = 0;
  const auto falls = [](const Dropout& d, std::int64_t row, std::int64_t slot,
                        std::int64_t sequence = 0) {
    return !Dropout::keeps(
        Dropout::row_key(d.sequence_key(sequence), static_cast<std::uint64_t>(row)), slot,
        d.threshold());
  };
  for (std::int64_t row = 0; row < kRows; ++row) {
    for (std::int64_t slot = 0; slot < kSlots; ++slot) {
      if (!falls(dropout, row, slot)) continue;
      constexpr double kShare = 1.0 / (kRows * kSlots);
      alone += kShare;
      slots += kShare * falls(dropout, row, slot + 1);
      rows += kShare * falls(dropout, row + 1, slot);
      sequences += kShare * falls(dropout, row, slot, 1);
      steps += kShare * falls(next_step, row, slot);
    }
  }
  EXPECT_NEAR(alone, 0.3, 0.004);
  for (const double both : {slots, rows, sequences, steps}) EXPECT_NEAR(both, 0.09, 0.003);
}

}  // namespace
}  // namespace memattn::kernels
