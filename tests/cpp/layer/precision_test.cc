// The memory layer in bfloat16: its error against float64. Masks, NaN, few tokens, threads and
// splits of the batch behave as in float32.
#include "testing/precision.h"

#include <cmath>
#include <limits>
#include <random>
#include <utility>

#include "memattn/threads.h"
#include "testing/golden.h"
#include "testing/problem.h"

namespace memattn::testing {
namespace {

// Returns the output of `problem` in the precision of `config`.
template <typename T>
std::vector<T> output(const Problem& problem, Route route, Precision precision,
                      std::vector<T>* scores = nullptr) {
  MemoryAugmentedAttentionConfig config = problem.config;
  config.precision = precision;
  MemoryAugmentedAttention<T> layer(config, converted<T>(problem.weights));
  layer.set_route(route);
  const auto x = converted<T>(problem.x);
  std::vector<T> y(x.size());
  ScoresOutput<T> wanted;
  if (scores) {
    scores->resize(static_cast<std::size_t>(problem.scores_size()));
    wanted.values = *scores;
  }
  layer.forward(x, {.batch = problem.batch, .steps = problem.steps}, y, problem.options, wanted);
  return y;
}

void expect_close(const Problem& problem, Route route) {
  const auto expected = output<double>(problem, route, Precision::kFloat32);
  const auto found = output<float>(problem, route, Precision::kBFloat16);
  if (problem.config.residual) {
    EXPECT_LE(relative_l2(found, expected), 2e-3);
    EXPECT_LE(relative_l2(found, expected, problem.x), 6e-3);
  } else {
    EXPECT_LE(relative_l2(found, expected), 6e-3);
  }
  // Not accidentally float32.
  EXPECT_GT(relative_l2(found, expected), 1e-5);
}

class PrecisionTest : public ::testing::TestWithParam<Route> {
 protected:
  // Odd sizes everywhere, and more tokens than a tile.
  static Problem odd_problem(std::uint64_t seed = 1) {
    Problem problem;
    problem.config = {.units = 21, .memory_size = 7, .num_heads = 3, .key_dim = 5, .value_dim = 9};
    problem.batch = 5;
    problem.steps = 23;
    problem.draw(seed);
    return problem;
  }
};
INSTANTIATE_TEST_SUITE_P(Routes, PrecisionTest,
                         ::testing::Values(Route::kFolded, Route::kProjected),
                         [](const auto& test) {
                           return test.param == Route::kFolded ? "folded" : "projected";
                         });

TEST_P(PrecisionTest, GoldenCasesAreNearTheirValues) {
  for (const std::string& name : kGoldenCases) {
    SCOPED_TRACE(name);
    const Golden golden(name);
    MemoryAugmentedAttentionConfig config = golden.config();
    config.precision = Precision::kBFloat16;
    MemoryAugmentedAttention<float> layer(config, golden.weights<float>());
    layer.set_route(GetParam());
    const auto x = golden.array<float>("x");
    std::vector<float> y(x.size());
    layer.forward(x, {.batch = golden.batch(), .steps = golden.steps()}, y, golden.options());
    EXPECT_LE(relative_l2(y, golden.array<double>("y")), 2e-3);
    EXPECT_LE(relative_l2(y, golden.array<double>("y"), golden.array<double>("x")), 6e-3);
  }
}

TEST_P(PrecisionTest, RandomShapesAreNearFloat64) {
  std::mt19937_64 random(5);
  const auto draw = [&](std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(random);
  };
  for (int i = 0; i < 40; ++i) {
    Problem problem;
    problem.config = {.units = draw(8, 140),
                      .memory_size = draw(1, 150),
                      .num_heads = draw(1, 6),
                      .key_dim = draw(1, 40),
                      .value_dim = draw(1, 40)};
    problem.config.use_bias = i % 3 != 0;
    problem.config.residual = i % 4 != 0;
    problem.batch = draw(1, 6);
    problem.steps = draw(20, 60);
    problem.draw(static_cast<std::uint64_t>(i));
    SCOPED_TRACE(to_json(problem.config));
    expect_close(problem, GetParam());
  }
}

TEST_P(PrecisionTest, LargeLogitsAreNearFloat64) {
  for (const double factor : {2.0, 3.0, 5.0, 20.0, 1000.0}) {
    Problem problem;
    problem.config = {.units = 64, .memory_size = 40, .num_heads = 4};
    problem.batch = 6;
    problem.steps = 50;
    problem.draw(3);
    MemoryAugmentedAttention<double> layer(problem.config, problem.weights);
    layer.update([&](std::span<double> parameters) {
      for (const WeightInfo& info : layer.weight_infos()) {
        if (!info.name.starts_with("query.")) continue;
        for (std::int64_t i = info.offset; i < info.offset + info.size; ++i) {
          parameters[static_cast<std::size_t>(i)] *= factor;
        }
      }
    });
    problem.weights.assign(layer.parameters().begin(), layer.parameters().end());
    SCOPED_TRACE(factor);
    expect_close(problem, GetParam());
    // Tokens of all sizes side by side.
    for (std::size_t i = 0; i < problem.x.size(); ++i) {
      problem.x[i] *= std::ldexp(1.0, static_cast<int>(i / 64 % 9) - 4);
    }
    expect_close(problem, GetParam());
  }
}

TEST_P(PrecisionTest, MasksActAsInFloat32) {
  for (const FullyMasked fully_masked : {FullyMasked::kZero, FullyMasked::kUniform}) {
    for (const bool causal : {false, true}) {
      Problem problem = odd_problem();
      problem.config.fully_masked = fully_masked;
      problem.mask_attention(5, 23, 7, 1);
      problem.mask_queries(2);
      problem.mask_values(3);
      problem.options.use_causal_mask = causal;
      expect_close(problem, GetParam());
      std::vector<float> found, expected;
      output<float>(problem, GetParam(), Precision::kBFloat16, &found);
      output<float>(problem, GetParam(), Precision::kFloat32, &expected);
      for (std::size_t i = 0; i < found.size(); ++i) {
        EXPECT_EQ(found[i] == 0, expected[i] == 0) << i;
        EXPECT_NEAR(found[i], expected[i], 0.02);
      }
    }
  }
}

TEST_P(PrecisionTest, AMaskedSlotWithNanDoesNotLeak) {
  for (const FullyMasked fully_masked : {FullyMasked::kZero, FullyMasked::kUniform}) {
    Problem problem = odd_problem();
    problem.config.fully_masked = fully_masked;
    problem.mask_values(3);
    for (std::size_t b = 0; b < 5; ++b) {
      problem.value_mask[b * 7 + 2] = 0;  // the even element of a pair
      problem.value_mask[b * 7 + 5] = 0;  // the odd one
      problem.value_mask[b * 7 + 3] = 1;
    }
    const auto clean = output<float>(problem, GetParam(), Precision::kBFloat16);
    for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity(), 3.4e38}) {
      for (const std::int64_t slot : {2, 5}) {
        std::fill_n(problem.weights.begin() + slot * 21, 21, bad);
      }
      const auto found = output<float>(problem, GetParam(), Precision::kBFloat16);
      EXPECT_EQ(relative_error(found, clean), 0);
    }
  }
}

