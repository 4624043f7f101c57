// Every optimizer against its formula, computed for single scalars in long double.
#include "memattn/optimizers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace memattn {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Longer than a vector register, with a tail.
constexpr std::size_t kSize = 19;
constexpr int kSteps = 12;

template <typename T>
std::vector<T> start() {
  std::vector<T> w(kSize);
  for (std::size_t i = 0; i < kSize; ++i) w[i] = static_cast<T>(std::sin(1.0 + double(i)));
  return w;
}

// Gradients that change sign and size from step to step, with zeros among them.
template <typename T>
std::vector<T> gradients(int step) {
  std::vector<T> g(kSize);
  for (std::size_t i = 0; i < kSize; ++i) {
    g[i] =
        i == 3 ? T(0) : static_cast<T>(std::cos(double(step * 7) + double(i)) * (1.0 + double(i)));
  }
  return g;
}

// The learning rate changes in the middle of each run.
double rate_at(int step) { return step < 5 ? 0.03 : 0.007; }

template <typename T>
T tolerance() {
  return 64 * std::numeric_limits<T>::epsilon();
}

template <typename T>
void expect_close(const std::vector<T>& found, const std::vector<long double>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    const long double error = std::abs(static_cast<long double>(found[i]) - expected[i]);
    EXPECT_TRUE(error <= tolerance<T>()) << i << ": " << found[i] << " for " << expected[i];
  }
}

template <typename T>
std::vector<T> run(Optimizer<T>& optimizer) {
  std::vector<T> w = start<T>();
  for (int step = 0; step < kSteps; ++step) {
    optimizer.set_learning_rate(rate_at(step));
    optimizer.step(w, gradients<T>(step));
  }
  EXPECT_EQ(optimizer.iterations(), kSteps);
  return w;
}

template <typename T>
std::vector<long double> expected_sgd(long double momentum, bool nesterov) {
  std::vector<long double> result;
  for (std::size_t i = 0; i < kSize; ++i) {
    long double w = start<T>()[i], v = 0;
    for (int step = 0; step < kSteps; ++step) {
      const long double g = gradients<T>(step)[i], rate = rate_at(step);
      v = momentum * v - rate * g;
      w = nesterov ? w + momentum * v - rate * g : w + v;
    }
    result.push_back(w);
  }
  return result;
}

template <typename T>
std::vector<long double> expected_adam(const AdamOptions& options) {
  const long double b1 = options.beta_1, b2 = options.beta_2;
  std::vector<long double> result;
  for (std::size_t i = 0; i < kSize; ++i) {
    long double w = start<T>()[i], m = 0, v = 0, b1_power = 1, b2_power = 1;
    for (int step = 0; step < kSteps; ++step) {
      const long double g = gradients<T>(step)[i], rate = rate_at(step);
      w -= rate * static_cast<long double>(options.weight_decay) * w;
      m = b1 * m + (1 - b1) * g;
      v = b2 * v + (1 - b2) * g * g;
      b1_power *= b1;
      b2_power *= b2;
      w -= rate * std::sqrt(1 - b2_power) / (1 - b1_power) * m /
           (std::sqrt(v) + static_cast<long double>(options.epsilon));
    }
    result.push_back(w);
  }
  return result;
}

template <typename T>
class OptimizersTest : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(OptimizersTest, Types);

TYPED_TEST(OptimizersTest, SgdFollowsItsFormula) {
  Sgd<TypeParam> optimizer;
  expect_close(run<TypeParam>(optimizer), expected_sgd<TypeParam>(0, false));
}

TYPED_TEST(OptimizersTest, SgdWithMomentumFollowsItsFormula) {
  for (const double momentum : {0.5, 0.9, 1.0}) {
    Sgd<TypeParam> optimizer({.momentum = momentum});
    expect_close(run<TypeParam>(optimizer), expected_sgd<TypeParam>(momentum, false));
  }
}

TYPED_TEST(OptimizersTest, NesterovFollowsItsFormula) {
  for (const double momentum : {0.0, 0.9}) {
    Sgd<TypeParam> optimizer({.momentum = momentum, .nesterov = true});
    expect_close(run<TypeParam>(optimizer), expected_sgd<TypeParam>(momentum, true));
  }
}

TYPED_TEST(OptimizersTest, AdamFollowsItsFormula) {
  for (const AdamOptions& options :
       {AdamOptions{}, AdamOptions{.beta_1 = 0.0, .beta_2 = 0.5, .epsilon = 1e-3},
        AdamOptions{.beta_1 = 0.95, .beta_2 = 0.0}, AdamOptions{.weight_decay = 0.1}}) {
    Adam<TypeParam> optimizer(options);
    expect_close(run<TypeParam>(optimizer), expected_adam<TypeParam>(options));
  }
}

