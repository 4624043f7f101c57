// The path from past seasons against its definition.
#include "forecast/season_path.h"

#include <gtest/gtest.h>

#include <vector>

#include "testing/arrays.h"

namespace memattn {
namespace {

constexpr std::int64_t kWindows = 3, kSeasons = 4;

// Horizons below, at and above a season, and not a multiple of it; one group of outputs or two.
struct Case {
  std::int64_t season, horizon, groups;
};
constexpr Case kCases[] = {{5, 3, 1}, {5, 5, 2}, {3, 7, 1}, {3, 7, 2}, {1, 4, 2}};

TEST(SeasonPath, AddsTheValuesOfTheSamePhase) {
  for (const auto& [season, horizon, groups] : kCases) {
    const std::int64_t outputs = groups * horizon;
    const SeasonPath path{kSeasons, season, horizon};
    const auto values = testing::normal_array<double>(kWindows * kSeasons * season, 1);
    const auto kernel = testing::normal_array<double>(kSeasons * outputs, 2);
    auto output = testing::normal_array<double>(kWindows * outputs, 3);
    auto expected = output;
    const auto grad_output = testing::normal_array<double>(kWindows * outputs, 4);
    std::vector<double> grad_kernel(kernel.size(), 99), expected_grad(kernel.size(), 0);
    for (std::int64_t n = 0; n < kWindows; ++n) {
      for (std::int64_t o = 0; o < outputs; ++o) {
        for (std::int64_t p = 0; p < kSeasons; ++p) {
          const auto to = static_cast<std::size_t>(n * outputs + o);
          const auto by = static_cast<std::size_t>(p * outputs + o);
          const auto from =
              static_cast<std::size_t>((n * kSeasons + p) * season + o % horizon % season);
          expected[to] += values[from] * kernel[by];
          expected_grad[by] += values[from] * grad_output[to];
        }
      }
    }
    path.forward(kWindows, outputs, values.data(), kernel.data(), output.data());
    path.backward(kWindows, outputs, values.data(), grad_output.data(), grad_kernel.data());
    EXPECT_LE(testing::relative_error(output, expected), 1e-14) << season << ", " << horizon;
    EXPECT_LE(testing::relative_error(grad_kernel, expected_grad), 1e-14);
  }
}

TEST(SeasonPath, DoesNothingWithoutSeasons) {
  std::vector<double> output = {1, 2};
  SeasonPath{}.forward<double>(2, 1, nullptr, nullptr, output.data());
  SeasonPath{}.backward<double>(2, 1, nullptr, output.data(), nullptr);
  EXPECT_EQ(output, (std::vector<double>{1, 2}));
}

}  // namespace
}  // namespace memattn
