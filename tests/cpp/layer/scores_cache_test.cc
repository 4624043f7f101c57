// ScoresCache: backward gives the same bits with and without it, and refuses scores of another
// call.
#include "memattn/scores_cache.h"

#include <string>

#include "testing/problem.h"

namespace memattn::testing {
namespace {

class ScoresCacheTest : public ::testing::TestWithParam<Route> {
 protected:
  ScoresCacheTest() {
    // More tokens than a tile, not a multiple of one, and every option that affects scores.
    problem_.config = {.units = 9,
                       .memory_size = 21,
                       .num_heads = 7,
                       .key_dim = 4,
                       .dropout = 0.25,
                       .fully_masked = FullyMasked::kUniform,
                       .seed = 5};
    problem_.batch = 3;
    problem_.steps = 71;
    problem_.options.training = true;
    problem_.options.dropout_step = 3;
    problem_.mask_attention(3, 71, 21, 1);
    problem_.mask_queries(2);
    problem_.draw(4);
  }

  template <typename T>
  MemoryAugmentedAttention<T> layer() const {
    MemoryAugmentedAttention<T> layer(problem_.config, converted<T>(problem_.weights));
    layer.set_route(GetParam());
    return layer;
  }
  template <typename T>
  std::vector<T> forward(const MemoryAugmentedAttention<T>& layer, ScoresCache<T>* kept) const {
    std::vector<T> y(problem_.x.size());
    layer.forward(converted<T>(problem_.x), {.batch = problem_.batch, .steps = problem_.steps}, y,
                  problem_.options, {}, kept);
    return y;
  }
  // Returns grad_x and grad_parameters, one after the other.
  template <typename T>
  std::vector<T> backward(const MemoryAugmentedAttention<T>& layer, const ScoresCache<T>* kept) {
    std::vector<T> grad(problem_.x.size() + problem_.weights.size());
    const auto grad_x = std::span(grad).first(problem_.x.size());
    layer.backward(converted<T>(problem_.x), converted<T>(problem_.g),
                   {.batch = problem_.batch, .steps = problem_.steps}, grad_x,
                   std::span(grad).subspan(grad_x.size()), problem_.options, kept);
    return grad;
  }
  template <typename T>
  void expect_same_bits() {
    const auto subject = layer<T>();
    ScoresCache<T> kept;
    EXPECT_FALSE(kept.holds_scores());
    EXPECT_EQ(forward<T>(subject, nullptr), forward<T>(subject, &kept));
    EXPECT_TRUE(kept.holds_scores());
    EXPECT_EQ(backward<T>(subject, nullptr), backward<T>(subject, &kept));
  }

  Problem problem_;
};
INSTANTIATE_TEST_SUITE_P(Routes, ScoresCacheTest,
                         ::testing::Values(Route::kFolded, Route::kProjected),
                         [](const auto& test) {
                           return test.param == Route::kFolded ? "folded" : "projected";
                         });

TEST_P(ScoresCacheTest, ChangesNoBit) {
  expect_same_bits<float>();
  expect_same_bits<double>();
}

// Scores other than the layer's own change the gradients, so backward does read them.
TEST_P(ScoresCacheTest, BackwardReadsIt) {
  const auto subject = layer<float>();
  ScoresCache<float> kept;
  forward<float>(subject, &kept);
  const auto expected = backward<float>(subject, &kept);
  for (double& value : problem_.x) value *= 0.5;
  forward<float>(subject, &kept);
  for (double& value : problem_.x) value *= 2;
  EXPECT_NE(backward<float>(subject, &kept), expected);
}

TEST_P(ScoresCacheTest, ScoresThatAreTooLargeAreComputedAgain) {
  const auto subject = layer<float>();
  ScoresCache<float> small(3 * 71 * 7 * 21 * 4 - 1);
  forward<float>(subject, &small);
  EXPECT_FALSE(small.holds_scores());
  EXPECT_EQ(backward<float>(subject, &small), backward<float>(subject, nullptr));
  EXPECT_THROW(ScoresCache<float>(-1), std::invalid_argument);
}

TEST_P(ScoresCacheTest, RefusesScoresOfAnotherCall) {
  auto subject = layer<float>();
  ScoresCache<float> kept;
  forward<float>(subject, &kept);
  const auto message = [&] {
    try {
      backward<float>(subject, &kept);
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string("nothing thrown");
  };
  const auto copy = subject;  // the same weights
  EXPECT_EQ(backward<float>(copy, &kept), backward<float>(copy, nullptr));
  subject.update([](std::span<float> weights) { weights[0] += 1; });
  EXPECT_EQ(
      message(),
      "backward: kept: found scores of batch 3, steps 71, first_step 0 and other weights, "
      "expected those of forward with batch 3, steps 71, first_step 0 and the present weights");
  forward<float>(subject, &kept);
  EXPECT_EQ(message(), "nothing thrown");
  std::swap(problem_.batch, problem_.steps);
  problem_.options = {};
  EXPECT_EQ(
      message(),
      "backward: kept: found scores of batch 3, steps 71, first_step 0, expected those of forward "
      "with batch 71, steps 3, first_step 0 and the present weights");
}

}  // namespace
}  // namespace memattn::testing
