// CrossAttention on every route, in both types, against the reference and its complex step, for
// every option and every mask; equality to the bit, weights and errors.
#include "memattn/cross_attention.h"

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>
#include <tuple>

#include "layer/way_choice.h"
#include "memattn/threads.h"
#include "testing/arrays.h"
#include "testing/sequence_problem.h"

namespace memattn::testing {
namespace {

using Problem = SequenceProblem<CrossAttentionConfig>;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct Variant {
  std::string name;
  std::function<void(Problem&)> apply;
};

const std::vector<Variant> kConfigs = {
    {"plain", [](Problem&) {}},
    {"widths",
     [](Problem& p) {
       p.config.source1_units = 2;
       p.config.source2_units = 7;
       p.config.key_dim = 3;
       p.config.value_dim = 6;
     }},
    {"no_bias", [](Problem& p) { p.config.use_bias = false; }},
    {"dropout",
     [](Problem& p) {
       p.config.dropout = 0.4;
       p.config.seed = 11;
       p.options.training = true;
       p.options.dropout_step = 3;
     }},
    {"uniform", [](Problem& p) { p.config.fully_masked = FullyMasked::kUniform; }},
    {"single", [](Problem& p) { p.config.units = p.config.num_heads = 1; }},
    {"one_key", [](Problem& p) { p.steps2 = 1; }},
    {"one_query", [](Problem& p) { p.steps1 = 1; }},
    {"many_tokens", [](Problem& p) { p.steps1 = 19, p.steps2 = 9; }},
};

const std::vector<Variant> kMasks = {
    {"no_mask", [](Problem&) {}},
    {"attention_mask", [](Problem& p) { p.mask_attention(p.batch, p.steps1, p.steps2, 1); }},
    {"mask_of_steps", [](Problem& p) { p.mask_attention(1, p.steps1, 1, 2); }},
    {"query_mask", [](Problem& p) { p.mask_first(5); }},
    {"value_mask", [](Problem& p) { p.mask_second(6); }},
    {"causal", [](Problem& p) { p.options.use_causal_mask = true; }},
    {"nothing_kept",
     [](Problem& p) {
       p.mask_second(7);
       for (auto& keep : p.mask2) keep = 0;
     }},
    {"every_mask",
     [](Problem& p) {
       p.mask_attention(p.batch, p.steps1, p.steps2, 8);
       p.mask_first(9);
       p.mask_second(10);
       p.options.use_causal_mask = true;
     }},
};

CrossTokens tokens_of(const Problem& p) {
  return {.batch = p.batch, .steps1 = p.steps1, .steps2 = p.steps2};
}

void set_tokens(Problem& p, CrossTokens tokens) {
  p.batch = tokens.batch;
  p.steps1 = tokens.steps1;
  p.steps2 = tokens.steps2;
}

template <typename T>
struct Found {
  std::vector<T> y, scores;
};

template <typename T>
Found<T> forward(const CrossAttention<T>& layer, const Problem& p) {
  Found<T> found{
      std::vector<T>(p.g.size()),
      std::vector<T>(static_cast<std::size_t>(p.batch * p.config.num_heads * p.steps1 * p.steps2))};
  layer.forward(converted<T>(p.x1), converted<T>(p.x2), tokens_of(p), found.y, p.options_of(0),
                {found.scores});
  return found;
}

template <typename T>
struct FoundGradients {
  std::vector<T> x1, x2, weights;
};

template <typename T>
FoundGradients<T> backward(const CrossAttention<T>& layer, const Problem& p) {
  FoundGradients<T> found{std::vector<T>(p.x1.size()), std::vector<T>(p.x2.size()),
                          std::vector<T>(p.weights.size())};
  layer.backward(converted<T>(p.x1), converted<T>(p.x2), converted<T>(p.g), tokens_of(p), found.x1,
                 found.x2, found.weights, p.options_of(0));
  return found;
}

class CrossTest : public ::testing::TestWithParam<std::tuple<Variant, Variant, std::int64_t>> {
 protected:
  CrossTest() {
    problem_.config.units = 5;
    problem_.config.num_heads = 2;
    std::get<0>(GetParam()).apply(problem_);
    std::get<1>(GetParam()).apply(problem_);
    problem_.draw(42);
  }

