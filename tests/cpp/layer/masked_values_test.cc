// The content of a masked step, slot or token must not matter, to the last bit: NaN, infinity,
// numbers that overflow in a product, numbers below the smallest normal one. Nor may the content of
// a token matter to the other tokens. On every route, in every type.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "layer/way_choice.h"
#include "memattn/cross_attention.h"
#include "memattn/hierarchical_attention.h"
#include "memattn/memory_augmented_attention.h"
#include "memattn/scores_cache.h"
#include "testing/problem.h"
#include "testing/sequence_problem.h"

namespace memattn::testing {
namespace {

using CrossProblem = SequenceProblem<CrossAttentionConfig>;
using HierarchicalProblem = SequenceProblem<HierarchicalAttentionConfig>;

// float and double layers, and float ones whose forward pass is in bfloat16.
enum class Kind { kFloat, kDouble, kBFloat16 };
template <Kind kind>
using Real = std::conditional_t<kind == Kind::kDouble, double, float>;

// Lists of bad values: single ones, and last all of them. The single ones are NaN and a large one,
// or all if MEMATTN_LONG_TESTS is set.
template <typename T>
std::vector<std::vector<T>> bad_values() {
  using Limits = std::numeric_limits<T>;
  const T near_largest = Limits::max() * static_cast<T>(0.999);  // 3.4e38
  std::vector<T> all = {Limits::quiet_NaN(),  Limits::infinity(),   -Limits::infinity(),
                        Limits::max(),        -Limits::max(),       near_largest,
                        static_cast<T>(1e30), Limits::denorm_min(), -Limits::min() / 2};
  std::vector<std::vector<T>> result;
  for (const T one : all) {
    const bool is_sample = std::isnan(one) || one == near_largest;
    if (is_sample || std::getenv("MEMATTN_LONG_TESTS")) result.push_back({one});
  }
  result.push_back(all);
  return result;
}

// Every row of a (rows, width) that `spoils` picks, with such values instead.
template <typename T, typename Spoils>
std::vector<T> spoilt(std::vector<T> a, std::int64_t width, const std::vector<T>& bad,
                      Spoils spoils) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (spoils(static_cast<std::int64_t>(i) / width)) a[i] = bad[i % bad.size()];
  }
  return a;
}

// The rows of a (rows, width) that `takes` picks.
template <typename T, typename Takes>
std::vector<T> rows_of(const std::vector<T>& a, std::int64_t width, Takes takes) {
  std::vector<T> result;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (takes(static_cast<std::int64_t>(i) / width)) result.push_back(a[i]);
  }
  return result;
}

bool kept(const std::vector<std::uint8_t>& mask, std::int64_t i) {
  return mask.empty() || mask[static_cast<std::size_t>(i)] != 0;
}

// What a call gives: y, scores of each attention, and gradients.
template <typename T>
struct Results {
  std::vector<T> y, scores1, scores2, d_x1, d_x2, d_weights;
};

template <typename T>
void expect_same(const Results<T>& found, const Results<T>& expected) {
  EXPECT_TRUE(same_bits(found.y, expected.y)) << "y";
  EXPECT_TRUE(same_bits(found.scores1, expected.scores1)) << "scores";
  EXPECT_TRUE(same_bits(found.scores2, expected.scores2)) << "scores of the long side";
  EXPECT_TRUE(same_bits(found.d_x1, expected.d_x1)) << "gradient of input 1";
  EXPECT_TRUE(same_bits(found.d_x2, expected.d_x2)) << "gradient of input 2";
  EXPECT_TRUE(same_bits(found.d_weights, expected.d_weights)) << "gradient of the weights";
}

template <typename T>
std::vector<T> sized(std::int64_t size) {
  return std::vector<T>(static_cast<std::size_t>(size));
}

template <typename T>
Results<T> run(const CrossAttention<T>& layer, const CrossProblem& p, const std::vector<T>& x1,
               const std::vector<T>& x2) {
  const CrossTokens tokens{.batch = p.batch, .steps1 = p.steps1, .steps2 = p.steps2};
  Results<T> r{sized<T>(std::ssize(p.g)),
               sized<T>(p.batch * p.config.num_heads * p.steps1 * p.steps2),
               {},
               sized<T>(std::ssize(p.x1)),
               sized<T>(std::ssize(p.x2)),
               sized<T>(std::ssize(p.weights))};
  layer.forward(x1, x2, tokens, r.y, p.options_of(0), {r.scores1});
  layer.backward(x1, x2, converted<T>(p.g), tokens, r.d_x1, r.d_x2, r.d_weights, p.options_of(0));
  return r;
}