TEST_P(PrecisionTest, TokensWithNanDoNotAffectOthers) {
  Problem problem = odd_problem();
  const auto clean = output<float>(problem, GetParam(), Precision::kBFloat16);
  problem.x[21 * 30 + 4] = std::nan("");
  const auto spoilt = output<float>(problem, GetParam(), Precision::kBFloat16);
  for (std::size_t i = 0; i < clean.size(); ++i) {
    if (i / 21 == 30) {
      EXPECT_TRUE(std::isnan(spoilt[i]));
    } else {
      EXPECT_EQ(spoilt[i], clean[i]);
    }
  }
}

// One call, calls of one to four tokens, and any number of threads.
TEST_P(PrecisionTest, SplitsAndThreadsGiveTheSameBits) {
  for (const double size : {1.0, 0.01, 3.0}) {  // 3: some tokens' logits are large, some are not
    Problem problem;
    problem.config = {.units = 33, .memory_size = 17, .num_heads = 3};
    problem.batch = 1;
    problem.steps = 301;
    problem.draw(1);
    for (double& value : problem.x) value *= size;
    problem.config.precision = Precision::kBFloat16;
    MemoryAugmentedAttention<float> layer(problem.config, converted<float>(problem.weights));
    layer.set_route(GetParam());
    const auto x = converted<float>(problem.x);
    std::vector<float> whole(x.size()), found(x.size());
    layer.forward(x, {.batch = 1, .steps = 301}, whole);
    const int threads = num_threads();
    for (const int number : {1, 2, 3}) {
      set_num_threads(number);
      layer.forward(x, {.batch = 1, .steps = 301}, found);
      EXPECT_TRUE(same_bits(found, whole)) << number << " threads";
    }
    set_num_threads(threads);
    for (const std::int64_t tokens : {1, 2, 3, 4, 50}) {
      for (std::int64_t first = 0; first < 301; first += tokens) {
        const std::int64_t count = std::min(tokens, 301 - first);
        const auto at = static_cast<std::size_t>(first * 33);
        const auto values = static_cast<std::size_t>(count * 33);
        layer.forward(std::span(x).subspan(at, values), {.batch = 1, .steps = count},
                      std::span(found).subspan(at, values));
      }
      EXPECT_TRUE(same_bits(found, whole)) << tokens << " tokens";
    }
    // In place, and with scores.
    found = x;
    layer.forward(found, {.batch = 1, .steps = 301}, found);
    EXPECT_TRUE(same_bits(found, whole));
    std::vector<float> scores(static_cast<std::size_t>(301 * 3 * 17));
    layer.forward(x, {.batch = 1, .steps = 301}, found, {}, {scores});
    EXPECT_TRUE(same_bits(found, whole));
  }
}

