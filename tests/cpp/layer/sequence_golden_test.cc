// CrossAttention and HierarchicalAttention against results of Keras and fusionlab: values, scores,
// gradients, and whole training runs, on every route.
#include "testing/sequence_golden.h"

#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "layer/way_choice.h"
#include "memattn/cross_attention.h"
#include "memattn/hierarchical_attention.h"
#include "memattn/optimizers.h"

namespace memattn::testing {
namespace {

// Both layers behind one interface.
template <typename T>
struct Results {
  std::vector<T> y, grad_x1, grad_x2, grad;
  std::vector<std::vector<T>> scores;
};

template <typename T>
CrossAttention<T> layer_of(const SequenceProblem<CrossAttentionConfig>& problem) {
  return CrossAttention<T>(problem.config, converted<T>(problem.weights));
}
template <typename T>
HierarchicalAttention<T> layer_of(const SequenceProblem<HierarchicalAttentionConfig>& problem) {
  return HierarchicalAttention<T>(problem.config, converted<T>(problem.weights));
}

template <typename T, typename Config>
Results<T> results_for(const SequenceProblem<Config>& problem, std::size_t parts) {
  const auto values = [](std::size_t size) { return std::vector<T>(size); };
  const auto scores = static_cast<std::size_t>(problem.batch * problem.config.num_heads *
                                               problem.steps1 * problem.steps2);
  return {values(static_cast<std::size_t>(problem.batch * problem.steps1 * problem.config.units)),
          values(problem.x1.size()), values(problem.x2.size()), values(problem.weights.size()),
          std::vector<std::vector<T>>(parts, values(scores))};
}

template <typename T>
Results<T> run(const CrossAttention<T>& layer, const SequenceProblem<CrossAttentionConfig>& p,
               std::span<const T> g) {
  const CrossTokens tokens{.batch = p.batch, .steps1 = p.steps1, .steps2 = p.steps2};
  const auto x1 = converted<T>(p.x1), x2 = converted<T>(p.x2);
  Results<T> r = results_for<T>(p, 1);
  layer.forward(x1, x2, tokens, r.y, p.options_of(0), {r.scores[0]});
  if (g.empty()) return r;
  layer.backward(x1, x2, g, tokens, r.grad_x1, r.grad_x2, r.grad, p.options_of(0));
  return r;
}

template <typename T>
Results<T> run(const HierarchicalAttention<T>& layer,
               const SequenceProblem<HierarchicalAttentionConfig>& p, std::span<const T> g) {
  const Tokens tokens{.batch = p.batch, .steps = p.steps1};
  const HierarchicalOptions options{.short_mask = p.mask1,
                                    .long_mask = p.mask2,
                                    .attention_mask = p.options_of(0).attention_mask,
                                    .use_causal_mask = p.options.use_causal_mask};
  const auto x1 = converted<T>(p.x1), x2 = converted<T>(p.x2);
  Results<T> r = results_for<T>(p, 2);
  layer.forward(x1, x2, tokens, r.y, options,
                {.short_scores = {r.scores[0]}, .long_scores = {r.scores[1]}});
  if (g.empty()) return r;
  layer.backward(x1, x2, g, tokens, r.grad_x1, r.grad_x2, r.grad, options);
  return r;
}

template <typename T, typename Config>
void expect_golden(const std::string& name, double limit, double gradient_limit) {
  const SequenceGolden<Config> golden(name);
  const SequenceProblem<Config> problem = golden.problem();
  auto layer = layer_of<T>(problem);
  const auto g = converted<T>(problem.g);
  for (std::int64_t way = 0; way < kSequenceWays; ++way) {
    layer.set_route(route_at(way));
    const Results<T> found = run(layer, problem, std::span<const T>(g));
    EXPECT_LE(relative_error(found.y, golden.template array<double>("y")), limit) << way;
    for (std::size_t part = 0; part < found.scores.size(); ++part) {
      EXPECT_LE(relative_error(found.scores[part], golden.scores(part)), limit) << way;
    }
    const auto expect_gradient = [&](const auto& gradient, const std::string& of) {
      const auto expected = golden.template array<double>("grad." + of);
      // Their gradient is rounding noise around 0, where this library's is exactly 0: there is
      // nothing to choose, or it cancels.
      const double floor = largest_magnitude(expected) < 1e-12 ? 1 : 0;
      EXPECT_LE(relative_error(gradient, expected, floor), gradient_limit) << of << " " << way;
    };
    expect_gradient(found.grad_x1, "x1");
    expect_gradient(found.grad_x2, "x2");
    for (const WeightInfo& info : layer.weight_infos()) {
      expect_gradient(
          std::span(found.grad.data() + info.offset, static_cast<std::size_t>(info.size)),
          info.name);
    }
  }
}

class CrossGoldenTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(All, CrossGoldenTest, ::testing::ValuesIn(kCrossGoldenCases));
TEST_P(CrossGoldenTest, Float64EqualsTheGoldenValues) {
  expect_golden<double, CrossAttentionConfig>(GetParam(), 1e-12, 1e-12);
}
TEST_P(CrossGoldenTest, Float32EqualsTheGoldenValues) {
  expect_golden<float, CrossAttentionConfig>(GetParam(), 3e-6, 6e-6);
}

class HierarchicalGoldenTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(All, HierarchicalGoldenTest,
                         ::testing::ValuesIn(kHierarchicalGoldenCases));
TEST_P(HierarchicalGoldenTest, Float64EqualsTheGoldenValues) {
  expect_golden<double, HierarchicalAttentionConfig>(GetParam(), 1e-12, 1e-12);
}
TEST_P(HierarchicalGoldenTest, Float32EqualsTheGoldenValues) {
  expect_golden<float, HierarchicalAttentionConfig>(GetParam(), 3e-6, 6e-6);
}

// A training run like that of generate.py: mean squared error, with the loss taken before each
// step.
template <typename Config>
void expect_training(const std::string& name, Optimizer<double>& optimizer) {
  const SequenceGolden<Config> golden(name);
  const SequenceProblem<Config> problem = golden.problem();
  auto layer = layer_of<double>(problem);
  const auto target = golden.template array<double>("target");
  const auto losses = golden.template array<double>("losses");
  for (const double expected : losses) {
    std::vector<double> g = run(layer, problem, std::span<const double>()).y;
    double sum = 0;
    for (std::size_t i = 0; i < g.size(); ++i) {
      g[i] -= target[i];
      sum += g[i] * g[i];
      g[i] *= 2.0 / static_cast<double>(g.size());
    }
    EXPECT_NEAR(sum / static_cast<double>(g.size()), expected, 1e-9 * expected);
    const Results<double> found = run(layer, problem, std::span<const double>(g));
    layer.update([&](std::span<double> parameters) { optimizer.step(parameters, found.grad); });
  }
  EXPECT_LE(relative_error(layer.parameters(), golden.template weights<double>("last.")), 1e-9);
}

TEST(SequenceTrainingTest, SgdFollowsEveryLoss) {
  Sgd<double> cross({.learning_rate = 0.1}), hierarchical = cross;
  expect_training<CrossAttentionConfig>("train_cross_sgd", cross);
  expect_training<HierarchicalAttentionConfig>("train_hierarchical_sgd", hierarchical);
}

TEST(SequenceTrainingTest, AdamFollowsEveryLoss) {
  Adam<double> cross({.learning_rate = 0.01}), hierarchical = cross;
  expect_training<CrossAttentionConfig>("train_cross_adam", cross);
  expect_training<HierarchicalAttentionConfig>("train_hierarchical_adam", hierarchical);
}

}  // namespace
}  // namespace memattn::testing