TYPED_TEST(OptimizersTest, AdamWDecaysWeightsByDefault) {
  AdamW<TypeParam> optimizer;
  expect_close(run<TypeParam>(optimizer), expected_adam<TypeParam>({.weight_decay = 0.004}));
  EXPECT_EQ(AdamW<TypeParam>({.learning_rate = 0.1}).options().weight_decay, 0.004);
  AdamW<TypeParam> other_betas({.beta_1 = 0.5});
  expect_close(run<TypeParam>(other_betas),
               expected_adam<TypeParam>({.beta_1 = 0.5, .weight_decay = 0.004}));
}

TYPED_TEST(OptimizersTest, WeightDecayUsesTheLearningRateOfTheStep) {
  AdamW<TypeParam> optimizer({.learning_rate = 0.5, .weight_decay = 0.25});
  std::vector<TypeParam> w = {8};
  optimizer.step(w, std::vector<TypeParam>{0});  // no gradient: decay alone
  EXPECT_EQ(w[0], TypeParam(7));
  optimizer.set_learning_rate(0);
  optimizer.step(w, std::vector<TypeParam>{1});
  EXPECT_EQ(w[0], TypeParam(7));
}

TYPED_TEST(OptimizersTest, FirstAdamStepHasTheSizeOfTheLearningRate) {
  Adam<TypeParam> optimizer({.learning_rate = 0.125, .epsilon = 1e-12});
  std::vector<TypeParam> w = {1, 1, 1};
  optimizer.step(w, std::vector<TypeParam>{1000, -0.25, 0});
  EXPECT_NEAR(w[0], 0.875, 1e-6);
  EXPECT_NEAR(w[1], 1.125, 1e-6);
  EXPECT_EQ(w[2], TypeParam(1));
}

TYPED_TEST(OptimizersTest, NanGradientsAffectOnlyTheirOwnWeights) {
  Sgd<TypeParam> sgd({.momentum = 0.9});
  AdamW<TypeParam> adam;
  for (Optimizer<TypeParam>* optimizer :
       std::initializer_list<Optimizer<TypeParam>*>{&sgd, &adam}) {
    std::vector<TypeParam> w = {1, 2, 3};
    optimizer->step(w, std::vector<TypeParam>{1, static_cast<TypeParam>(kNan), 1});
    EXPECT_TRUE(std::isfinite(w[0]));
    EXPECT_TRUE(std::isnan(w[1]));
    EXPECT_TRUE(std::isfinite(w[2]));
  }
}