TEST_P(PrecisionTest, TrainingIsInFloat32) {
  const Problem problem = odd_problem();
  MemoryAugmentedAttentionConfig config = problem.config;
  config.dropout = 0.3;
  MemoryAugmentedAttention<float> plain(config, converted<float>(problem.weights));
  plain.set_route(GetParam());
  auto rounded = plain;
  rounded.set_precision(Precision::kBFloat16);
  const auto x = converted<float>(problem.x), g = converted<float>(problem.g);
  const Tokens tokens{.batch = problem.batch, .steps = problem.steps};
  for (const bool training : {true, false}) {
    std::vector<float> y[2], grad_x[2], grad[2];
    for (const int i : {0, 1}) {
      const auto& layer = i == 0 ? plain : rounded;
      y[i].resize(x.size());
      grad_x[i].resize(x.size());
      grad[i].resize(layer.parameters().size());
      CallOptions options;
      options.training = training;
      ScoresCache<float> kept;
      layer.forward(x, tokens, y[i], options, {}, training ? nullptr : &kept);
      layer.backward(x, g, tokens, grad_x[i], grad[i], options, training ? nullptr : &kept);
    }
    EXPECT_TRUE(same_bits(y[0], y[1]));
    EXPECT_TRUE(same_bits(grad_x[0], grad_x[1]));
    EXPECT_TRUE(same_bits(grad[0], grad[1]));
  }
}

TEST_P(PrecisionTest, FollowsChangesOfWeightsAndRouteAndCopies) {
  Problem problem = odd_problem();
  const auto expected = output<float>(problem, GetParam(), Precision::kBFloat16);
  MemoryAugmentedAttentionConfig config = problem.config;
  config.precision = Precision::kBFloat16;
  config.seed = 9;
  MemoryAugmentedAttention<float> layer(config);
  const std::int64_t bytes = layer.kept_bytes();
  layer.set_precision(Precision::kFloat32);
  EXPECT_LT(layer.kept_bytes(), bytes);
  layer.set_route(GetParam());
  layer.set_precision(Precision::kBFloat16);
  layer.set_parameters(converted<float>(problem.weights));
  const auto copy = layer;
  EXPECT_EQ(copy.config().precision, Precision::kBFloat16);
  const auto x = converted<float>(problem.x);
  std::vector<float> y(x.size());
  for (const auto* one : {&std::as_const(layer), &copy}) {
    one->forward(x, {.batch = problem.batch, .steps = problem.steps}, y);
    EXPECT_TRUE(same_bits(y, expected));
  }
  EXPECT_NE(layer.summary().find("float32, products in bfloat16"), std::string::npos);
}

TEST(Precision, BFloat16IsRefusedForDoubles) {
  const MemoryAugmentedAttentionConfig config{
      .units = 4, .memory_size = 3, .num_heads = 2, .precision = Precision::kBFloat16};
  const std::string message =
      "MemoryAugmentedAttention: precision: found \"bfloat16\" with weights of float64, expected "
      "\"float32\", or a layer of float32";
  EXPECT_EQ(message_of([&] { MemoryAugmentedAttention<double> layer(config); }), message);
  MemoryAugmentedAttention<double> layer({.units = 4, .memory_size = 3, .num_heads = 2});
  EXPECT_EQ(message_of([&] { layer.set_precision(Precision::kBFloat16); }), message);
  EXPECT_EQ(layer.config().precision, Precision::kFloat32);
  layer.set_precision(Precision::kFloat32);
}

TEST(Precision, IsInTheJsonOnlyIfItIsNotFloat32) {
  MemoryAugmentedAttentionConfig config{.units = 4, .memory_size = 3, .num_heads = 2};
  EXPECT_EQ(to_json(config).find("precision"), std::string::npos);
  config.precision = Precision::kBFloat16;
  EXPECT_TRUE(to_json(config).ends_with("\"seed\":0,\"precision\":\"bfloat16\"}"))
      << to_json(config);
  EXPECT_EQ(config_from_json(to_json(config)), config);
  EXPECT_EQ(config_from_json(R"({"units":4,"memory_size":3,"num_heads":2,"precision":"float32"})")
                .precision,
            Precision::kFloat32);
  EXPECT_EQ(message_of([] {
              static_cast<void>(config_from_json(
                  R"({"units":4,"memory_size":3,"num_heads":2,"precision":"float16"})"));
            }),
            "MemoryAugmentedAttention: precision: found the string \"float16\", expected one of "
            "\"float32\", "
            "\"bfloat16\"");
}

}  // namespace
}  // namespace memattn::testing
