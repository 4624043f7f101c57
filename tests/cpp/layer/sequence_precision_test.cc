// CrossAttention and HierarchicalAttention in bfloat16, on every route: the error against float64.
// Masks, NaN, threads and splits of the input behave as in float32.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "layer/way_choice.h"
#include "layer/weights.h"
#include "memattn/cross_attention.h"
#include "memattn/hierarchical_attention.h"
#include "memattn/threads.h"
#include "testing/precision.h"
#include "testing/sequence_golden.h"

namespace memattn::testing {
namespace {

using CrossProblem = SequenceProblem<CrossAttentionConfig>;
using HierarchicalProblem = SequenceProblem<HierarchicalAttentionConfig>;

template <typename T>
std::vector<T> forward(const CrossAttention<T>& layer, const CrossProblem& p,
                       bool training = false) {
  std::vector<T> y(static_cast<std::size_t>(p.batch * p.steps1 * p.config.units));
  CallOptions options = p.options_of(0);
  options.training = training;
  layer.forward(converted<T>(p.x1), converted<T>(p.x2),
                {.batch = p.batch, .steps1 = p.steps1, .steps2 = p.steps2}, y, options);
  return y;
}
template <typename T>
std::vector<T> forward(const HierarchicalAttention<T>& layer, const HierarchicalProblem& p,
                       bool training = false) {
  std::vector<T> y(static_cast<std::size_t>(p.batch * p.steps1 * p.config.units));
  layer.forward(converted<T>(p.x1), converted<T>(p.x2), {.batch = p.batch, .steps = p.steps1}, y,
                {.short_mask = p.mask1,
                 .long_mask = p.mask2,
                 .attention_mask = p.options_of(0).attention_mask,
                 .use_causal_mask = p.options.use_causal_mask,
                 .training = training});
  return y;
}

template <typename T, typename Problem>
auto layer_of(const Problem& problem, Precision precision) {
  auto config = problem.config;
  config.precision = precision;
  if constexpr (Problem::kSelf) {
    return HierarchicalAttention<T>(config, converted<T>(problem.weights));
  } else {
    return CrossAttention<T>(config, converted<T>(problem.weights));
  }
}

// Returns whether a result differs from float32's, which is within 1e-6.
template <typename Problem>
bool rounds(const Problem& problem, std::int64_t way) {
  const auto pays = [&](const kernels::SequenceDims& dims) {
    return rounding_pays(dims, way_of(route_at(way)), problem.steps2);
  };
  if constexpr (Problem::kSelf) {
    return std::ranges::any_of(sequence_dims_of(problem.config), pays);
  } else {
    return pays(sequence_dims_of(problem.config));
  }
}

template <typename Problem>
void expect_close(const Problem& problem) {
  const auto expected = forward(layer_of<double>(problem, Precision::kFloat32), problem);
  auto layer = layer_of<float>(problem, Precision::kBFloat16);
  for (std::int64_t way = 0; way < kSequenceWays; ++way) {
    layer.set_route(route_at(way));
    const auto found = forward(layer, problem);
    EXPECT_LE(relative_l2(found, expected), 6e-3) << way;
    if (rounds(problem, way)) {
      EXPECT_GT(relative_l2(found, expected), 1e-5) << way;
    }
  }
}

constexpr std::int64_t kUnits = 45, kWidth1 = 41, kWidth2 = 39;

CrossProblem cross_problem(std::int64_t steps1 = 23, std::int64_t steps2 = 19) {
  CrossProblem problem;
  problem.config = {
      .units = kUnits, .num_heads = 3, .source1_units = kWidth1, .source2_units = kWidth2};
  problem.config.key_dim = 27;
  problem.config.value_dim = 29;
  problem.batch = 5;
  problem.steps1 = steps1;
  problem.steps2 = steps2;
  problem.draw(1);
  return problem;
}

TEST(SequencePrecision, GoldenCasesAreNearTheirValues) {
  const auto check = [&](const auto& golden) {
    const auto problem = golden.problem();
    auto layer = layer_of<float>(problem, Precision::kBFloat16);
    for (std::int64_t way = 0; way < kSequenceWays; ++way) {
      layer.set_route(route_at(way));
      EXPECT_LE(relative_l2(forward(layer, problem), golden.template array<double>("y")), 6e-3)
          << way;
    }
  };
  for (const std::string& name : kCrossGoldenCases) {
    SCOPED_TRACE(name);
    check(SequenceGolden<CrossAttentionConfig>(name));
  }
  for (const std::string& name : kHierarchicalGoldenCases) {
    SCOPED_TRACE(name);
    check(SequenceGolden<HierarchicalAttentionConfig>(name));
  }
}

TEST(SequencePrecision, ShapesAreNearFloat64) {
  for (const auto& [steps1, steps2] :
       {std::pair<std::int64_t, std::int64_t>{23, 19}, {9, 5}, {1, 40}, {150, 1}, {130, 97}}) {
    SCOPED_TRACE(steps1);
    expect_close(cross_problem(steps1, steps2));
  }
  for (const std::int64_t steps : {10, 30}) {
    HierarchicalProblem problem;
    problem.config = {.units = 32, .num_heads = 4, .short_units = 12, .long_units = 19};
    problem.batch = 6;
    problem.steps1 = problem.steps2 = steps;
    problem.draw(2);
    expect_close(problem);
  }
}

TEST(SequencePrecision, LargeLogitsAreNearFloat64) {
  for (const double factor : {3.0, 10.0, 300.0}) {
    for (const std::int64_t steps1 : {9, 60}) {  // heads side by side, and one after another
      CrossProblem problem = cross_problem(steps1, 30);
      for (std::size_t i = 0; i < problem.x1.size(); ++i) {
        problem.x1[i] *= factor * std::ldexp(1.0, static_cast<int>(i / kWidth1 % 5) - 2);
      }
      SCOPED_TRACE(factor);
      expect_close(problem);
    }
  }
}

TEST(SequencePrecision, MasksActAsInFloat32) {
  for (const FullyMasked fully_masked : {FullyMasked::kZero, FullyMasked::kUniform}) {
    for (const std::int64_t steps1 : {9, 60}) {
      CrossProblem problem = cross_problem(steps1, 19);
      problem.config.fully_masked = fully_masked;
      problem.mask_attention(5, steps1, 19, 1);
      problem.mask_first(2);
      problem.mask_second(3);
      problem.options.use_causal_mask = steps1 == 60;
      expect_close(problem);
    }
  }
}

TEST(SequencePrecision, AMaskedStepWithNanDoesNotLeak) {
  for (const std::int64_t steps1 : {9, 60}) {
    CrossProblem problem = cross_problem(steps1, 25);
    problem.mask2.assign(125, 1);
    for (std::size_t b = 0; b < 5; ++b) problem.mask2[b * 25 + 2] = problem.mask2[b * 25 + 5] = 0;
    auto layer = layer_of<float>(problem, Precision::kBFloat16);
    for (std::int64_t way = 0; way < kSequenceWays; ++way) {
      layer.set_route(route_at(way));
      const auto clean = forward(layer, problem);
      for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity(), 3.4e38}) {
        CrossProblem spoilt = problem;
        for (std::size_t i = 0; i < spoilt.x2.size(); ++i) {
          if (problem.mask2[i / kWidth2] == 0) spoilt.x2[i] = bad;
        }
        EXPECT_EQ(relative_error(forward(layer, spoilt), clean), 0) << way << " " << bad;
      }
    }
  }
}

