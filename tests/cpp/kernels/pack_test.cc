// Transposes and packed operands on every instruction set: each value in its place, and no other
// memory written.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "kernels/kernel_units.h"

namespace memattn::kernels {
namespace {

// Returns a (m, n) with rows lda apart and the values 1, 2, 3, ..., each once.
template <typename T>
std::vector<T> numbered(std::int64_t m, std::int64_t lda) {
  std::vector<T> values(static_cast<std::size_t>(m * lda));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(i + 1);
  return values;
}

template <typename T>
class PackTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(PackTest, Types);

TYPED_TEST(PackTest, TransposesEveryShape) {
  using T = TypeParam;
  for (std::int64_t m = 1; m <= 21; ++m) {
    for (std::int64_t n = 1; n <= 37; ++n) {
      const std::int64_t lda = n + 3, ldo = m + 2;
      const auto a = numbered<T>(m, lda);
      std::vector<T> out(static_cast<std::size_t>(n * ldo), T(-1));
      kernel_units<T>().transpose(m, n, a.data(), lda, out.data(), ldo);
      for (std::int64_t j = 0; j < n; ++j) {
        for (std::int64_t i = 0; i < ldo; ++i) {
          const T expected = i < m ? a[static_cast<std::size_t>(i * lda + j)] : T(-1);
          ASSERT_EQ(out[static_cast<std::size_t>(j * ldo + i)], expected)
              << m << " x " << n << " at " << j << ", " << i;
        }
      }
    }
  }
}

TYPED_TEST(PackTest, PacksLeftOperandsBlockByBlock) {
  using T = TypeParam;
  for (std::int64_t m = 1; m <= 35; ++m) {
    for (const std::int64_t k : {1, 2, 7, 16, 33}) {
      for (const bool transposed : {false, true}) {
        // A itself with padded rows, or stored transposed.
        const std::int64_t row_stride = transposed ? 1 : k + 2, k_stride = transposed ? m + 1 : 1;
        const auto a = numbered<T>(transposed ? k : m, transposed ? m + 1 : k + 2);
        std::vector<T> out(static_cast<std::size_t>(m * k) + 1, T(-1));
        kernel_units<T>().pack_left(m, k, a.data(), row_stride, k_stride, out.data());
        for (std::int64_t i = 0; i < m;) {
          const std::int64_t rows = kernel_units<T>().next_block(m - i);
          ASSERT_GE(rows, 1);
          ASSERT_LE(rows, m - i);
          for (std::int64_t p = 0; p < k; ++p) {
            for (std::int64_t r = 0; r < rows; ++r) {
              ASSERT_EQ(out[static_cast<std::size_t>(i * k + p * rows + r)],
                        a[static_cast<std::size_t>((i + r) * row_stride + p * k_stride)])
                  << m << " x " << k << (transposed ? " transposed" : "");
            }
          }
          i += rows;
        }
        EXPECT_EQ(out.back(), T(-1));
      }
    }
  }
}

TYPED_TEST(PackTest, PacksRightOperandsPanelByPanel) {
  using T = TypeParam;
  for (std::int64_t n = 1; n <= 70; ++n) {
    for (const std::int64_t k : {1, 5, 17}) {
      const std::int64_t row_stride = n + 4;
      const auto b = numbered<T>(k, row_stride);
      std::vector<T> out(static_cast<std::size_t>(k * n) + 1, T(-1));
      kernel_units<T>().pack_right(k, n, b.data(), row_stride, out.data());
      for (std::int64_t j = 0; j < n;) {
        const std::int64_t columns = kernel_units<T>().next_panel(n - j);
        ASSERT_GE(columns, 1);
        ASSERT_LE(columns, n - j);
        for (std::int64_t p = 0; p < k; ++p) {
          for (std::int64_t c = 0; c < columns; ++c) {
            ASSERT_EQ(out[static_cast<std::size_t>(j * k + p * columns + c)],
                      b[static_cast<std::size_t>(p * row_stride + j + c)])
                << k << " x " << n;
          }
        }
        j += columns;
      }
      EXPECT_EQ(out.back(), T(-1));
    }
  }
}

}  // namespace
}  // namespace memattn::kernels
