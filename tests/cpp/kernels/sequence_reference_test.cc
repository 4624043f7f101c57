// The reference of an attention between two inputs against values and gradients from Keras and
// fusionlab. This checks the definition and the complex step before other tests rely on them.
#include <limits>

#include "kernels/reference.h"
#include "testing/problem.h"
#include "testing/sequence_golden.h"

namespace memattn::testing {
namespace {

template <typename Config>
void expect_values(const std::string& name, double limit) {
  const SequenceGolden<Config> golden(name);
  const auto values = golden.problem().reference();
  EXPECT_LE(relative_error(values.y, golden.template array<double>("y")), limit);
  for (std::size_t part = 0; part < values.scores.size(); ++part) {
    EXPECT_LE(relative_error(values.scores[part], golden.scores(part)), limit) << part;
  }
}

// Returns the scale for errors in the gradient of a weight. The gradient of a key's bias is 0
// except for rounding, so its scale is that of the query's bias; with a single key both are 0.
template <typename Config>
double scale_of_gradient(const SequenceGolden<Config>& golden, std::string name) {
  if (name.ends_with("key.bias")) name.replace(name.size() - 8, 8, "query.bias");
  const double largest = largest_magnitude(golden.template array<double>("grad." + name));
  return largest < 1e-14 ? 1 : largest;
}

template <typename Config>
void expect_gradients(const std::string& name) {
  const SequenceGolden<Config> golden(name);
  const auto problem = golden.problem();
  const auto gradients = problem.complex_step();
  const auto expect = [&](const std::string& weight, std::span<const double> found) {
    const auto expected = golden.template array<double>("grad." + weight);
    EXPECT_LE(relative_error(found, expected, scale_of_gradient(golden, weight)), 1e-12) << weight;
  };
  expect("x1", gradients.x1);
  expect("x2", gradients.x2);
  for (const WeightInfo& info : weight_infos(golden.config())) {
    expect(info.name, std::span(gradients.weights)
                          .subspan(static_cast<std::size_t>(info.offset),
                                   static_cast<std::size_t>(info.size)));
  }
}

// The large cases would take too many runs of the reference, one per weight. Here each array is
// checked along one direction.
template <typename Config>
void expect_directions(const std::string& name) {
  const SequenceGolden<Config> golden(name);
  const auto problem = golden.problem();
  const auto expect = [&](const std::string& weight, auto along) {
    const auto gradient = golden.template array<double>("grad." + weight);
    const auto direction = normal_array<double>(static_cast<std::int64_t>(gradient.size()), 1);
    double expected = 0;
    for (std::size_t i = 0; i < gradient.size(); ++i) expected += direction[i] * gradient[i];
    const double size = static_cast<double>(gradient.size());
    const double scale = scale_of_gradient(golden, weight) * std::sqrt(size);
    EXPECT_LE(std::fabs(along(direction) - expected), 1e-12 * scale) << weight;
  };
  expect("x1", [&](const auto& direction) { return problem.along_x1(direction); });
  expect("x2", [&](const auto& direction) { return problem.along_x2(direction); });
  for (const WeightInfo& info : weight_infos(golden.config())) {
    const auto offset = static_cast<std::size_t>(info.offset);
    expect(info.name,
           [&](const auto& direction) { return problem.along_weights(direction, offset); });
  }
}

const auto kName = [](const auto& test) { return test.param; };

class CrossAttentionReference : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Golden, CrossAttentionReference, ::testing::ValuesIn(kCrossGoldenCases),
                         kName);
TEST_P(CrossAttentionReference, EqualsPublishedValuesAndScores) {
  expect_values<CrossAttentionConfig>(GetParam(), 1e-12);
}
TEST_P(CrossAttentionReference, EqualsPublishedGradients) {
  if (GetParam() == "cross_user_guide" || GetParam() == "cross_xtft") {
    expect_directions<CrossAttentionConfig>(GetParam());
  } else {
    expect_gradients<CrossAttentionConfig>(GetParam());
  }
}

class HierarchicalAttentionReference : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Golden, HierarchicalAttentionReference,
                         ::testing::ValuesIn(kHierarchicalGoldenCases), kName);
TEST_P(HierarchicalAttentionReference, EqualsPublishedValuesAndScores) {
  expect_values<HierarchicalAttentionConfig>(GetParam(), 1e-12);
}
TEST_P(HierarchicalAttentionReference, EqualsPublishedGradients) {
  if (GetParam() == "hierarchical_xtft_half") {
    expect_directions<HierarchicalAttentionConfig>(GetParam());
  } else {
    expect_gradients<HierarchicalAttentionConfig>(GetParam());
  }
}