template <typename Action>
void expect_refused(Action&& action, const std::string& text) {
  try {
    action();
    ADD_FAILURE() << "expected std::invalid_argument with: " << text;
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

template <typename T>
void expect_lengths_checked(Optimizer<T>& optimizer, const std::string& name) {
  std::vector<T> w = {1, 2, 3};
  const std::vector<T> two = {1, 1}, three = {1, 1, 1};
  expect_refused([&] { optimizer.step(w, two); },
                 name + "::step: gradients: found 2 values, expected 3 values");
  EXPECT_EQ(w, (std::vector<T>{1, 2, 3}));
  EXPECT_EQ(optimizer.iterations(), 0);
  optimizer.step(w, three);
  const std::vector<T> before = w;
  std::vector<T> shorter = {1, 2};
  expect_refused([&] { optimizer.step(shorter, two); },
                 name + "::step: parameters: found 2 values, expected 3 values");
  EXPECT_EQ(shorter, (std::vector<T>{1, 2}));
  EXPECT_EQ(optimizer.iterations(), 1);
  optimizer.step(w, three);  // continues after the errors
  EXPECT_NE(w, before);
}

TYPED_TEST(OptimizersTest, DifferentLengthsInLaterStepsAreRefused) {
  Sgd<TypeParam> sgd, momentum({.momentum = 0.5});
  Adam<TypeParam> adam;
  AdamW<TypeParam> adamw;
  expect_lengths_checked<TypeParam>(sgd, "Sgd");
  expect_lengths_checked<TypeParam>(momentum, "Sgd");
  expect_lengths_checked<TypeParam>(adam, "Adam");
  expect_lengths_checked<TypeParam>(adamw, "Adam");
}

TYPED_TEST(OptimizersTest, ZeroParametersAreRefused) {
  Adam<TypeParam> adam;
  std::vector<TypeParam> none;
  expect_refused([&] { adam.step(none, std::vector<TypeParam>{}); },
                 "Adam::step: parameters: found 0 values, expected at least 1");
  EXPECT_EQ(adam.iterations(), 0);
}

TYPED_TEST(OptimizersTest, OverlapsAreRefused) {
  using T = TypeParam;
  Sgd<T> sgd({.momentum = 0.5});
  Adam<T> adam;
  std::vector<T> w = {1, 2, 3, 4};
  const std::vector<T> before = w;
  for (Optimizer<T>* optimizer : std::initializer_list<Optimizer<T>*>{&sgd, &adam}) {
    for (const std::size_t offset : {0u, 1u}) {
      expect_refused(
          [&] {
            optimizer->step(std::span<T>(w).first(3), std::span<const T>(w).subspan(offset, 3));
          },
          "::step: gradients: found memory that it shares with parameters");
    }
    EXPECT_EQ(w, before);
    EXPECT_EQ(optimizer->iterations(), 0);
    // Neighbours are not overlaps.
    optimizer->step(std::span<T>(w).first(2), std::span<const T>(w).last(2));
    std::ranges::copy(before, w.begin());
  }
  expect_refused([&] { adam.step(std::span<T>(w).first(2), adam.mean()); },
                 "Adam::step: gradients: found memory that it shares with mean");
  expect_refused([&] { adam.step(std::span<T>(w).first(2), adam.square()); },
                 "Adam::step: gradients: found memory that it shares with square");
  EXPECT_EQ(w, before);
}

// An option as named in messages, with the values that it refuses and accepts in T.
template <typename T, typename Options>
struct OptionCase {
  const char* name;
  double Options::* option;
  std::vector<double> refused, taken;
};

template <typename T, typename Kind, typename Options>
void expect_options_checked(const std::string& kind,
                            const std::vector<OptionCase<T, Options>>& cases) {
  for (const auto& option : cases) {
    for (const double value : option.refused) {
      Options options;
      options.*option.option = value;
      expect_refused([&] { Kind{options}; }, kind + ": " + option.name + ": found ");
    }
    for (const double value : option.taken) {
      Options options;
      options.*option.option = value;
      EXPECT_EQ(Kind(options).options().*option.option, value) << option.name;
    }
  }
}

TYPED_TEST(OptimizersTest, EveryOptionIsChecked) {
  using T = TypeParam;
  constexpr double kMin = std::numeric_limits<T>::min(), kMax = std::numeric_limits<T>::max();
  // kInfinity for a double, a value above the type's range for a float.
  const double too_large = std::is_same_v<T, float> ? 2 * kMax : kInfinity;
  const std::vector<double> not_rates = {kNan, kInfinity, -kInfinity, -1, -1e-300, too_large};
  const std::vector<double> rates = {0, 1e-300, 0.5, kMax};
  const std::vector<double> not_betas = {kNan, kInfinity, -kInfinity, -0.1, 1, 1.5};
  const std::vector<double> betas = {0, 0.5, std::nextafter(1.0, 0.0)};
  const std::vector<double> not_epsilons = {kNan, kInfinity, -1e-7, 0, kMin / 2, too_large};
  const std::vector<double> epsilons = {kMin, 1e-7, kMax};

  static_assert(sizeof(SgdOptions) == 3 * sizeof(double), "a new option needs its case here");
  expect_options_checked<T, Sgd<T>, SgdOptions>(
      "Sgd", {{"learning_rate", &SgdOptions::learning_rate, not_rates, rates},
              {"momentum", &SgdOptions::momentum, {kNan, -0.1, 1.1, kInfinity}, {0, 0.5, 1}}});
  static_assert(sizeof(AdamOptions) == 5 * sizeof(double), "a new option needs its case here");
  expect_options_checked<T, Adam<T>, AdamOptions>(
      "Adam", {{"learning_rate", &AdamOptions::learning_rate, not_rates, rates},
               {"beta_1", &AdamOptions::beta_1, not_betas, betas},
               {"beta_2", &AdamOptions::beta_2, not_betas, betas},
               {"epsilon", &AdamOptions::epsilon, not_epsilons, epsilons},
               {"weight_decay", &AdamOptions::weight_decay, not_rates, rates}});
  static_assert(sizeof(AdamWOptions) == sizeof(AdamOptions), "a new option needs its case here");
  expect_options_checked<T, AdamW<T>, AdamWOptions>(
      "AdamW", {{"learning_rate", &AdamWOptions::learning_rate, not_rates, rates},
                {"beta_1", &AdamWOptions::beta_1, not_betas, betas},
                {"beta_2", &AdamWOptions::beta_2, not_betas, betas},
                {"epsilon", &AdamWOptions::epsilon, not_epsilons, epsilons},
                {"weight_decay", &AdamWOptions::weight_decay, not_rates, rates}});
  EXPECT_TRUE(Sgd<T>({.nesterov = true}).options().nesterov);  // without momentum, as in Keras

  Sgd<T> optimizer;
  for (const double rate : not_rates) {
    expect_refused([&] { optimizer.set_learning_rate(rate); },
                   "Optimizer::set_learning_rate: learning_rate: found ");
    EXPECT_EQ(optimizer.learning_rate(), 0.01);
  }
  for (const double rate : rates) {
    optimizer.set_learning_rate(rate);
    EXPECT_EQ(optimizer.options().learning_rate, rate);
  }
}

TYPED_TEST(OptimizersTest, ClipLeavesNormsUpToTheLimit) {
  for (const double limit : {5.0, 5.5, kInfinity}) {
    std::vector<TypeParam> g = {3, 0, -4};
    EXPECT_EQ(clip_by_global_norm(g, limit), TypeParam(5));
    EXPECT_EQ(g, (std::vector<TypeParam>{3, 0, -4})) << limit;
  }
}

TYPED_TEST(OptimizersTest, ClipScalesNormsAboveTheLimit) {
  std::vector<TypeParam> g = {3, 0, -4};
  EXPECT_EQ(clip_by_global_norm(g, 2.5), TypeParam(5));
  EXPECT_EQ(g, (std::vector<TypeParam>{1.5, 0, -2}));
}

TYPED_TEST(OptimizersTest, ClipLeavesZerosAsZeros) {
  std::vector<TypeParam> g = {0, 0}, none;
  EXPECT_EQ(clip_by_global_norm(g, 1), TypeParam(0));
  EXPECT_EQ(g, (std::vector<TypeParam>{0, 0}));
  EXPECT_EQ(clip_by_global_norm(none, 1), TypeParam(0));
}

TYPED_TEST(OptimizersTest, ClipMakesGradientsNanIfTheNormIsNotFinite) {
  const auto max = std::numeric_limits<TypeParam>::max();
  const auto inf = std::numeric_limits<TypeParam>::infinity();
  const auto nan = std::numeric_limits<TypeParam>::quiet_NaN();
  for (const TypeParam wild : {max, inf, -inf, nan}) {
    std::vector<TypeParam> g = {1, wild, wild};
    const TypeParam norm = clip_by_global_norm(g, 1);
    EXPECT_EQ(std::isnan(norm), std::isnan(wild));
    EXPECT_FALSE(std::isfinite(norm));
    for (const TypeParam value : g) EXPECT_TRUE(std::isnan(value)) << wild;
  }
}

TEST(ClipByGlobalNorm, TakesVectorsAndSpans) {
  std::vector<float> floats = {3, 4};
  std::vector<double> doubles = {3, 4};
  static_assert(std::is_same_v<decltype(clip_by_global_norm(floats, 1.0)), float>);
  static_assert(std::is_same_v<decltype(clip_by_global_norm(doubles, 1.0)), double>);
  EXPECT_EQ(clip_by_global_norm(floats, 2.5), 5.0f);
  EXPECT_EQ(clip_by_global_norm(std::span(doubles), 2.5), 5.0);
  EXPECT_EQ(floats, (std::vector<float>{1.5, 2}));
  EXPECT_EQ(doubles, (std::vector<double>{1.5, 2}));
}

TEST(ClipByGlobalNorm, SumsFloatsInDouble) {
  // In float the sum of squares stops growing at 2^24.
  std::vector<float> g(std::size_t{1} << 25, 1.0f);
  EXPECT_EQ(clip_by_global_norm(g, 1e9), std::sqrt(static_cast<float>(1 << 25)));
  std::vector<float> large = {3e30f, 4e30f};  // their squares overflow float
  EXPECT_FLOAT_EQ(clip_by_global_norm(large, 1), 5e30f);
  EXPECT_FLOAT_EQ(large[0], 0.6f);
}

TEST(ClipByGlobalNorm, ChecksItsLimit) {
  std::vector<double> g = {1};
  for (const double limit : {0.0, -1.0, kNan}) {
    expect_refused([&] { clip_by_global_norm(g, limit); }, "clip_by_global_norm: max_norm: found ");
  }
  EXPECT_EQ(g[0], 1);
}

}  // namespace
}  // namespace memattn
