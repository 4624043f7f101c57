// The general product of the kernel table, on every instruction set, against plain sums.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/kernel_table.h"
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
      long double sum = add ? before[place] : 0, size = std::abs(sum);
      for (std::int64_t p = 0; p < k; ++p) {
        const long double product =
            static_cast<long double>(a[static_cast<std::size_t>(i * row + p * step)]) *
            b[static_cast<std::size_t>(p * (n + 2) + j)];
        sum += product;
        size += std::abs(product);
      }
      if (j == n) {  // between the rows nothing is written
        EXPECT_EQ(c[place], before[place]);
        continue;
      }
      const long double bound =
          static_cast<long double>(k + 1) * std::numeric_limits<T>::epsilon() * size;
      EXPECT_TRUE(std::abs(c[place] - sum) <= bound)
          << m << " " << n << " " << k << " at " << i << " " << j;
    }
  }
}

TEST(Multiply, IsThePlainProduct) {
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

}  // namespace
}  // namespace memattn::kernels