// Single sequences, single steps, and any number of threads.
TEST(SequencePrecision, SplitsAndThreadsGiveTheSameBits) {
  const int threads = num_threads();
  for (const double size : {1.0, 3.0}) {  // 3: some logits are large, some are not
    CrossProblem problem = cross_problem(60, 40);
    for (double& value : problem.x1) value *= size;
    auto layer = layer_of<float>(problem, Precision::kBFloat16);
    const auto x1 = converted<float>(problem.x1), x2 = converted<float>(problem.x2);
    for (std::int64_t way = 0; way < kSequenceWays; ++way) {
      layer.set_route(route_at(way));
      const auto whole = forward(layer, problem);
      for (const int number : {2, 3}) {
        set_num_threads(number);
        EXPECT_TRUE(same_bits(forward(layer, problem), whole)) << way << ": " << number;
      }
      set_num_threads(threads);
      for (const std::int64_t steps : {60, 20, 1}) {
        std::vector<float> found(whole.size());
        for (std::int64_t b = 0; b < 5; ++b) {
          for (std::int64_t t = 0; t < 60; t += steps) {
            CallOptions options;
            options.first_step = t;
            options.first_sequence = b;
            const auto part = [&](auto values, std::int64_t at, std::int64_t count) {
              return values.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(count));
            };
            layer.forward(part(std::span(x1), (b * 60 + t) * kWidth1, steps * kWidth1),
                          part(std::span(x2), b * 40 * kWidth2, 40 * kWidth2),
                          {.batch = 1, .steps1 = steps, .steps2 = 40},
                          part(std::span(found), (b * 60 + t) * kUnits, steps * kUnits), options);
          }
        }
        EXPECT_TRUE(same_bits(found, whole)) << way << ": " << steps << " steps";
      }
    }
  }
}