  template <typename T>
  CrossAttention<T> layer() const {
    CrossAttention<T> layer(problem_.config, converted<T>(problem_.weights));
    layer.set_route(route_at(std::get<2>(GetParam())));
    return layer;
  }

  template <typename T>
  void expect_values(double limit) const {
    const Problem::Values truth = problem_.reference();
    const Found<T> found = forward(layer<T>(), problem_);
    EXPECT_LE(relative_error(found.y, truth.y), limit);
    EXPECT_LE(relative_error(found.scores, truth.scores[0]), limit);
  }

  template <typename T>
  void expect_gradients(double limit) const {
    const Problem::Gradients& truth = gradients();
    const CrossAttention<T> cross = layer<T>();
    const FoundGradients<T> found = backward(cross, problem_);
    // If the truth is 0 except for rounding (one key: nothing to choose), 0 is correct. A weight of
    // a single number may be the small remainder of larger terms.
    const double one_number = problem_.config.units == 1 ? largest_magnitude(truth.weights) : 0;
    const auto floor = [&](const auto& values) {
      return largest_magnitude(values) < 1e-14 ? 1e-2 : one_number;
    };
    EXPECT_LE(relative_error(found.x1, truth.x1, floor(truth.x1)), limit) << "x1";
    EXPECT_LE(relative_error(found.x2, truth.x2, floor(truth.x2)), limit) << "x2";
    for (const WeightInfo& info : cross.weight_infos()) {
      const auto part = [&](const auto& all) {
        return std::span(all.data() + info.offset, static_cast<std::size_t>(info.size));
      };
      if (info.name == "key.bias") {  // truly 0; the complex step shows its rounding
        EXPECT_EQ(largest_magnitude(part(found.weights)), 0);
        continue;
      }
      EXPECT_LE(
          relative_error(part(found.weights), part(truth.weights), floor(part(truth.weights))),
          limit)
          << info.name;
    }
  }

  // The same for each route and type, and by far the slowest part.
  const Problem::Gradients& gradients() const {
    static std::map<std::string, Problem::Gradients> truths;
    const std::string name = std::get<0>(GetParam()).name + " " + std::get<1>(GetParam()).name;
    const auto known = truths.find(name);
    if (known != truths.end()) return known->second;
    return truths.emplace(name, problem_.complex_step()).first->second;
  }

  Problem problem_;
};
INSTANTIATE_TEST_SUITE_P(All, CrossTest,
                         ::testing::Combine(::testing::ValuesIn(kConfigs),
                                            ::testing::ValuesIn(kMasks),
                                            ::testing::Range<std::int64_t>(0, kSequenceWays)),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + "_" +
                                  std::get<1>(test.param).name + "_" +
                                  std::to_string(std::get<2>(test.param));
                         });

TEST_P(CrossTest, Float64ValuesEqualTheReference) { expect_values<double>(1e-13); }
TEST_P(CrossTest, Float64GradientsEqualTheComplexStep) { expect_gradients<double>(1e-12); }
TEST_P(CrossTest, Float32ValuesEqualTheReference) { expect_values<float>(3e-6); }
TEST_P(CrossTest, Float32GradientsEqualTheComplexStep) { expect_gradients<float>(6e-6); }

// Sizes at which sequences are split into tiles, or several share one.
Problem problem_of(CrossTokens tokens, std::int64_t units = 24,
                   std::optional<std::int64_t> source2_units = {}) {
  Problem problem;
  problem.config.units = units;
  problem.config.num_heads = 3;
  problem.config.source1_units = 7;
  problem.config.source2_units = source2_units;
  problem.config.dropout = 0.2;
  set_tokens(problem, tokens);
  return problem;
}

const std::vector<CrossTokens> kSizes = {
    {.batch = 1, .steps1 = 1, .steps2 = 96},   {.batch = 37, .steps1 = 10, .steps2 = 10},
    {.batch = 3, .steps1 = 97, .steps2 = 33},  {.batch = 2, .steps1 = 130, .steps2 = 700},
    {.batch = 5, .steps1 = 50, .steps2 = 3},   {.batch = 1, .steps1 = 20, .steps2 = 3000},
    {.batch = 100, .steps1 = 1, .steps2 = 24},
};

class SizesTest : public ::testing::TestWithParam<std::tuple<std::size_t, std::int64_t>> {
 protected:
  // In some cases the tokens that are read are narrower than half a vector.
  SizesTest()
      : problem_(problem_of(kSizes[std::get<0>(GetParam())], 24,
                            std::get<0>(GetParam()) % 5 == 1 ? 3 : 24)) {}