template <typename T>
Results<T> run(const HierarchicalAttention<T>& layer, const HierarchicalProblem& p,
               const std::vector<T>& x1, const std::vector<T>& x2) {
  const Tokens tokens{.batch = p.batch, .steps = p.steps1};
  const std::int64_t scores = p.batch * p.config.num_heads * p.steps1 * p.steps1;
  Results<T> r{sized<T>(std::ssize(p.g)),  sized<T>(scores),
               sized<T>(scores),           sized<T>(std::ssize(p.x1)),
               sized<T>(std::ssize(p.x2)), sized<T>(std::ssize(p.weights))};
  const HierarchicalOptions options{.short_mask = p.mask1,
                                    .long_mask = p.mask2,
                                    .attention_mask = p.options_of(0).attention_mask,
                                    .use_causal_mask = p.options.use_causal_mask,
                                    .training = p.options.training};
  layer.forward(x1, x2, tokens, r.y, options, {{r.scores1}, {r.scores2}});
  layer.backward(x1, x2, converted<T>(p.g), tokens, r.d_x1, r.d_x2, r.d_weights, options);
  return r;
}

template <Kind kind, typename Problem>
auto layer_of(const Problem& p) {
  auto config = p.config;
  if (kind == Kind::kBFloat16) config.precision = Precision::kBFloat16;
  if constexpr (Problem::kSelf) {
    return HierarchicalAttention<Real<kind>>(config, converted<Real<kind>>(p.weights));
  } else {
    return CrossAttention<Real<kind>>(config, converted<Real<kind>>(p.weights));
  }
}

// Whether some query of sequence b reads step s of the second input of a problem of CrossAttention.
bool is_read(const CrossProblem& p, std::int64_t row) {
  const std::int64_t b = row / p.steps2, s = row % p.steps2;
  if (!kept(p.mask2, row)) return false;
  for (std::int64_t t = 0; t < p.steps1; ++t) {
    if (kept(p.mask1, b * p.steps1 + t) && (!p.options.use_causal_mask || s <= t)) return true;
  }
  return false;
}

// The same for the long side of a problem of HierarchicalAttention, each step of which is a query
// too.
bool is_read(const HierarchicalProblem& p, std::int64_t row) { return kept(p.mask2, row); }

// Heads side by side in the lanes and one after another, a part of a vector and several tiles.
struct Shape {
  std::int64_t steps1, steps2;
};
constexpr std::array<Shape, 4> kShapes = {{{3, 4}, {7, 5}, {30, 33}, {101, 19}}};

CrossProblem cross_problem(Shape shape, bool wide = false) {
  CrossProblem p;
  if (wide) {
    p.config = {.units = 35, .num_heads = 3, .source1_units = 41, .source2_units = 39};
    p.config.key_dim = 37;
    p.config.value_dim = 34;
  } else {
    p.config = {.units = 5, .num_heads = 2, .source1_units = 3, .source2_units = 7};
    p.config.key_dim = 6;
    p.config.value_dim = 9;
  }
  p.batch = 3;
  p.steps1 = shape.steps1;
  p.steps2 = shape.steps2;
  p.draw(1);
  return p;
}

class MaskedValuesTest : public ::testing::TestWithParam<SequenceRoute> {
 protected:
  // body(layer on this route, problem in its type, bad values)
  template <Kind kind, typename Problem, typename Body>
  void for_each_value(const Problem& p, Body body) {
    auto layer = layer_of<kind>(p);
    layer.set_route(GetParam());
    for (const auto& bad : bad_values<Real<kind>>()) {
      SCOPED_TRACE("type " + std::to_string(static_cast<int>(kind)) + ", value " +
                   std::to_string(bad.front()) + ", steps " + std::to_string(p.steps1));
      body(layer, bad);
    }
  }
  template <typename Problem, typename Body>
  void for_each_type(const Problem& p, Body body) {
    for_each_value<Kind::kFloat>(p, body);
    for_each_value<Kind::kDouble>(p, body);
    for_each_value<Kind::kBFloat16>(p, body);
  }