// Where bfloat16 would be slower, for any batch.
TEST(SequencePrecision, ThinLayersComputeInFloat32) {
  const auto is_float = [](const auto& problem) {
    return same_bits(forward(layer_of<float>(problem, Precision::kBFloat16), problem),
                     forward(layer_of<float>(problem, Precision::kFloat32), problem));
  };
  for (const std::int64_t batch : {1, 32}) {
    HierarchicalProblem thin;  // the bench's hier-xtft
    thin.config = {.units = 32, .num_heads = 4, .short_units = 4, .long_units = 2};
    thin.batch = batch;
    thin.steps1 = thin.steps2 = 10;
    thin.draw(3);
    EXPECT_TRUE(is_float(thin));
    for (const std::int64_t width : {4, 64}) {  // cross-xtft, and cross including its outputs
      CrossProblem problem;
      problem.config = {.units = 32, .num_heads = 4, .source1_units = width, .source2_units = 64};
      problem.batch = batch;
      problem.steps1 = problem.steps2 = 10;
      problem.draw(4);
      EXPECT_EQ(is_float(problem), width == 4) << batch;
    }
  }
}

TEST(SequencePrecision, TrainingIsInFloat32) {
  const CrossProblem problem = cross_problem(23, 60);
  auto layer = layer_of<float>(problem, Precision::kBFloat16);
  const auto plain = layer_of<float>(problem, Precision::kFloat32);
  EXPECT_TRUE(same_bits(forward(layer, problem, true), forward(plain, problem, true)));
  EXPECT_FALSE(same_bits(forward(layer, problem), forward(plain, problem)));
  const auto copy = layer;
  EXPECT_TRUE(same_bits(forward(copy, problem), forward(layer, problem)));
  layer.set_precision(Precision::kFloat32);
  EXPECT_TRUE(same_bits(forward(layer, problem), forward(plain, problem)));
}

TEST(SequencePrecision, BFloat16IsRefusedForDoubles) {
  const std::string rest =
      ": precision: found \"bfloat16\" with weights of float64, expected \"float32\", or a layer "
      "of "
      "float32";
  CrossAttention<double> cross({.units = 4, .num_heads = 2});
  EXPECT_EQ(message_of([&] { cross.set_precision(Precision::kBFloat16); }),
            "CrossAttention" + rest);
  HierarchicalAttentionConfig config{.units = 4, .num_heads = 2};
  config.precision = Precision::kBFloat16;
  EXPECT_EQ(message_of([&] { HierarchicalAttention<double> layer(config); }),
            "HierarchicalAttention" + rest);
  EXPECT_EQ(hierarchical_attention_config_from_json(to_json(config)), config);
}

}  // namespace
}  // namespace memattn::testing