  CrossAttention<float> layer() const {
    CrossAttention<float> layer(problem_.config, converted<float>(problem_.weights));
    layer.set_route(route_at(std::get<1>(GetParam())));
    return layer;
  }

  Problem problem_;
};
INSTANTIATE_TEST_SUITE_P(All, SizesTest,
                         ::testing::Combine(::testing::Range<std::size_t>(0, kSizes.size()),
                                            ::testing::Range<std::int64_t>(0, kSequenceWays)));

TEST_P(SizesTest, ValuesEqualTheReference) {
  problem_.mask_second(3);
  problem_.draw(4);
  const Problem::Values truth = problem_.reference();
  const Found<float> found = forward(layer(), problem_);
  EXPECT_LE(relative_error(found.y, truth.y), 3e-6);
  EXPECT_LE(relative_error(found.scores, truth.scores[0]), 3e-6);
}

TEST_P(SizesTest, BitsDependNeitherOnThreadsNorOnSplitsNorOnScores) {
  problem_.options.training = true;  // dropout
  problem_.options.dropout_step = 5;
  problem_.mask_first(2);
  problem_.mask_second(3);
  problem_.draw(4);
  const CrossAttention<float> cross = layer();
  const std::int64_t B = problem_.batch, T1 = problem_.steps1, T2 = problem_.steps2;
  Found<float> alone;
  FoundGradients<float> alone_gradients;
  {
    const ThreadLimit one(1);
    alone = forward(cross, problem_);
    alone_gradients = backward(cross, problem_);
  }
  const ThreadLimit four(4);
  const Found<float> together = forward(cross, problem_);
  EXPECT_EQ(together.y, alone.y);
  EXPECT_EQ(together.scores, alone.scores);
  const FoundGradients<float> gradients = backward(cross, problem_);
  EXPECT_EQ(gradients.x1, alone_gradients.x1);
  EXPECT_EQ(gradients.x2, alone_gradients.x2);
  EXPECT_EQ(gradients.weights, alone_gradients.weights);

  // Sequence by sequence without scores, and the last one step by step.
  const auto x1 = converted<float>(problem_.x1), x2 = converted<float>(problem_.x2);
  const std::int64_t F1 = problem_.config.resolved_source1_units(), U = problem_.config.units;
  const std::int64_t F2 = problem_.config.resolved_source2_units();
  std::vector<float> y(alone.y.size());
  const auto run = [&](std::int64_t b, std::int64_t t, std::int64_t steps) {
    CallOptions options = problem_.options_of(0);
    options.first_sequence = b;
    options.first_step = t;
    options.query_mask = options.query_mask.subspan(static_cast<std::size_t>(b * T1 + t),
                                                    static_cast<std::size_t>(steps));
    options.value_mask =
        options.value_mask.subspan(static_cast<std::size_t>(b * T2), static_cast<std::size_t>(T2));
    const auto part = [](auto& all, std::int64_t first, std::int64_t count) {
      return std::span(all.data() + first, static_cast<std::size_t>(count));
    };
    cross.forward(part(x1, (b * T1 + t) * F1, steps * F1), part(x2, b * T2 * F2, T2 * F2),
                  {.batch = 1, .steps1 = steps, .steps2 = T2}, part(y, (b * T1 + t) * U, steps * U),
                  options);
  };
  for (std::int64_t b = 0; b + 1 < B; ++b) run(b, 0, T1);
  for (std::int64_t t = 0; t < T1; ++t) run(B - 1, t, 1);
  EXPECT_EQ(y, alone.y);
}

TEST_P(SizesTest, ValuesOfMaskedStepsAffectNothing) {
  problem_.mask_first(2);
  problem_.mask_second(3);
  problem_.draw(4);
  const CrossAttention<float> cross = layer();
  const Found<float> expected = forward(cross, problem_);
  const FoundGradients<float> expected_gradients = backward(cross, problem_);
  const auto spoil = [](std::vector<double>& x, const std::vector<std::uint8_t>& mask) {
    const std::size_t width = x.size() / mask.size();
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (mask[i / width] == 0) x[i] = i % 2 == 0 ? kNaN : HUGE_VAL;
    }
  };
  spoil(problem_.x1, problem_.mask1);
  spoil(problem_.x2, problem_.mask2);
  const Found<float> found = forward(cross, problem_);
  EXPECT_EQ(found.y, expected.y);
  EXPECT_EQ(found.scores, expected.scores);
  const FoundGradients<float> gradients = backward(cross, problem_);
  EXPECT_EQ(gradients.x1, expected_gradients.x1);
  EXPECT_EQ(gradients.x2, expected_gradients.x2);
  EXPECT_EQ(gradients.weights, expected_gradients.weights);
}

