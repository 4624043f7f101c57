// Rounding to bfloat16 and products of pairs on every instruction set, against their definition. So
// the dot product of AVX512-BF16 and its emulation agree to the last bit.
#include <gtest/gtest.h>

#include <bit>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string_view>
#include <vector>

#include "kernels/bfloat16.h"
#include "kernels/kernel_table.h"

namespace memattn::kernels {
namespace {

// Some instruction sets lack fused multiply-adds. Products of two bfloat16 numbers are exact there
// too, as long as they fit in float.
bool fused() {
  const std::string_view isa = chosen_pair_kernels().isa;
  return isa != "sse4" && isa != "scalar";
}
// ARM flushes tiny numbers before rounding, x86 after it.
bool on_arm() { return std::string_view(chosen_pair_kernels().isa) == "neon"; }

float flushed(float value) {
  return std::abs(value) < 0x1p-126f ? std::copysign(0.0f, value) : value;
}

// Returns whether |a + b| < bound, even if the sum has more bits than a double.
bool is_less(double a, double b, double bound) {
  const double sum = a + b, of_b = sum - a;
  const double error = (a - (sum - of_b)) + (b - of_b);  // exact: Knuth's TwoSum
  const double size = std::abs(sum);
  return size < bound || (size == bound && std::copysign(error, sum * error) < 0);
}

// Adds one product with one rounding to nearest; subnormal numbers are 0.
float add_product(float sum, float a, float b) {
  sum = flushed(sum);
  const float result = std::fma(a, b, sum);
  if (std::abs(result) == 0x1p-126f) {
    // The smallest normal number, or 0 if rounding without subnormal numbers would not reach it.
    const double product = static_cast<double>(a) * b;
    if (is_less(product, sum, on_arm() ? 0x1p-126 : 0x1p-126 - 0x1p-151)) {
      return std::copysign(0.0f, result);
    }
  }
  return flushed(result);
}

float element(Pair pair, int which) {
  return from_bfloat16(static_cast<std::uint16_t>(pair >> (16 * which)));
}

float add_pairs(float sum, std::int64_t k, const Pair* a, const Pair* b, std::int64_t b_stride) {
  for (std::int64_t p = 0; p < k; ++p) {
    for (const int which : {1, 0}) {
      sum = add_product(sum, element(a[p], which), element(b[p * b_stride], which));
    }
  }
  return sum;
}

bool same(float found, float expected) {
  return std::bit_cast<std::uint32_t>(found) == std::bit_cast<std::uint32_t>(expected) ||
         (std::isnan(found) && std::isnan(expected));
}

using Draw = float (*)(std::mt19937_64&);

float ordinary(std::mt19937_64& random) { return std::normal_distribution<float>()(random); }
// Returns a number near 1 but with varying exponents, so that sums lose bits.
float spread(std::mt19937_64& random) {
  return std::ldexp(ordinary(random), std::uniform_int_distribution<int>(-12, 12)(random));
}
// Returns factors whose product is near or below the smallest normal number.
float small(std::mt19937_64& random) {
  return std::ldexp(ordinary(random), std::uniform_int_distribution<int>(-70, -56)(random));
}
float any_bits(std::mt19937_64& random) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(random()));
}
float special(std::mt19937_64& random) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kValues[] = {
      0.0f,       -0.0f,     1.0f,         -1.0f,       kInfinity,
      -kInfinity, 0x1p-126f, -0x1p-126f,   0x1.fep127f, -0x1.fep127f,
      0x1p-130f,  0x1p-63f,  -0x1.02p-63f, 0x1p-64f,    std::numeric_limits<float>::quiet_NaN()};
  return kValues[std::uniform_int_distribution<std::size_t>(0, std::size(kValues) - 1)(random)];
}

std::vector<float> draw(Draw one, std::int64_t size, std::mt19937_64& random) {
  std::vector<float> values(static_cast<std::size_t>(size));
  for (float& value : values) value = one(random);
  return values;
}

void expect_products(Draw factors, Draw sums, std::int64_t m, std::int64_t n, std::int64_t k,
                     std::mt19937_64& random) {
  const PairKernels& kernels = chosen_pair_kernels();
  const auto a = draw(factors, m * k, random), b = draw(factors, k * n, random);
  auto c = draw(sums, m * n, random);
  const std::int64_t pairs = pairs_of(k);
  std::vector<Pair> left(static_cast<std::size_t>(m * pairs)),
      right(static_cast<std::size_t>(pairs * n));
  kernels.round_rows(m, k, a.data(), left.data());
  kernels.round_columns(k, n, b.data(), right.data());
  const auto before = c;
  kernels.multiply(m, n, pairs, left.data(), right.data(), c.data());
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      const auto at = static_cast<std::size_t>(i * n + j);
      const float expected =
          add_pairs(before[at], pairs, left.data() + i * pairs, right.data() + j, n);
      ASSERT_TRUE(same(c[at], expected)) << m << " " << n << " " << k << " at " << i << " " << j
                                         << ": " << c[at] << " and not " << expected;
    }
  }
}