  // Masked queries and unread steps hold bad values: nothing changes.
  template <typename Problem>
  void expect_masked_values_do_not_matter(const Problem& p) {
    for_each_type(p, [&]<typename T>(const auto& layer, const std::vector<T>& bad) {
      const auto [width1, width2] = input_units(p.config);
      const auto masked1 = [&](std::int64_t row) { return !kept(p.mask1, row); };
      const auto masked2 = [&](std::int64_t row) { return !is_read(p, row); };
      const auto x1 = converted<T>(p.x1), x2 = converted<T>(p.x2);
      const std::vector<T> zero = {0};
      const auto clean =
          run(layer, p, spoilt(x1, width1, zero, masked1), spoilt(x2, width2, zero, masked2));
      expect_same(run(layer, p, spoilt(x1, width1, bad, masked1), spoilt(x2, width2, bad, masked2)),
                  clean);
    });
  }
};
INSTANTIATE_TEST_SUITE_P(Routes, MaskedValuesTest,
                         ::testing::Values(SequenceRoute::kAsWritten, SequenceRoute::kLeftRead,
                                           SequenceRoute::kRightRead, SequenceRoute::kRightValue,
                                           SequenceRoute::kRightValueDense2,
                                           SequenceRoute::kLeftReadDense,
                                           SequenceRoute::kLeftReadDense1),
                         [](const auto& test) { return std::to_string(index_of(test.param)); });

TEST_P(MaskedValuesTest, OfCrossAttention) {
  for (const Shape shape : kShapes) {
    CrossProblem p = cross_problem(shape, shape.steps1 == 30);
    p.mask_first(5);
    p.mask_second(6);
    expect_masked_values_do_not_matter(p);
  }
}

TEST_P(MaskedValuesTest, OfCrossAttentionBehindTheCausalMask) {
  CrossProblem p = cross_problem({7, 19});
  p.options.use_causal_mask = true;
  expect_masked_values_do_not_matter(p);
}

TEST_P(MaskedValuesTest, OfCrossAttentionInTraining) {
  CrossProblem p = cross_problem({30, 33});
  p.config.dropout = 0.3;
  p.options.training = true;
  p.mask_first(5);
  p.mask_second(6);
  expect_masked_values_do_not_matter(p);
}

TEST_P(MaskedValuesTest, OfHierarchicalAttention) {
  for (const std::int64_t steps : {3, 7, 30, 101}) {
    HierarchicalProblem p;
    p.config = {.units = 5, .num_heads = 2, .short_units = 3, .long_units = 7};
    p.batch = 3;
    p.steps1 = p.steps2 = steps;
    p.draw(2);
    p.mask_first(5);
    p.mask_second(6);
    expect_masked_values_do_not_matter(p);
  }
}

// A step that only some queries may read does not matter to the others.
TEST_P(MaskedValuesTest, OfSinglePairs) {
  for (const Shape shape : kShapes) {
    for (const FullyMasked fully_masked : {FullyMasked::kZero, FullyMasked::kUniform}) {
      CrossProblem p = cross_problem(shape);
      p.config.fully_masked = fully_masked;
      // Step 1 is for every third query, and nobody is without a step to read.
      p.attention_mask.assign(static_cast<std::size_t>(p.steps1 * p.steps2), 1);
      p.attention_shape = {1, p.steps1, p.steps2};
      const auto reads_it = [&](std::int64_t row) { return row % p.steps1 % 3 == 0; };
      for (std::int64_t t = 0; t < p.steps1; ++t) {
        if (!reads_it(t)) p.attention_mask[static_cast<std::size_t>(t * p.steps2 + 1)] = 0;
      }
      for_each_type(p, [&]<typename T>(const CrossAttention<T>& layer, const std::vector<T>& bad) {
        const auto [width1, width2] = input_units(p.config);
        const auto x1 = converted<T>(p.x1), x2 = converted<T>(p.x2);
        const auto bad2 =
            spoilt(x2, width2, bad, [&](std::int64_t row) { return row % p.steps2 == 1; });
        const auto clean = run(layer, p, x1, x2), found = run(layer, p, x1, bad2);
        const auto other = [&](std::int64_t row) { return !reads_it(row); };
        for (const auto& [of, width] :
             {std::pair{&Results<T>::y, p.config.units}, {&Results<T>::d_x1, width1}}) {
          EXPECT_TRUE(
              same_bits(rows_of(found.*of, width, other), rows_of(clean.*of, width, other)));
        }
        EXPECT_TRUE(same_bits(rows_of(found.scores1, p.steps2, other),
                              rows_of(clean.scores1, p.steps2, other)));
      });
    }
  }
}

