// NaN, infinities, huge and tiny numbers stay in the rows and slots that hold them.
#include <limits>

#include "testing/problem.h"

namespace memattn::testing {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

class SpecialValuesTest : public ::testing::TestWithParam<Route> {
 protected:
  SpecialValuesTest() {
    problem_.config = {.units = 6, .memory_size = 5, .num_heads = 2, .key_dim = 3, .value_dim = 4};
    problem_.batch = 3;
    problem_.steps = 7;
    problem_.draw(1);
  }

  template <typename T>
  struct Result {
    std::vector<T> y, grad_x, grad;
  };
  template <typename T = double>
  Result<T> run() const {
    MemoryAugmentedAttention<T> layer(problem_.config, converted<T>(problem_.weights));
    layer.set_route(GetParam());
    const auto x = converted<T>(problem_.x), g = converted<T>(problem_.g);
    Result<T> result{std::vector<T>(x.size()), std::vector<T>(x.size()),
                     std::vector<T>(problem_.weights.size())};
    layer.forward(x, {.batch = problem_.batch, .steps = problem_.steps}, result.y,
                  problem_.options);
    layer.backward(x, g, {.batch = problem_.batch, .steps = problem_.steps}, result.grad_x,
                   result.grad, problem_.options);
    return result;
  }
  std::span<double> memory_slot(std::size_t slot) {
    return std::span(problem_.weights).subspan(slot * 6, 6);
  }

  Problem problem_;
};
INSTANTIATE_TEST_SUITE_P(Routes, SpecialValuesTest,
                         ::testing::Values(Route::kFolded, Route::kProjected),
                         [](const auto& test) {
                           return test.param == Route::kFolded ? "folded" : "projected";
                         });

TEST_P(SpecialValuesTest, RowsWithNanOrInfDoNotAffectOthers) {
  const auto clean = run();
  for (const double bad : {kNan, kInf, -kInf}) {
    auto kept = problem_.x;
    problem_.x[4 * 6 + 2] = bad;
    const auto spoilt = run();
    for (std::size_t i = 0; i < kept.size(); ++i) {
      if (i / 6 == 4) {
        EXPECT_FALSE(std::isfinite(spoilt.y[i])) << i;
      } else {
        EXPECT_EQ(spoilt.y[i], clean.y[i]) << i;
        EXPECT_EQ(spoilt.grad_x[i], clean.grad_x[i]) << i;
      }
    }
    problem_.x = kept;
  }
}

TEST_P(SpecialValuesTest, PaddedRowsWithNanDoNotReachTheGradients) {
  problem_.mask_queries(3);
  problem_.query_mask.assign(21, 1);
  problem_.query_mask[4] = 0;
  for (std::size_t u = 0; u < 6; ++u) problem_.g[4 * 6 + u] = 0;  // no loss on padding
  const auto clean = run();
  for (std::size_t u = 0; u < 6; ++u) problem_.x[4 * 6 + u] = kNan;
  const auto padded = run();
  EXPECT_EQ(relative_error(padded.grad, clean.grad), 0);
  EXPECT_EQ(relative_error(padded.grad_x, clean.grad_x), 0);
}

TEST_P(SpecialValuesTest, AMaskedSlotWithNanDoesNotLeak) {
  for (const FullyMasked fully_masked : {FullyMasked::kZero, FullyMasked::kUniform}) {
    problem_.config.fully_masked = fully_masked;
    problem_.mask_values(3);
    problem_.value_mask.assign(15, 1);
    for (std::size_t b = 0; b < 3; ++b) problem_.value_mask[b * 5 + 2] = 0;
    const auto clean = run();
    const std::vector<double> before(memory_slot(2).begin(), memory_slot(2).end());
    for (const double bad : {kNan, kInf}) {
      std::ranges::fill(memory_slot(2), bad);
      const auto masked = run();
      EXPECT_EQ(relative_error(masked.y, clean.y), 0);
      EXPECT_EQ(relative_error(masked.grad_x, clean.grad_x), 0);
      EXPECT_EQ(relative_error(masked.grad, clean.grad), 0);
    }
    std::ranges::copy(before, memory_slot(2).begin());
  }
}

TEST_P(SpecialValuesTest, RowsWithNothingToReadGetTheOutputBias) {
  problem_.mask_queries(3);
  problem_.query_mask.assign(21, 0);
  const auto zero = run<float>();
  const auto bias = std::span(problem_.weights).last(6);
  for (std::size_t i = 0; i < zero.y.size(); ++i) {
    EXPECT_EQ(zero.y[i], static_cast<float>(problem_.x[i]) + static_cast<float>(bias[i % 6]));
    EXPECT_EQ(zero.grad_x[i], static_cast<float>(problem_.g[i]));
  }
}

// With one head and one unit, the logits can be chosen; the slots hold 1 and -1. Kernels compute
// logits to base 2, which are 1.44 times as large.
TEST_P(SpecialValuesTest, LogitsNearTheLargestFloatAreExact) {
  MemoryAugmentedAttentionConfig config{
      .units = 1, .memory_size = 2, .num_heads = 1, .use_bias = false};
  const std::vector<float> weights = {1,         -1,          /*query*/ 2.3e38f,
                                      /*key*/ 1, /*value*/ 1, /*output*/ 1};
  MemoryAugmentedAttention<float> layer(config, weights);
  layer.set_route(GetParam());
  std::vector<float> y(2), scores(4), grad(6), grad_x(2);
  const std::vector<float> x = {1, -1}, g = {1, 1};
  layer.forward(x, {.batch = 1, .steps = 2}, y, {}, {scores});
  EXPECT_EQ(scores, (std::vector<float>{1, 0, 0, 1}));
  EXPECT_EQ(y, (std::vector<float>{2, -2}));
  layer.backward(x, g, {.batch = 1, .steps = 2}, grad_x, grad);
  EXPECT_EQ(grad_x, g);
  for (const float value : grad) EXPECT_TRUE(std::isfinite(value));
}

TEST_P(SpecialValuesTest, SubnormalNumbersAreNotFlushed) {
  constexpr float kTiny = std::numeric_limits<float>::denorm_min();
  MemoryAugmentedAttentionConfig config{
      .units = 1, .memory_size = 2, .num_heads = 1, .use_bias = false, .residual = false};
  const std::vector<float> weights = {3 * kTiny, 3 * kTiny, 1, 1, 1, 1};
  MemoryAugmentedAttention<float> layer(config, weights);
  layer.set_route(GetParam());
  std::vector<float> y(1), scores(2);
  layer.forward(std::vector<float>{kTiny}, {.batch = 1, .steps = 1}, y, {}, {scores});
  EXPECT_EQ(scores, (std::vector<float>{0.5f, 0.5f}));
  EXPECT_GT(y[0], 0.0f);  // not flushed: half of 3 tiny, twice, each rounded
  EXPECT_LE(y[0], 4 * kTiny);
}

}  // namespace
}  // namespace memattn::testing