TEST(Pairs, RoundingOfRowsAndColumnsFollowsTheDefinition) {
  std::mt19937_64 random(1);
  const PairKernels& kernels = chosen_pair_kernels();
  for (const Draw one : {&ordinary, &any_bits, &special}) {
    for (const std::int64_t rows : {1, 2, 7}) {
      for (const std::int64_t columns : {1, 2, 31, 32, 33, 200}) {
        const auto values = draw(one, rows * columns, random);
        std::vector<Pair> of_rows(static_cast<std::size_t>(rows * pairs_of(columns)));
        std::vector<Pair> of_columns(static_cast<std::size_t>(pairs_of(rows) * columns));
        kernels.round_rows(rows, columns, values.data(), of_rows.data());
        kernels.round_columns(rows, columns, values.data(), of_columns.data());
        for (std::int64_t i = 0; i < rows + rows % 2; ++i) {
          for (std::int64_t j = 0; j < columns + columns % 2; ++j) {
            const bool there = i < rows && j < columns;
            const std::uint16_t expected =
                there ? round_to_bfloat16(values[static_cast<std::size_t>(i * columns + j)])
                      : std::uint16_t{0};
            if (i < rows) {
              const Pair pair = of_rows[static_cast<std::size_t>(i * pairs_of(columns) + j / 2)];
              ASSERT_EQ(static_cast<std::uint16_t>(pair >> (16 * (j % 2))), expected);
            }
            if (j < columns) {
              const Pair pair = of_columns[static_cast<std::size_t>(i / 2 * columns + j)];
              ASSERT_EQ(static_cast<std::uint16_t>(pair >> (16 * (i % 2))), expected);
            }
          }
        }
      }
    }
  }
}

TEST(Pairs, RoundingIsToTheNearestAndFlushes) {
  EXPECT_EQ(round_to_bfloat16(1.0f), 0x3f80);
  EXPECT_EQ(round_to_bfloat16(0x1.01p0f), 0x3f80);  // a tie, to even
  EXPECT_EQ(round_to_bfloat16(0x1.03p0f), 0x3f82);  // a tie, to even
  EXPECT_EQ(round_to_bfloat16(0x1.010002p0f), 0x3f81);
  EXPECT_EQ(round_to_bfloat16(-0x1.ffp127f), 0xff80);  // to infinity
  EXPECT_EQ(round_to_bfloat16(-0x1p-127f), 0x8000);
  EXPECT_EQ(round_to_bfloat16(0x1.fffffcp-127f), 0x0000);
  EXPECT_EQ(round_to_bfloat16(std::bit_cast<float>(0xff800001u)), 0xffc0);
}

TEST(Pairs, ProductsOfOrdinaryNumbersEqualTheInstructionsChain) {
  std::mt19937_64 random(2);
  for (const std::int64_t m : {1, 2, 3, 4, 8, 12, 21, 40}) {
    for (const std::int64_t n : {1, 5, 16, 17, 31, 48, 67, 210}) {
      for (const std::int64_t k : {1, 2, 9, 64}) {
        expect_products(&ordinary, &ordinary, m, n, k, random);
        expect_products(&spread, &spread, m, n, k, random);
      }
    }
  }
  expect_products(&spread, &spread, 40, 300, 515,
                  random);  // rows that are packed first, several blocks of k
}

TEST(Pairs, ProductsOfTinyAndSpecialNumbersEqualTheInstructionsChain) {
  if (!fused()) GTEST_SKIP() << "needs fused multiply-adds";
  std::mt19937_64 random(3);
  for (int i = 0; i < 40; ++i) {
    for (const std::int64_t k : {1, 2, 3, 20}) {
      expect_products(&small, &any_bits, 20, 50, k, random);
      expect_products(&small, &small, 20, 50, k, random);
      expect_products(&any_bits, &any_bits, 20, 50, k, random);
      expect_products(&special, &special, 20, 50, k, random);
      expect_products(&spread, &special, 20, 50, k, random);
    }
  }
}

// Independent of the thread's floating-point mode, and without changing it.
TEST(Pairs, ProductsLeaveTheFloatingPointStateAlone) {
  std::mt19937_64 random(4);
  for (const int rounding : {FE_TONEAREST, FE_UPWARD, FE_TOWARDZERO}) {
    const auto a = draw(&small, 64, random), b = draw(&small, 64, random);
    std::vector<Pair> left(32), right(32);
    const PairKernels& kernels = chosen_pair_kernels();
    kernels.round_rows(1, 64, a.data(), left.data());
    kernels.round_columns(64, 1, b.data(), right.data());
    float expected = 0, found = 0;
    kernels.multiply(1, 1, 32, left.data(), right.data(), &expected);
    std::fesetround(rounding);
    std::feclearexcept(FE_ALL_EXCEPT);
    kernels.multiply(1, 1, 32, left.data(), right.data(), &found);
    const int raised = std::fetestexcept(FE_ALL_EXCEPT), mode = std::fegetround();
    std::fesetround(FE_TONEAREST);
    EXPECT_EQ(mode, rounding);
    EXPECT_EQ(raised, 0);
    EXPECT_TRUE(same(found, expected)) << found << " and not " << expected;
  }
}

}  // namespace
}  // namespace memattn::kernels