// What one query holds, and the gradient of its output, do not matter to the others, nor to the
// steps that it may not read.
TEST_P(MaskedValuesTest, AQueryStaysAlone) {
  for (const Shape shape : kShapes) {
    CrossProblem p = cross_problem(shape);
    p.attention_mask.assign(static_cast<std::size_t>(p.steps1 * p.steps2), 1);
    p.attention_shape = {1, p.steps1, p.steps2};
    const std::int64_t bad_row = p.steps1 + 1;  // step 1 of sequence 1, which reads even steps
    for (std::int64_t s = 1; s < p.steps2; s += 2) {
      p.attention_mask[static_cast<std::size_t>(p.steps2 + s)] = 0;
    }
    for_each_type(p, [&]<typename T>(const CrossAttention<T>& layer, const std::vector<T>& bad) {
      const auto [width1, width2] = input_units(p.config);
      const auto is_bad = [&](std::int64_t row) { return row == bad_row; };
      const auto other = [&](std::int64_t row) { return row != bad_row; };
      const auto apart = [&](std::int64_t row) {
        return row / p.steps2 != 1 || row % p.steps2 % 2 == 1;
      };
      const auto x1 = converted<T>(p.x1), x2 = converted<T>(p.x2);
      const auto clean = run(layer, p, x1, x2);
      CrossProblem bad_g = p;
      bad_g.g = spoilt(p.g, p.config.units, converted<double>(bad), is_bad);
      for (const auto& found :
           {run(layer, p, spoilt(x1, width1, bad, is_bad), x2), run(layer, bad_g, x1, x2)}) {
        for (const auto& [of, width] :
             {std::pair{&Results<T>::y, p.config.units}, {&Results<T>::d_x1, width1}}) {
          EXPECT_TRUE(
              same_bits(rows_of(found.*of, width, other), rows_of(clean.*of, width, other)));
        }
        EXPECT_TRUE(same_bits(
            rows_of(found.scores1, p.steps2, [&](std::int64_t row) { return row % p.steps1 != 1; }),
            rows_of(clean.scores1, p.steps2,
                    [&](std::int64_t row) { return row % p.steps1 != 1; })));
        EXPECT_TRUE(
            same_bits(rows_of(found.d_x2, width2, apart), rows_of(clean.d_x2, width2, apart)));
      }
    });
  }
}

// With kUniform a query with nothing to read reads every step, but no gradient goes to its logits.
TEST_P(MaskedValuesTest, AUniformQueryHasNoGradient) {
  CrossProblem p = cross_problem({7, 5});
  p.config.fully_masked = FullyMasked::kUniform;
  p.mask1.assign(21, 1);
  p.mask1[4] = 0;
  for_each_type(p, [&]<typename T>(const CrossAttention<T>& layer, const std::vector<T>& bad) {
    const auto [width1, width2] = input_units(p.config);
    const auto x1 = converted<T>(p.x1);
    const auto x2 = spoilt(converted<T>(p.x2), width2, bad, [](std::int64_t) { return true; });
    const auto found = run(layer, p, x1, x2);
    EXPECT_TRUE(same_bits(rows_of(found.d_x1, width1, [](std::int64_t row) { return row == 4; }),
                          sized<T>(width1)));
  });
}

class MaskedSlotsTest : public ::testing::TestWithParam<Route> {
 protected:
  template <typename T>
  using Layer = MemoryAugmentedAttention<T>;

  template <Kind kind, typename Body>
  void for_each_value(const Problem& p, Body body) {
    for (const auto& bad : bad_values<Real<kind>>()) {
      SCOPED_TRACE("type " + std::to_string(static_cast<int>(kind)) + ", value " +
                   std::to_string(bad.front()) + ", steps " + std::to_string(p.steps));
      body(kind, bad);
    }
  }

