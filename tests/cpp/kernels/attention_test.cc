// The kernels at a hundred random shapes, with every kind of tail of vectors and blocks: values
// against the reference, and gradients against the complex step along random directions. Results
// are equal to the bit for any split of the tokens and any alignment of the buffers.
#include <cstring>

#include "testing/problem.h"

namespace memattn::testing {
namespace {

// Draws a size between 1 and `largest`, with a preference for small ones.
std::int64_t draw_size(std::uint64_t key, std::int64_t largest) {
  const double share = kernels::uniform(kernels::mix(key));
  return 1 + static_cast<std::int64_t>(share * share * static_cast<double>(largest));
}

Problem random_problem(std::uint64_t seed) {
  const auto key = [&](std::uint64_t what) { return kernels::mix(seed, what); };
  const auto chance = [&](std::uint64_t what, double share) {
    return kernels::uniform(key(what)) < share;
  };
  Problem problem;
  problem.config.units = draw_size(key(1), 70);
  problem.config.memory_size = draw_size(key(2), 150);
  problem.config.num_heads = draw_size(key(3), 6);
  if (chance(4, 0.5)) problem.config.key_dim = draw_size(key(5), 40);
  if (chance(6, 0.5)) problem.config.value_dim = draw_size(key(7), 40);
  problem.config.use_bias = chance(8, 0.8);
  problem.config.residual = chance(9, 0.8);
  if (chance(10, 0.5)) problem.config.fully_masked = FullyMasked::kUniform;
  problem.batch = draw_size(key(11), 5);
  problem.steps = draw_size(key(12), 60);
  if (seed % 40 == 7) {  // products larger than a block in rows and depth
    problem.config.units = 256 + draw_size(key(1), 50);
    problem.config.memory_size = 256 + draw_size(key(2), 50);
    problem.config.num_heads = 2;
    problem.config.key_dim = draw_size(key(5), 40);
    problem.batch = 1;
  }
  if (chance(13, 0.3)) {
    problem.config.dropout = 0.3;
    problem.options.training = true;
  }
  if (chance(14, 0.3)) {
    problem.mask_attention(problem.batch, problem.steps, problem.config.memory_size, key(15));
  }
  if (chance(16, 0.2)) problem.mask_queries(key(17));
  if (chance(18, 0.2)) problem.mask_values(key(19));
  problem.options.use_causal_mask = chance(20, 0.2);
  problem.draw(seed);
  return problem;
}

class AttentionTest : public ::testing::TestWithParam<int> {
 protected:
  AttentionTest() : problem_(random_problem(static_cast<std::uint64_t>(GetParam()))) {
    // The masks moved with the problem, but the views of them did not.
    if (!problem_.attention_mask.empty())
      problem_.options.attention_mask.keep = problem_.attention_mask;
    if (!problem_.query_mask.empty()) problem_.options.query_mask = problem_.query_mask;
    if (!problem_.value_mask.empty()) problem_.options.value_mask = problem_.value_mask;
  }

  template <typename T>
  MemoryAugmentedAttention<T> layer(Route route) const {
    MemoryAugmentedAttention<T> layer(problem_.config, converted<T>(problem_.weights));
    layer.set_route(route);
    return layer;
  }