Problem small_problem() {
  Problem problem = problem_of({.batch = 2, .steps1 = 3, .steps2 = 4}, 6);
  problem.draw(1);
  return problem;
}

TEST(CrossAttentionTest, ATokenWithNothingToReadGetsTheOutputBias) {
  Problem problem = small_problem();
  problem.mask1 = {1, 0, 1, 1, 1, 0};
  for (std::int64_t way = 0; way < kSequenceWays; ++way) {
    CrossAttention<double> layer(problem.config, problem.weights);
    layer.set_route(route_at(way));
    const Found<double> found = forward(layer, problem);
    const std::span<const double> bias = layer.weight("output.bias");
    for (std::size_t u = 0; u < 6; ++u) {
      EXPECT_EQ(found.y[1 * 6 + u], bias[u]);
      EXPECT_EQ(found.y[5 * 6 + u], bias[u]);
    }
  }
}

TEST(CrossAttentionTest, EmptyInputsGiveEmptyResults) {
  Problem problem = small_problem();
  for (const CrossTokens tokens :
       {CrossTokens{2, 3, 0}, CrossTokens{2, 0, 4}, CrossTokens{0, 3, 4}}) {
    set_tokens(problem, tokens);
    problem.draw(1);
    for (std::int64_t way = 0; way < kSequenceWays; ++way) {
      CrossAttention<double> layer(problem.config, problem.weights);
      layer.set_route(route_at(way));
      EXPECT_EQ(forward(layer, problem).y, problem.reference().y);
      const FoundGradients<double> found = backward(layer, problem);
      EXPECT_EQ(largest_magnitude(found.x1), 0);
      EXPECT_EQ(largest_magnitude(found.x2), 0);
      for (const WeightInfo& info : layer.weight_infos()) {
        if (info.name == "output.bias") continue;
        const std::span part(found.weights.data() + info.offset,
                             static_cast<std::size_t>(info.size));
        EXPECT_EQ(largest_magnitude(part), 0) << info.name;
      }
    }
  }
}