  // The two gradients of x are without and with the scores that the forward pass has kept.
  template <typename T>
  Results<T> run(Kind kind, const Problem& p, const std::vector<T>& weights,
                 const std::vector<T>& x) {
    auto config = p.config;
    if (kind == Kind::kBFloat16) config.precision = Precision::kBFloat16;
    Layer<T> layer(config, weights);
    layer.set_route(GetParam());
    const Tokens tokens{.batch = p.batch, .steps = p.steps};
    const auto g = converted<T>(p.g);
    Results<T> r{sized<T>(std::ssize(x)), sized<T>(p.scores_size()), {},
                 sized<T>(std::ssize(x)), sized<T>(std::ssize(x)),   sized<T>(std::ssize(weights))};
    layer.forward(x, tokens, r.y, p.options, {r.scores1});
    layer.backward(x, g, tokens, r.d_x1, r.d_weights, p.options);
    if (kind != Kind::kBFloat16) {
      ScoresCache<T> scores;
      layer.forward(x, tokens, r.y, p.options, {}, &scores);
      layer.backward(x, g, tokens, r.d_x2, r.d_weights, p.options, &scores);
    }
    return r;
  }

  Problem problem(std::int64_t steps, bool wide) {
    Problem p;
    p.config = {.units = 6, .memory_size = 5, .num_heads = 2, .key_dim = 3, .value_dim = 4};
    if (wide) {
      p.config = {.units = 37, .memory_size = 19, .num_heads = 3, .key_dim = 35, .value_dim = 41};
    }
    p.batch = 3;
    p.steps = steps;
    p.draw(1);
    return p;
  }
};
INSTANTIATE_TEST_SUITE_P(Routes, MaskedSlotsTest,
                         ::testing::Values(Route::kFolded, Route::kProjected),
                         [](const auto& test) {
                           return test.param == Route::kFolded ? "folded" : "projected";
                         });

TEST_P(MaskedSlotsTest, MaskedSlotsAndTokensDoNotMatter) {
  for (const std::int64_t steps : {1, 7, 71}) {
    for (const bool wide : {false, true}) {
      Problem p = problem(steps, wide);
      const std::int64_t U = p.config.units, S = p.config.memory_size;
      p.mask_queries(3);
      p.value_mask = random_mask(p.batch * S, 4);
      const auto masked_slot = [&](std::int64_t s) { return s % 3 == 1 && s < S; };
      for (std::int64_t i = 0; i < p.batch * S; ++i) {
        if (masked_slot(i % S)) p.value_mask[static_cast<std::size_t>(i)] = 0;
      }
      p.options.value_mask = p.value_mask;
      const auto masked_token = [&](std::int64_t row) { return !kept(p.query_mask, row); };
      const auto check = [&]<typename T>(Kind kind, const std::vector<T>& bad) {
        const std::vector<T> zero = {0};
        // Padding has no loss, and what it gives out itself does not count.
        const auto call = [&](const std::vector<T>& value) {
          Problem padded = p;
          padded.g = spoilt(p.g, U, {0.0}, masked_token);
          auto r = run<T>(kind, padded, spoilt(converted<T>(p.weights), U, value, masked_slot),
                          spoilt(converted<T>(p.x), U, value, masked_token));
          r.y = spoilt(r.y, U, zero, masked_token);
          return r;
        };
        expect_same(call(bad), call(zero));
      };
      for_each_value<Kind::kFloat>(p, check);
      for_each_value<Kind::kDouble>(p, check);
      for_each_value<Kind::kBFloat16>(p, check);
    }
  }
}

TEST_P(MaskedSlotsTest, ATokenStaysAlone) {
  for (const std::int64_t steps : {1, 7, 71}) {
    const Problem p = problem(steps, steps == 7);
    const auto check = [&]<typename T>(Kind kind, const std::vector<T>& bad) {
      const std::int64_t U = p.config.units;
      const auto is_bad = [&](std::int64_t row) { return row == 1; };
      const auto other = [&](std::int64_t row) { return row != 1; };
      const auto weights = converted<T>(p.weights), x = converted<T>(p.x);
      const auto clean = run<T>(kind, p, weights, x);
      const auto found = run<T>(kind, p, weights, spoilt(x, U, bad, is_bad));
      for (const auto of : {&Results<T>::y, &Results<T>::d_x1, &Results<T>::d_x2}) {
        EXPECT_TRUE(same_bits(rows_of(found.*of, U, other), rows_of(clean.*of, U, other)));
      }
    };
    for_each_value<Kind::kFloat>(p, check);
    for_each_value<Kind::kDouble>(p, check);
    for_each_value<Kind::kBFloat16>(p, check);
  }
}

}  // namespace
}  // namespace memattn::testing
