// The general product of the kernel table, on every instruction set, against plain sums.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/kernel_units.h"
#include "testing/arrays.h"

namespace memattn::kernels {
namespace {

template <typename T>
void expect_product(std::int64_t m, std::int64_t n, std::int64_t k, bool transposed, bool add) {
  const auto a = testing::normal_array<T>(m * k, 1), b = testing::normal_array<T>(k * (n + 2), 2);
  auto c = testing::normal_array<T>(m * (n + 1), 3);
  const auto before = c;
  const std::int64_t row = transposed ? 1 : k, step = transposed ? m : 1;
  chosen_kernels<T>().multiply(add, m, n, k, a.data(), row, step, b.data(), n + 2, c.data(), n + 1);
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j <= n; ++j) {
      const auto place = static_cast<std::size_t>(i * (n + 1) + j);
      testing::Wide<T> sum = add ? before[place] : 0, size = std::abs(sum);
      for (std::int64_t p = 0; p < k; ++p) {
        const testing::Wide<T> product =
            static_cast<testing::Wide<T>>(a[static_cast<std::size_t>(i * row + p * step)]) *
            b[static_cast<std::size_t>(p * (n + 2) + j)];
        sum += product;
        size += std::abs(product);
      }
      if (j == n) {  // nothing is written between the rows
        EXPECT_EQ(c[place], before[place]);
        continue;
      }
      const testing::Wide<T> bound =
          static_cast<testing::Wide<T>>(k + 1) * std::numeric_limits<T>::epsilon() * size;
      EXPECT_TRUE(std::abs(c[place] - sum) <= bound)
          << m << " " << n << " " << k << " at " << i << " " << j;
    }
  }
}

TEST(Multiply, EqualsThePlainProduct) {
  for (const std::int64_t m : {1, 5, 40}) {
    for (const std::int64_t n : {1, 7, 18, 64}) {
      for (const std::int64_t k : {1, 9, 300}) {
        for (const bool transposed : {false, true}) {
          for (const bool add : {false, true}) {
            expect_product<float>(m, n, k, transposed, add);
            expect_product<double>(m, n, k, transposed, add);
          }
        }
      }
    }
  }
}

// n + 2 columns of 1024 bytes or more and 32 rows: panels of far rows are packed first. 256 rows of
// B and 256 KiB of A: the boundaries of blocks.
TEST(Multiply, EqualsThePlainProductWithFarRowsAndManyBlocks) {
  for (const std::int64_t m : {31, 32, 45}) {
    for (const std::int64_t n : {125, 126, 254, 300}) {
      expect_product<float>(m, n, 20, false, false);
      expect_product<double>(m, n, 20, true, true);
    }
  }
  for (const std::int64_t k : {255, 256, 257, 513}) {
    for (const bool add : {false, true}) {
      expect_product<float>(300, 5, k, true, add);
      expect_product<double>(150, 67, k, false, add);
    }
  }
}

// A single row of C, computed with all vectors at once, has the same bits as among other rows.
template <typename T>
void expect_rows_alone_equal(std::int64_t n, std::int64_t k) {
  constexpr std::int64_t kRows = 9;
  const auto a = testing::normal_array<T>(kRows * k, 1), b = testing::normal_array<T>(k * n, 2);
  std::vector<T> together(static_cast<std::size_t>(kRows * n)), alone(together);
  const auto& kernels = chosen_kernels<T>();
  kernels.multiply(false, kRows, n, k, a.data(), k, 1, b.data(), n, together.data(), n);
  for (std::int64_t i = 0; i < kRows; ++i) {
    kernels.multiply(false, 1, n, k, a.data() + i * k, k, 1, b.data(), n, alone.data() + i * n, n);
  }
  EXPECT_EQ(together, alone) << n << " " << k;
}

TEST(Multiply, SingleRowsHaveTheSameBits) {
  for (std::int64_t n = 1; n <= 210; n += 11) {
    for (const std::int64_t k : {1, 9, 300}) {
      expect_rows_alone_equal<float>(n, k);
      expect_rows_alone_equal<double>(n, k);
    }
  }
}

// Packed and unpacked operands are the same, and so is each chain of sums.
template <typename T>
void expect_packed_equal(std::int64_t m, std::int64_t n, std::int64_t k) {
  const auto a = testing::normal_array<T>(m * k, 1), b = testing::normal_array<T>(k * n, 2);
  const auto bias = testing::normal_array<T>(m, 3);
  const KernelUnits<T>& units = kernel_units<T>();
  std::vector<T> a_packed(a.size()), b_packed(b.size());
  units.pack_left(m, k, a.data(), k, 1, a_packed.data());
  units.pack_right(k, n, b.data(), n, b_packed.data());
  for (const T* start : {static_cast<const T*>(nullptr), bias.data()}) {
    std::vector<T> expected(static_cast<std::size_t>(m * n));
    for (std::size_t i = 0; start && i < expected.size(); ++i) {
      expected[i] = bias[i / static_cast<std::size_t>(n)];
    }
    chosen_kernels<T>().multiply(start != nullptr, m, n, k, a.data(), k, 1, b.data(), n,
                                 expected.data(), n);
    for (const T* left : {static_cast<const T*>(nullptr), std::as_const(a_packed).data()}) {
      for (const T* right : {static_cast<const T*>(nullptr), std::as_const(b_packed).data()}) {
        std::vector<T> found(expected.size(), T(-1));
        units.multiply_packed(m, n, k, a.data(), left, b.data(), right, found.data(), start);
        ASSERT_EQ(found, expected) << m << " " << n << " " << k << (left ? " left" : "")
                                   << (right ? " right" : "") << (start ? " bias" : "");
      }
    }
  }
}

TEST(Multiply, PackedOperandsGiveTheSameBits) {
  for (const std::int64_t m : {1, 3, 4, 7, 8, 20, 33}) {
    for (const std::int64_t n : {1, 5, 16, 31, 48, 67}) {
      for (const std::int64_t k : {1, 17, 256, 300}) {
        expect_packed_equal<float>(m, n, k);
        expect_packed_equal<double>(m, n, k);
      }
    }
  }
}

// Operands stored as floats and multiplied as doubles: equal to the product of the converted ones.
TEST(Multiply, NarrowerOperandsAreConvertedExactly) {
  for (const std::int64_t m : {1, 6, 40}) {
    for (const std::int64_t n : {3, 16, 29, 260}) {
      for (const std::int64_t k : {2, 300}) {
        const auto a = testing::normal_array<float>(m * k, 1);
        const auto b = testing::normal_array<float>(k * n, 2);
        const auto a_wide = testing::converted<double>(a), b_wide = testing::converted<double>(b);
        std::vector<double> expected(static_cast<std::size_t>(m * n)), found(expected);
        chosen_kernels<double>().multiply(false, m, n, k, a_wide.data(), k, 1, b_wide.data(), n,
                                          expected.data(), n);
        kernel_units<double>().multiply_floats(m, n, k, a.data(), b.data(), n, found.data());
        ASSERT_EQ(found, expected) << m << " " << n << " " << k;
      }
    }
  }
}

}  // namespace
}  // namespace memattn::kernels
