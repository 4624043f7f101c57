// Values, scores and gradients of both routes and both types against the reference and its complex
// step, for every option and every mask.
#include <tuple>

#include "testing/problem.h"

namespace memattn::testing {
namespace {

struct Variant {
  std::string name;
  std::function<void(Problem&)> apply;
};

// The fields of gtest's parameter names.
std::string name_of(const ::testing::TestParamInfo<std::tuple<Variant, Variant, Route>>& test) {
  const auto& [config, mask, route] = test.param;
  return config.name + "_" + mask.name + (route == Route::kFolded ? "_folded" : "_projected");
}

const std::vector<Variant> kConfigs = {
    {"plain", [](Problem&) {}},
    {"widths",
     [](Problem& p) {
       p.config.key_dim = 3;
       p.config.value_dim = 7;
     }},
    {"no_bias", [](Problem& p) { p.config.use_bias = false; }},
    {"no_residual", [](Problem& p) { p.config.residual = false; }},
    {"dropout",
     [](Problem& p) {
       p.config.dropout = 0.4;
       p.config.seed = 11;
       p.options.training = true;
       p.options.dropout_step = 3;
     }},
    {"uniform", [](Problem& p) { p.config.fully_masked = FullyMasked::kUniform; }},
    {"single", [](Problem& p) { p.config.units = p.config.memory_size = p.config.num_heads = 1; }},
    {"many_tokens", [](Problem& p) { p.batch = 3, p.steps = 11; }},
};

const std::vector<Variant> kMasks = {
    {"no_mask", [](Problem&) {}},
    {"attention_mask",
     [](Problem& p) { p.mask_attention(p.batch, p.steps, p.config.memory_size, 1); }},
    {"mask_of_steps", [](Problem& p) { p.mask_attention(1, p.steps, 1, 2); }},
    {"mask_of_slots", [](Problem& p) { p.mask_attention(1, 1, p.config.memory_size, 3); }},
    {"mask_of_batch", [](Problem& p) { p.mask_attention(p.batch, 1, p.config.memory_size, 4); }},
    {"query_mask", [](Problem& p) { p.mask_queries(5); }},
    {"value_mask", [](Problem& p) { p.mask_values(6); }},
    {"causal", [](Problem& p) { p.options.use_causal_mask = true; }},
    {"nothing_kept",
     [](Problem& p) {
       p.mask_values(7);
       for (auto& keep : p.value_mask) keep = 0;
     }},
    {"every_mask",
     [](Problem& p) {
       p.mask_attention(p.batch, p.steps, p.config.memory_size, 8);
       p.mask_queries(9);
       p.mask_values(10);
       p.options.use_causal_mask = true;
     }},
};

class GradientTest : public ::testing::TestWithParam<std::tuple<Variant, Variant, Route>> {
 protected:
  GradientTest() {
    problem_.config.units = 5;
    problem_.config.memory_size = 4;
    problem_.config.num_heads = 2;
    std::get<0>(GetParam()).apply(problem_);
    std::get<1>(GetParam()).apply(problem_);
    problem_.draw(42);
  }

  template <typename T>
  MemoryAugmentedAttention<T> layer() const {
    MemoryAugmentedAttention<T> layer(problem_.config, converted<T>(problem_.weights));
    layer.set_route(std::get<2>(GetParam()));
    return layer;
  }

  Problem problem_;
};
INSTANTIATE_TEST_SUITE_P(All, GradientTest,
                         ::testing::Combine(::testing::ValuesIn(kConfigs),
                                            ::testing::ValuesIn(kMasks),
                                            ::testing::Values(Route::kFolded, Route::kProjected)),
                         name_of);

template <typename T>
void expect_values(const MemoryAugmentedAttention<T>& layer, const Problem& problem, double limit) {
  const Problem::Values truth = problem.reference();
  const auto x = converted<T>(problem.x);
  std::vector<T> y(x.size()), scores(truth.scores.size());
  layer.forward(x, {.batch = problem.batch, .steps = problem.steps}, y, problem.options, {scores});
  EXPECT_LE(relative_error(y, truth.y), limit);
  EXPECT_LE(relative_error(scores, truth.scores), limit);
}

template <typename T>
void expect_gradients(const MemoryAugmentedAttention<T>& layer, const Problem& problem,
                      double limit) {
  const Problem::Gradients truth = problem.complex_step();
  const auto x = converted<T>(problem.x), g = converted<T>(problem.g);
  std::vector<T> grad_x(x.size()), grad(truth.weights.size());
  layer.backward(x, g, {.batch = problem.batch, .steps = problem.steps}, grad_x, grad,
                 problem.options);
  EXPECT_LE(relative_error(grad_x, truth.x), limit) << "x";
  for (const WeightInfo& info : layer.weight_infos()) {
    const auto part = [&](const auto& all) {
      return std::span(all.data() + info.offset, static_cast<std::size_t>(info.size));
    };
    if (info.name == "key.bias") {  // truly 0; the complex step shows its rounding
      EXPECT_EQ(largest_magnitude(part(grad)), 0);
      EXPECT_LE(largest_magnitude(part(truth.weights)), 1e-14);
      continue;
    }
    // If the truth is 0 except for rounding (one slot: nothing to choose), 0 is correct.
    const double floor = largest_magnitude(part(truth.weights)) < 1e-14 ? 1e-2 : 0;
    EXPECT_LE(relative_error(part(grad), part(truth.weights), floor), limit) << info.name;
  }
}

TEST_P(GradientTest, Float64ValuesEqualTheReference) {
  expect_values(layer<double>(), problem_, 1e-13);
}
TEST_P(GradientTest, Float64GradientsEqualTheComplexStep) {
  expect_gradients(layer<double>(), problem_, 1e-12);
}
TEST_P(GradientTest, Float32ValuesEqualTheReference) {
  expect_values(layer<float>(), problem_, 3e-6);
}
TEST_P(GradientTest, Float32GradientsEqualTheComplexStep) {
  expect_gradients(layer<float>(), problem_, 3e-6);
}

}  // namespace
}  // namespace memattn::testing