TEST(SequenceReference, FullyMaskedTokensReadAllStepsUniformlyOnRequest) {
  expect_values<CrossAttentionConfig>(kCrossGoldenUniform, 2e-6);
  expect_values<HierarchicalAttentionConfig>(kHierarchicalGoldenUniform, 2e-6);
}

SequenceProblem<CrossAttentionConfig> cross_problem() {
  SequenceProblem<CrossAttentionConfig> problem;
  problem.config = {.units = 5,
                    .num_heads = 2,
                    .source1_units = 3,
                    .source2_units = 4,
                    .key_dim = 3,
                    .value_dim = 2};
  problem.draw(1);
  return problem;
}

// With identity Denses and the memory as the second input, it equals the memory layer without its
// residual, to the bit: with every mask, dropout, and a position in a larger input.
TEST(SequenceReference, EqualsTheMemoryLayerIfTheInputIsTheMemory) {
  for (const double rate : {0.0, 0.4}) {
    Problem memory;
    memory.config = {.units = 5,
                     .memory_size = 4,
                     .num_heads = 2,
                     .key_dim = 3,
                     .value_dim = 2,
                     .residual = false,
                     .dropout = rate,
                     .seed = 11};
    memory.options = {.use_causal_mask = true,
                      .training = true,
                      .dropout_step = 3,
                      .first_step = 1,
                      .first_sequence = 2};
    memory.mask_attention(2, 3, 4, 1);
    memory.mask_queries(2);
    memory.mask_values(3);
    memory.draw(4);

    SequenceProblem<CrossAttentionConfig> cross;
    cross.config = {
        .units = 5, .num_heads = 2, .key_dim = 3, .value_dim = 2, .dropout = rate, .seed = 11};
    cross.options = memory.options;
    cross.attention_mask = memory.attention_mask;
    cross.attention_shape = {2, 3, 4};
    cross.mask1 = memory.query_mask;
    cross.mask2 = memory.value_mask;
    cross.x1 = memory.x;
    const std::span slots = std::span(memory.weights).first(20);
    for (int b = 0; b < 2; ++b) cross.x2.insert(cross.x2.end(), slots.begin(), slots.end());
    for (int source = 0; source < 2; ++source) {
      for (int i = 0; i < 25; ++i) cross.weights.push_back(i % 6 == 0);
      for (int i = 0; i < 5; ++i) cross.weights.push_back(0);
    }
    cross.weights.insert(cross.weights.end(), memory.weights.begin() + 20, memory.weights.end());

    const auto expected = memory.reference();
    const auto found = cross.reference();
    EXPECT_TRUE(same_bits(found.y, expected.y)) << rate;
    EXPECT_TRUE(same_bits(found.scores[0], expected.scores)) << rate;
  }
}

TEST(SequenceReference, WithNothingToReadReturnsTheOutputBias) {
  auto problem = cross_problem();
  const std::span bias = std::span(problem.weights).last(5);
  const auto expect_bias = [&](std::span<const double> row) { EXPECT_TRUE(same_bits(row, bias)); };
  problem.mask1 = {1, 0, 1, 1, 1, 0};
  const auto y = problem.reference().y;
  for (const std::size_t t : {1u, 5u}) expect_bias(std::span(y).subspan(t * 5, 5));
  EXPECT_FALSE(same_bits(std::span(y).first(5), bias));

  problem.mask1.clear();
  problem.steps2 = 0;
  problem.x2.clear();
  for (const FullyMasked rule : {FullyMasked::kZero, FullyMasked::kUniform}) {
    problem.config.fully_masked = rule;
    const auto values = problem.reference();
    for (std::size_t t = 0; t < 6; ++t) expect_bias(std::span(values.y).subspan(t * 5, 5));
    EXPECT_TRUE(values.scores[0].empty());
  }
}

TEST(SequenceReference, DoesNotReadMaskedSteps) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  auto problem = cross_problem();
  problem.mask1 = {1, 0, 1, 1, 1, 0};
  problem.mask2 = {1, 1, 0, 1, 0, 1, 1, 1};
  const auto expected = problem.reference();
  const auto gradients = problem.complex_step();
  for (const std::size_t t : {1u, 5u}) std::fill_n(problem.x1.data() + t * 3, 3, kNan);
  for (const std::size_t s : {2u, 4u}) std::fill_n(problem.x2.data() + s * 4, 4, kNan);
  EXPECT_TRUE(same_bits(problem.reference().y, expected.y));
  EXPECT_TRUE(same_bits(problem.reference().scores[0], expected.scores[0]));
  const auto found = problem.complex_step();
  EXPECT_TRUE(same_bits(found.weights, gradients.weights));
  EXPECT_TRUE(same_bits(found.x1, gradients.x1));
  EXPECT_TRUE(same_bits(found.x2, gradients.x2));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(found.x1[3 + i], 0);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(found.x2[8 + i], 0);
}

}  // namespace
}  // namespace memattn::testing