TEST(CrossAttentionTest, EachChangeOfWeightsTakesEffectOnEveryRoute) {
  Problem problem = small_problem();
  CrossAttention<double> layer(problem.config, problem.weights);
  for (std::int64_t way = 0; way < kSequenceWays; ++way) {
    layer.set_route(route_at(way));
    static_cast<void>(forward(layer, problem));
  }
  const CrossAttention<double> before = layer;
  const auto expect_current = [&](const char* what) {
    problem.weights.assign(layer.parameters().begin(), layer.parameters().end());
    for (std::int64_t way = 0; way < kSequenceWays; ++way) {
      layer.set_route(route_at(way));
      EXPECT_LE(relative_error(forward(layer, problem).y, problem.reference().y), 1e-13) << what;
    }
  };
  layer.set_weight("source2.kernel", normal_array<double>(36, 3));
  expect_current("set_weight");
  layer.update([](std::span<double> parameters) { parameters[7] += 1; });
  expect_current("update");
  layer.set_parameters(random_sequence_weights(problem.config, 9));
  expect_current("set_parameters");
  EXPECT_THROW(layer.update([](std::span<double> parameters) {
    parameters[0] = kNaN;
    throw std::runtime_error("stop");
  }),
               std::runtime_error);
  expect_current("an edit that throws");
  layer = before;
  expect_current("assignment");
  EXPECT_EQ(layer.forced_route(), route_at(kSequenceWays - 1));
}

TEST(CrossAttentionTest, TheRuleChoosesTheCheapestRoute) {
  const CrossAttention<float> equal({.units = 64, .num_heads = 4});
  EXPECT_EQ(equal.route({.batch = 32, .steps1 = 10, .steps2 = 10}), SequenceRoute::kLeftRead);
  EXPECT_EQ(equal.route({.batch = 1, .steps1 = 1, .steps2 = 96}), SequenceRoute::kLeftRead);
  EXPECT_EQ(equal.route({.batch = 32, .steps1 = 96, .steps2 = 1}), SequenceRoute::kRightValue);
  // For a single sequence, folding both inputs in each training step does not pay.
  EXPECT_NE(equal.route({.batch = 1, .steps1 = 4, .steps2 = 4}, true), SequenceRoute::kLeftRead);
  // Without empty lanes, the counts would favour kRightValueDense2, whose ten queries of a head
  // leave six lanes empty.
  EXPECT_EQ(equal.route({.batch = 32, .steps1 = 10, .steps2 = 10}, true),
            SequenceRoute::kLeftReadDense);
  // With narrow heads, folding gains nothing.
  const CrossAttention<float> narrow({.units = 64, .num_heads = 4, .key_dim = 2});
  EXPECT_EQ(narrow.route({.batch = 8, .steps1 = 50, .steps2 = 50}), SequenceRoute::kAsWritten);
}

// The seven ways of docs/siblings-math.md against its costs.
TEST(CrossAttentionTest, CostsEqualThoseOfTheTable) {
  kernels::SequenceDims dims;
  dims.units = dims.source1_units = dims.source2_units = dims.key_dim = dims.value_dim = 64;
  dims.num_heads = 4;
  const auto millions = [&](SequenceRoute route, CrossTokens tokens) {
    return static_cast<double>(tokens.batch) *
           cost_of(dims, way_of(route), tokens.steps1, tokens.steps2).element / 1e6;
  };
  const CrossTokens docs{.batch = 32, .steps1 = 10, .steps2 = 10};
  EXPECT_NEAR(millions(SequenceRoute::kAsWritten, docs), 25.2, 0.05);
  EXPECT_NEAR(millions(SequenceRoute::kLeftRead, docs), 12.1, 0.05);
  EXPECT_NEAR(millions(SequenceRoute::kLeftRead, {.batch = 1, .steps1 = 1, .steps2 = 96}), 0.082,
              0.001);
}

