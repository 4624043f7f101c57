// HierarchicalAttention against its parts: two attentions of one input each, both compared with the
// reference.
#include "memattn/hierarchical_attention.h"

#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "layer/way_choice.h"
#include "memattn/threads.h"
#include "testing/sequence_problem.h"

namespace memattn::testing {
namespace {

using Problem = SequenceProblem<HierarchicalAttentionConfig>;

Problem problem_of(std::int64_t batch, std::int64_t steps) {
  Problem problem;
  problem.config = {.units = 6, .num_heads = 2, .short_units = 3, .long_units = 4, .key_dim = 5};
  problem.batch = batch;
  problem.steps1 = problem.steps2 = steps;
  return problem;
}

void mask(Problem& problem) {
  problem.mask_first(1);
  problem.mask_second(2);
  problem.mask_attention(1, problem.steps1, problem.steps1, 3);
  problem.options.use_causal_mask = true;
}

Tokens tokens_of(const Problem& problem) {
  return {.batch = problem.batch, .steps = problem.steps1};
}

// Returns the layer's options for a problem.
HierarchicalOptions options_of(const Problem& problem) {
  return {.short_mask = problem.mask1,
          .long_mask = problem.mask2,
          .attention_mask = problem.options_of(0).attention_mask,
          .use_causal_mask = problem.options.use_causal_mask,
          .training = problem.options.training};
}

template <typename T>
void expect_truth(const Problem& problem, double limit, double gradient_limit) {
  HierarchicalAttention<T> layer(problem.config, converted<T>(problem.weights));
  const Problem::Values truth = problem.reference();
  const Problem::Gradients gradients = problem.complex_step();
  const auto x_short = converted<T>(problem.x1), x_long = converted<T>(problem.x2);
  const auto g = converted<T>(problem.g);
  const Tokens tokens = tokens_of(problem);
  const HierarchicalOptions options = options_of(problem);
  for (std::int64_t way = 0; way < kSequenceWays; ++way) {
    layer.set_route(route_at(way));
    std::vector<T> y(g.size()), short_scores(truth.scores[0].size());
    std::vector<T> long_scores(truth.scores[1].size());
    layer.forward(x_short, x_long, tokens, y, options,
                  {.short_scores = {short_scores}, .long_scores = {long_scores}});
    EXPECT_LE(relative_error(y, truth.y), limit);
    EXPECT_LE(relative_error(short_scores, truth.scores[0]), limit);
    EXPECT_LE(relative_error(long_scores, truth.scores[1]), limit);
    std::vector<T> without(g.size());
    layer.forward(x_short, x_long, tokens, without, options);
    EXPECT_EQ(without, y);

    std::vector<T> grad_short(x_short.size()), grad_long(x_long.size());
    std::vector<T> grad(problem.weights.size());
    layer.backward(x_short, x_long, g, tokens, grad_short, grad_long, grad, options);
    EXPECT_LE(relative_error(grad_short, gradients.x1), gradient_limit);
    EXPECT_LE(relative_error(grad_long, gradients.x2), gradient_limit);
    for (const WeightInfo& info : layer.weight_infos()) {
      const auto part = [&](const auto& all) {
        return std::span(all.data() + info.offset, static_cast<std::size_t>(info.size));
      };
      if (info.name.ends_with("key.bias")) {
        EXPECT_EQ(largest_magnitude(part(grad)), 0);
        continue;
      }
      EXPECT_LE(relative_error(part(grad), part(gradients.weights)), gradient_limit) << info.name;
    }
  }
}

TEST(HierarchicalAttentionTest, EqualsTheReferenceOnEveryRoute) {
  Problem problem = problem_of(3, 7);
  problem.draw(1);
  expect_truth<double>(problem, 1e-13, 1e-12);
  expect_truth<float>(problem, 3e-6, 6e-6);
}

TEST(HierarchicalAttentionTest, EqualsTheReferenceUnderEveryMask) {
  Problem problem = problem_of(3, 7);
  mask(problem);
  problem.draw(1);
  expect_truth<double>(problem, 1e-13, 1e-12);
  expect_truth<float>(problem, 3e-6, 6e-6);
}

TEST(HierarchicalAttentionTest, AMaskedStepGetsItsSidesBiasAndIsNotRead) {
  Problem problem = problem_of(3, 7);
  problem.mask_first(1);
  problem.mask_second(2);
  problem.draw(1);
  Problem spoiled = problem;
  const auto spoil = [](std::vector<double>& x, const std::vector<std::uint8_t>& keep) {
    const std::size_t width = x.size() / keep.size();
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (keep[i / width] == 0) x[i] = std::numeric_limits<double>::quiet_NaN();
    }
  };
  spoil(spoiled.x1, problem.mask1);
  spoil(spoiled.x2, problem.mask2);
  struct Results {
    std::vector<double> y, grad_short, grad_long, grad;
    bool operator==(const Results&) const = default;
  };
  for (std::int64_t way = 0; way < kSequenceWays; ++way) {
    HierarchicalAttention<double> layer(problem.config, problem.weights);
    layer.set_route(route_at(way));
    const auto run = [&](const Problem& of) {
      Results r{std::vector<double>(problem.g.size()), std::vector<double>(problem.x1.size()),
                std::vector<double>(problem.x2.size()),
                std::vector<double>(problem.weights.size())};
      layer.forward(of.x1, of.x2, tokens_of(of), r.y, options_of(problem));
      layer.backward(of.x1, of.x2, problem.g, tokens_of(of), r.grad_short, r.grad_long, r.grad,
                     options_of(problem));
      return r;
    };
    const Results clean = run(problem);
    EXPECT_TRUE(run(spoiled) == clean) << way;
    const auto short_bias = layer.weight("short.output.bias");
    const auto long_bias = layer.weight("long.output.bias");
    for (std::size_t i = 0; i < problem.mask1.size(); ++i) {
      for (std::size_t f = 0; problem.mask1[i] == 0 && f < 3; ++f) {
        EXPECT_EQ(clean.grad_short[i * 3 + f], 0);
      }
      const bool both = problem.mask1[i] == 0 && problem.mask2[i] == 0;
      for (std::size_t u = 0; both && u < 6; ++u) {
        EXPECT_EQ(clean.y[i * 6 + u], short_bias[u] + long_bias[u]);
      }
    }
  }
}

// The same weights and input on both sides: with the same drops, both would add the same values.
TEST(HierarchicalAttentionTest, EachSideHasItsOwnDropout) {
  Problem problem = problem_of(4, 8);
  problem.config.long_units = 3;
  problem.config.dropout = 0.5;
  problem.options.training = true;
  problem.draw(1);
  HierarchicalAttention<double> layer(problem.config, problem.weights);
  for (const WeightInfo& info : layer.weight_infos()) {
    if (!info.name.starts_with("short.")) continue;
    layer.set_weight("long." + info.name.substr(6), layer.weight(info.name));
  }
  const auto without = [&](const std::string& side) {
    HierarchicalAttention<double> one = layer;
    for (const std::string& name : {side + ".output.kernel", side + ".output.bias"}) {
      one.set_weight(name, std::vector<double>(one.weight(name).size()));
    }
    std::vector<double> y(problem.g.size());
    one.forward(problem.x1, problem.x1, tokens_of(problem), y, options_of(problem));
    return y;
  };
  EXPECT_GT(relative_error(without("long"), without("short")), 1e-3);
}

TEST(HierarchicalAttentionTest, BitsDependNeitherOnThreadsNorOnSplits) {
  Problem problem = problem_of(40, 12);
  problem.config.dropout = 0.3;
  problem.options.training = true;
  mask(problem);
  problem.draw(1);
  const HierarchicalAttention<float> layer(problem.config, converted<float>(problem.weights));
  const auto x_short = converted<float>(problem.x1), x_long = converted<float>(problem.x2);
  std::vector<float> alone(problem.g.size()), together(alone), cut(alone);
  {
    const ThreadLimit one(1);
    layer.forward(x_short, x_long, tokens_of(problem), alone, options_of(problem));
  }
  const ThreadLimit four(4);
  layer.forward(x_short, x_long, tokens_of(problem), together, options_of(problem));
  EXPECT_EQ(together, alone);
  for (std::int64_t b = 0; b < 40; ++b) {
    const auto part = [&](auto& all, std::size_t width) {
      return std::span(all.data() + static_cast<std::size_t>(b) * 12 * width, 12 * width);
    };
    HierarchicalOptions options = options_of(problem);
    options.first_sequence = b;
    options.short_mask = part(problem.mask1, 1);
    options.long_mask = part(problem.mask2, 1);
    layer.forward(part(x_short, 3), part(x_long, 4), {.batch = 1, .steps = 12}, part(cut, 6),
                  options);
  }
  EXPECT_EQ(cut, alone);
}

TEST(HierarchicalAttentionTest, ErrorsNameTheArgument) {
  Problem problem = problem_of(3, 7);
  problem.draw(1);
  const HierarchicalAttention<double> layer(problem.config, problem.weights);
  std::vector<double> y(problem.g.size());
  const auto message = [&](std::span<const double> x_short, const HierarchicalOptions& options) {
    try {
      layer.forward(x_short, problem.x2, tokens_of(problem), y, options);
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string("nothing thrown");
  };
  EXPECT_EQ(
      message(std::span(problem.x1).first(21), {}),
      "forward: x_short: found 21 values, expected batch * steps * short_units = 3 * 7 * 3 = 63");
  const std::vector<std::uint8_t> keep(7);
  HierarchicalOptions options;
  options.long_mask = keep;
  EXPECT_EQ(message(problem.x1, options),
            "forward: long_mask: found 7 values, expected batch * steps = 3 * 7 = 21");
}

}  // namespace
}  // namespace memattn::testing
