// The reference against values and gradients from Keras and fusionlab. This checks the definition
// and the complex step before other tests rely on them.
#include "kernels/reference.h"

#include "testing/golden.h"
#include "testing/problem.h"

namespace memattn::testing {
namespace {

Problem problem_of(const Golden& golden) {
  Problem problem;
  problem.config = golden.config();
  problem.batch = golden.batch();
  problem.steps = golden.steps();
  problem.options = golden.options();
  problem.weights = golden.weights<double>();
  problem.x = golden.array<double>("x");
  problem.g = golden.array<double>("g");
  return problem;
}

class ReferenceTest : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Golden, ReferenceTest, ::testing::ValuesIn(kGoldenCases),
                         [](const auto& test) { return test.param; });

TEST_P(ReferenceTest, EqualsKerasValuesAndScores) {
  const Golden golden(GetParam());
  const Problem::Values values = problem_of(golden).reference();
  EXPECT_LE(relative_error(values.y, golden.array<double>("y")), 1e-13);
  if (golden.has("scores")) {
    EXPECT_LE(relative_error(values.scores, golden.array<double>("scores")), 1e-13);
  }
}

// Without the two large cases, which would take minutes: one run of the reference per weight.
class ComplexStepTest : public ReferenceTest {};
INSTANTIATE_TEST_SUITE_P(Golden, ComplexStepTest,
                         ::testing::ValuesIn(kGoldenCases.begin() + 2, kGoldenCases.end()),
                         [](const auto& test) { return test.param; });

TEST_P(ComplexStepTest, EqualsKerasGradients) {
  const Golden golden(GetParam());
  const Problem problem = problem_of(golden);
  const Problem::Gradients gradients = problem.complex_step();
  EXPECT_LE(relative_error(gradients.x, golden.array<double>("grad.x")), 1e-12);
  for (const WeightInfo& info : weight_infos(golden.config())) {
    const auto* begin = gradients.weights.data() + info.offset;
    const auto expected = golden.array<double>("grad." + info.name);
    // The gradient of key.bias is 0 except for rounding, so it is compared on query.bias' scale.
    const auto scale =
        golden.array<double>(info.name == "key.bias" ? "grad.query.bias" : "grad." + info.name);
    EXPECT_LE(relative_error(std::span(begin, expected.size()), expected, largest_magnitude(scale)),
              1e-12)
        << info.name;
  }
}

}  // namespace
}  // namespace memattn::testing