TEST(CrossAttentionTest, ErrorsNameTheArgumentAndChangeNothing) {
  const Problem problem = small_problem();
  CrossAttention<double> layer(problem.config, problem.weights);
  std::vector<double> y(problem.g.size(), 7), grad1(problem.x1.size()), grad2(problem.x2.size());
  std::vector<double> grad(problem.weights.size());
  const auto forward = [&](std::span<const double> x1, std::span<const double> x2,
                           CrossTokens tokens, std::span<double> out,
                           const CallOptions& options = {},
                           const ScoresOutput<double>& scores = {}) {
    return message_of([&] { layer.forward(x1, x2, tokens, out, options, scores); });
  };
  EXPECT_EQ(
      forward(std::span(problem.x1).first(41), problem.x2, tokens_of(problem), y),
      "forward: x1: found 41 values, expected batch * steps1 * source1_units = 2 * 3 * 7 = 42");
  EXPECT_EQ(
      forward(problem.x1, problem.x2, {2, 3, 5}, y),
      "forward: x2: found 48 values, expected batch * steps2 * source2_units = 2 * 5 * 6 = 60");
  EXPECT_EQ(forward(problem.x1, problem.x2, {-2, 3, 5}, y),
            "forward: batch: found -2, expected at least 0");
  EXPECT_EQ(forward(problem.x1, problem.x2, tokens_of(problem), std::span(y).first(35)),
            "forward: y: found 35 values, expected batch * steps1 * units = 2 * 3 * 6 = 36");
  std::vector<double> scores(3);
  EXPECT_EQ(
      forward(problem.x1, problem.x2, tokens_of(problem), y, {}, {scores}),
      "forward: scores: found 3 values, expected batch * num_heads * steps1 * steps2 = 2 * 3 * "
      "3 * 4 = 72");
  const std::vector<std::uint8_t> mask(7);
  CallOptions options;
  options.value_mask = mask;
  EXPECT_EQ(forward(problem.x1, problem.x2, tokens_of(problem), y, options),
            "forward: value_mask: found 7 values, expected batch * steps2 = 2 * 4 = 8");
  options = {};
  options.query_mask = mask;
  EXPECT_EQ(forward(problem.x1, problem.x2, tokens_of(problem), y, options),
            "forward: query_mask: found 7 values, expected batch * steps1 = 2 * 3 = 6");
  options = {};
  options.attention_mask = {mask, 1, 1, 7};
  EXPECT_EQ(forward(problem.x1, problem.x2, tokens_of(problem), y, options),
            "forward: attention_mask: found shape (1, 1, 7), expected something that broadcasts to "
            "(batch, steps1, steps2) = (2, 3, 4)");
  EXPECT_EQ(y, std::vector<double>(y.size(), 7));
  std::vector<double> both = problem.x2;
  EXPECT_EQ(forward(problem.x1, both, tokens_of(problem), std::span(both).first(36)),
            "forward: y: found memory that it shares with x2, expected memory of its own");
  EXPECT_EQ(
      message_of([&] {
        layer.backward(problem.x1, problem.x2, problem.g, tokens_of(problem), grad1,
                       std::span(grad2).first(5), grad);
      }),
      "backward: grad_x2: found 5 values, expected batch * steps2 * source2_units = 2 * 4 * 6 "
      "= 48");
  EXPECT_EQ(message_of([&] { layer.set_route(static_cast<SequenceRoute>(9)); }),
            "set_route: route: found 9, expected one of SequenceRoute");
  EXPECT_EQ(layer.forced_route(), SequenceRoute::kAuto);
  EXPECT_EQ(message_of([] { CrossAttention<float>({.units = 4, .num_heads = 0}); }).substr(0, 26),
            "CrossAttention: num_heads:");
  EXPECT_NE(layer.summary().find("source1.kernel  (7, 6)"), std::string::npos) << layer.summary();
}

TEST(CrossAttentionTest, GradientsOfTheInputsAreOptional) {
  const Problem problem = small_problem();
  const CrossAttention<double> layer(problem.config, problem.weights);
  const FoundGradients<double> all = backward(layer, problem);
  std::vector<double> grad(problem.weights.size()), grad2(problem.x2.size());
  layer.backward(problem.x1, problem.x2, problem.g, tokens_of(problem), {}, grad2, grad);
  EXPECT_EQ(grad2, all.x2);
  EXPECT_EQ(grad, all.weights);
}

}  // namespace
}  // namespace memattn::testing