  Problem problem_;
};
INSTANTIATE_TEST_SUITE_P(Shapes, AttentionTest, ::testing::Range(0, 100));

TEST_P(AttentionTest, ValuesEqualTheReference) {
  const Problem::Values truth = problem_.reference();
  const auto check = [&]<typename T>(T, Route route, double limit) {
    const auto x = converted<T>(problem_.x);
    std::vector<T> y(x.size()), scores(truth.scores.size()), mean(scores.size());
    mean.resize(mean.size() / static_cast<std::size_t>(problem_.config.num_heads));
    const auto subject = layer<T>(route);
    subject.forward(x, {.batch = problem_.batch, .steps = problem_.steps}, y, problem_.options,
                    {scores});
    EXPECT_LE(relative_error(y, truth.y), limit);
    EXPECT_LE(relative_error(scores, truth.scores), limit);
    subject.forward(x, {.batch = problem_.batch, .steps = problem_.steps}, y, problem_.options,
                    {mean, true});
    const auto rows = static_cast<std::size_t>(problem_.steps * problem_.config.memory_size);
    const auto heads = static_cast<std::size_t>(problem_.config.num_heads);
    for (std::size_t i = 0; i < mean.size(); ++i) {
      double expected = 0;
      for (std::size_t h = 0; h < heads; ++h) {
        expected += truth.scores[(i / rows * heads + h) * rows + i % rows];
      }
      EXPECT_LE(std::fabs(static_cast<double>(mean[i]) - expected / static_cast<double>(heads)),
                limit);
    }
  };
  for (const Route route : {Route::kFolded, Route::kProjected}) {
    check(double(), route, 1e-13);
    check(float(), route, 3e-6);
  }
}

// Fewer shapes: each gradient takes a run of the reference in complex numbers.
class AttentionGradientTest : public AttentionTest {};
INSTANTIATE_TEST_SUITE_P(Shapes, AttentionGradientTest, ::testing::Range(100, 130));

TEST_P(AttentionGradientTest, EqualsTheComplexStep) {
  constexpr double kZero = 0.3;  // if the truth is 0, as for key.bias, or small, both sides round
  struct Derivative {
    std::string name;
    std::size_t offset;  // in x, or in the weights
    bool of_x;
    std::vector<double> direction;
    double truth;
  };
  std::vector<Derivative> derivatives;
  const auto add = [&](std::string name, std::size_t offset, std::size_t size, bool of_x) {
    auto direction = normal_array<double>(static_cast<std::int64_t>(size), 5);
    const double truth = problem_.complex_step_along(direction, offset, of_x);
    derivatives.push_back({std::move(name), offset, of_x, std::move(direction), truth});
  };
  add("x", 0, problem_.x.size(), true);
  for (const WeightInfo& info : weight_infos(problem_.config)) {
    add(std::string(info.name), static_cast<std::size_t>(info.offset),
        static_cast<std::size_t>(info.size), false);
  }
  const auto check = [&]<typename T>(T, Route route, double limit) {
    const auto x = converted<T>(problem_.x), g = converted<T>(problem_.g);
    std::vector<T> grad_x(x.size()), grad(problem_.weights.size());
    double scale_of_kernel = 0;
    layer<T>(route).backward(x, g, {.batch = problem_.batch, .steps = problem_.steps}, grad_x, grad,
                             problem_.options);
    for (const auto& [name, offset, of_x, direction, truth] : derivatives) {
      double found = 0, scale = 0;
      for (std::size_t i = 0; i < direction.size(); ++i) {
        const double part = static_cast<double>((of_x ? grad_x : grad)[offset + i]) * direction[i];
        found += part;
        scale += std::fabs(part);
      }
      // The gradient of query.bias is the small remainder of terms as large as those of
      // query.kernel.
      const double cancelled = name == "query.bias" ? scale_of_kernel / 30 : 0;
      EXPECT_LE(std::fabs(found - truth), limit * (scale + kZero + cancelled)) << name;
      if (name == "query.kernel") scale_of_kernel = scale;
    }
  };
  for (const Route route : {Route::kFolded, Route::kProjected}) {
    check(double(), route, 1e-12);
    check(float(), route, 3e-6);
  }
}

TEST_P(AttentionTest, AnySplitAndAnyAlignmentGiveTheSameBits) {
  const auto check = [&]<typename T>(T) {
    for (const Route route : {Route::kFolded, Route::kProjected}) {
      const auto subject = layer<T>(route);
      const auto x = converted<T>(problem_.x);
      const auto units = static_cast<std::size_t>(problem_.config.units);
      const std::size_t tokens = x.size() / units;
      std::vector<T> whole(x.size());
      subject.forward(x, {.batch = 1, .steps = static_cast<std::int64_t>(tokens)}, whole);
      std::vector<T> shifted_x(x.size() + 1), shifted_y(x.size() + 3);
      std::ranges::copy(x, shifted_x.begin() + 1);
      for (std::size_t first = 0, count = 1; first < tokens;
           first += count, count = 1 + count % 20) {
        count = std::min(count, tokens - first);
        subject.forward(std::span(shifted_x).subspan(1 + first * units, count * units),
                        {.batch = static_cast<std::int64_t>(count), .steps = 1},
                        std::span(shifted_y).subspan(3 + first * units, count * units));
      }
      EXPECT_EQ(std::memcmp(shifted_y.data() + 3, whole.data(), whole.size() * sizeof(T)), 0);
    }
  };
  check(double());
  check(float());
}

}  // namespace
}  // namespace memattn::testing
