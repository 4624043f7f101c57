// exp2 against the C library's in higher precision: a million floats, spread evenly over all bit
// patterns, and 100,000 doubles; every float and a million doubles if MEMATTN_LONG_TESTS is set.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <vector>

#include "kernels/kernel_table.h"
#include "testing/arrays.h"

namespace memattn::kernels {
namespace {

TEST(Exp2, EveryFloatIsWithinTwoUnits) {
  constexpr std::uint32_t kFirst = 0x80000000u;                          // -0
  const std::uint32_t last = std::bit_cast<std::uint32_t>(-126.5f) - 1;  // 0 from there on
  const std::uint32_t step = std::getenv("MEMATTN_LONG_TESTS") ? 1 : 1009;
  std::vector<float> x, y;
  double worst = 0;
  for (std::uint64_t bits = kFirst; bits <= last;) {
    x.clear();
    for (; x.size() < 4096 && bits <= last; bits += step) {
      x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
    }
    y.resize(x.size());
    chosen_kernels<float>().exp2(x.data(), y.data(), static_cast<std::int64_t>(x.size()));
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double truth = std::exp2(static_cast<double>(x[i]));
      const double unit = std::ldexp(1.0, std::max(std::ilogb(truth), -126) - 23);
      worst = std::max(worst, std::fabs(static_cast<double>(y[i]) - truth) / unit);
      ASSERT_TRUE(std::isfinite(y[i])) << x[i];
    }
  }
  EXPECT_LE(worst, 2) << "units in the last place";
  ::testing::Test::RecordProperty("worst_units", std::to_string(worst));
}

TEST(Exp2, DoublesAreWithinTwoUnits) {
  std::vector<double> x, y(std::getenv("MEMATTN_LONG_TESTS") ? 1'000'000 : 100'000);
  for (std::uint64_t i = 0; i < y.size(); ++i) x.push_back(-1022 * uniform(mix(1, i)));
  for (std::uint64_t i = 0; i < 1000; ++i) x[i] = -uniform(mix(2, i));
  chosen_kernels<double>().exp2(x.data(), y.data(), static_cast<std::int64_t>(y.size()));
  long double worst = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const long double truth = std::exp2(static_cast<long double>(x[i]));
    const long double unit = std::ldexp(1.0L, std::ilogb(truth) - 52);
    worst = std::max(worst, std::fabs(static_cast<long double>(y[i]) - truth) / unit);
  }
  EXPECT_TRUE(worst <= 2) << static_cast<double>(worst);
}

template <typename T>
void expect_edges() {
  constexpr T kInf = std::numeric_limits<T>::infinity();
  constexpr T kNan = std::numeric_limits<T>::quiet_NaN();
  constexpr T kTiny = std::numeric_limits<T>::denorm_min();
  const T below = sizeof(T) == 4 ? T(-126.5) : T(-1022.5);
  const std::vector<T> x = {T(0), T(-0.0), -kTiny, -kInf, T(-1e30), kNan, below, 8 * below};
  for (std::size_t size = 1; size <= 40; ++size) {  // every length of tail
    std::vector<T> in(size), out(size + 1, T(7));
    for (std::size_t i = 0; i < size; ++i) in[i] = x[(i + size) % x.size()];
    chosen_kernels<T>().exp2(in.data(), out.data(), static_cast<std::int64_t>(size));
    for (std::size_t i = 0; i < size; ++i) {
      const T expected = std::isnan(in[i]) ? kNan : in[i] < -1 ? T(0) : T(1);
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(out[i]));
      } else {
        EXPECT_EQ(out[i], expected) << in[i];
      }
    }
    EXPECT_EQ(out[size], T(7));
  }
}

TEST(Exp2, IsRightAtTheEdgesOfItsRange) {
  expect_edges<float>();
  expect_edges<double>();
}

}  // namespace
}  // namespace memattn::kernels
