// Every optimizer against its formula, written once more for one scalar in long double.
#include "memattn/optimizers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace memattn {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Sizes on both sides of a vector register's, with a tail.
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

TYPED_TEST(OptimizersTest, AdamWDecaysByDefault) {
  AdamW<TypeParam> optimizer;
  expect_close(run<TypeParam>(optimizer), expected_adam<TypeParam>({.weight_decay = 0.004}));
}

TYPED_TEST(OptimizersTest, WeightDecayTakesTheLearningRateOfTheStep) {
  AdamW<TypeParam> optimizer({.learning_rate = 0.5, .weight_decay = 0.25});
  std::vector<TypeParam> w = {8};
  optimizer.step(w, std::vector<TypeParam>{0});  // no gradient: decay alone
  EXPECT_EQ(w[0], TypeParam(7));
  optimizer.set_learning_rate(0);
  optimizer.step(w, std::vector<TypeParam>{1});
  EXPECT_EQ(w[0], TypeParam(7));
}

TYPED_TEST(OptimizersTest, FirstAdamStepIsTheLearningRate) {
  Adam<TypeParam> optimizer({.learning_rate = 0.125, .epsilon = 1e-12});
  std::vector<TypeParam> w = {1, 1, 1};
  optimizer.step(w, std::vector<TypeParam>{1000, -0.25, 0});
  EXPECT_NEAR(w[0], 0.875, 1e-6);
  EXPECT_NEAR(w[1], 1.125, 1e-6);
  EXPECT_EQ(w[2], TypeParam(1));
}

template <typename T, typename Kind>
void expect_copy_has_state(Kind optimizer) {
  std::vector<T> w = start<T>();
  for (int step = 0; step < 3; ++step) optimizer.step(w, gradients<T>(step));
  Kind copy = optimizer;
  std::vector<T> w_copy = w;
  optimizer.step(w, gradients<T>(3));
  EXPECT_EQ(copy.iterations(), 3);
  copy.step(w_copy, gradients<T>(3));
  EXPECT_EQ(w, w_copy);
  EXPECT_EQ(copy.iterations(), 4);
  // And each goes its own way.
  optimizer.step(w, gradients<T>(4));
  EXPECT_EQ(copy.iterations(), 4);
}

TYPED_TEST(OptimizersTest, CopiesHaveTheStateAndTheirOwn) {
  expect_copy_has_state<TypeParam>(Sgd<TypeParam>({.momentum = 0.9}));
  expect_copy_has_state<TypeParam>(Adam<TypeParam>());
  expect_copy_has_state<TypeParam>(AdamW<TypeParam>());
}

TYPED_TEST(OptimizersTest, NanGradientsReachTheirWeightsAndNoOthers) {
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
  optimizer.step(w, three);  // and goes on
  EXPECT_NE(w, before);
}

TYPED_TEST(OptimizersTest, LengthsMustStayTheSame) {
  Sgd<TypeParam> sgd, momentum({.momentum = 0.5});
  Adam<TypeParam> adam;
  AdamW<TypeParam> adamw;
  expect_lengths_checked<TypeParam>(sgd, "Sgd");
  expect_lengths_checked<TypeParam>(momentum, "Sgd");
  expect_lengths_checked<TypeParam>(adam, "Adam");
  expect_lengths_checked<TypeParam>(adamw, "Adam");
}

TYPED_TEST(OptimizersTest, NoParametersAreFine) {
  Adam<TypeParam> adam;
  std::vector<TypeParam> none;
  adam.step(none, std::vector<TypeParam>{});
  EXPECT_EQ(adam.iterations(), 1);
  std::vector<TypeParam> one = {1};
  expect_refused([&] { adam.step(one, std::vector<TypeParam>{1}); }, "found 1 values, expected 0");
}

TYPED_TEST(OptimizersTest, OptionsAreChecked) {
  using SgdT = Sgd<TypeParam>;
  using AdamT = Adam<TypeParam>;
  for (const double rate : {kNan, kInfinity, -1.0}) {
    expect_refused([&] { SgdT({.learning_rate = rate}); }, "Sgd: learning_rate: found ");
    expect_refused([&] { AdamT({.learning_rate = rate}); }, "Adam: learning_rate: found ");
    SgdT optimizer;
    expect_refused([&] { optimizer.set_learning_rate(rate); },
                   "Optimizer::set_learning_rate: learning_rate: found ");
    EXPECT_EQ(optimizer.learning_rate(), 0.01);
  }
  for (const double momentum : {kNan, -0.1, 1.1}) {
    expect_refused([&] { SgdT({.momentum = momentum}); }, "Sgd: momentum: found ");
  }
  for (const double beta : {kNan, -0.1, 1.0}) {
    expect_refused([&] { AdamT({.beta_1 = beta}); }, "Adam: beta_1: found ");
    expect_refused([&] { AdamT({.beta_2 = beta}); }, "Adam: beta_2: found ");
  }
  for (const double epsilon : {kNan, kInfinity, 0.0, -1e-7, 1e-310}) {
    expect_refused([&] { AdamT({.epsilon = epsilon}); }, "Adam: epsilon: found ");
  }
  for (const double decay : {kNan, kInfinity, -1.0}) {
    expect_refused([&] { AdamT({.weight_decay = decay}); }, "Adam: weight_decay: found ");
  }
}

TYPED_TEST(OptimizersTest, ClipLeavesNormsUpToTheLimit) {
  for (const double limit : {5.0, 5.5, kInfinity}) {
    std::vector<TypeParam> g = {3, 0, -4};
    EXPECT_EQ(clip_by_global_norm<TypeParam>(g, limit), TypeParam(5));
    EXPECT_EQ(g, (std::vector<TypeParam>{3, 0, -4})) << limit;
  }
}

TYPED_TEST(OptimizersTest, ClipScalesNormsAboveTheLimit) {
  std::vector<TypeParam> g = {3, 0, -4};
  EXPECT_EQ(clip_by_global_norm<TypeParam>(g, 2.5), TypeParam(5));
  EXPECT_EQ(g, (std::vector<TypeParam>{1.5, 0, -2}));
}

TYPED_TEST(OptimizersTest, ClipOfZerosIsZeros) {
  std::vector<TypeParam> g = {0, 0}, none;
  EXPECT_EQ(clip_by_global_norm<TypeParam>(g, 1), TypeParam(0));
  EXPECT_EQ(g, (std::vector<TypeParam>{0, 0}));
  EXPECT_EQ(clip_by_global_norm<TypeParam>(none, 1), TypeParam(0));
}

TYPED_TEST(OptimizersTest, AdamRestoredGoesOnWithTheSameBits) {
  using T = TypeParam;
  const AdamOptions options{.learning_rate = 0.03, .weight_decay = 0.1};
  Adam<T> whole(options);
  EXPECT_TRUE(whole.mean().empty() && whole.square().empty());
  std::vector<T> expected = start<T>();
  for (int step = 0; step < kSteps; ++step) {
    whole.step(expected, gradients<T>(step));
    Adam<T> stopped(options), restored(options);
    std::vector<T> found = start<T>();
    for (int before = 0; before < step; ++before) stopped.step(found, gradients<T>(before));
    restored.restore(step, stopped.mean(), stopped.square());
    EXPECT_EQ(restored.iterations(), step);
    restored.step(found, gradients<T>(step));
    EXPECT_EQ(found, expected);
  }
  std::vector<T> shorter(kSize - 1);
  EXPECT_THROW(whole.step(shorter, shorter), std::invalid_argument);
}

TYPED_TEST(OptimizersTest, AdamStatesThatCannotBeAreRefused) {
  using T = TypeParam;
  Adam<T> adam;
  const std::vector<T> good = {1, 2}, nan = {1, static_cast<T>(kNan)}, negative = {1, -1};
  const std::vector<T> one = {1};
  expect_refused([&] { adam.restore(-1, good, good); }, "Adam::restore: iterations: found -1");
  expect_refused([&] { adam.restore(1, good, one); }, "Adam::restore: square: found 1 values");
  expect_refused([&] { adam.restore(1, nan, good); }, "Adam::restore: mean[1]: found nan");
  expect_refused([&] { adam.restore(1, good, nan); }, "Adam::restore: square[1]: found nan");
  expect_refused([&] { adam.restore(1, good, negative); }, "Adam::restore: square[1]: found -1");
  EXPECT_EQ(adam.iterations(), 0);
  EXPECT_TRUE(adam.mean().empty());
}

TYPED_TEST(OptimizersTest, ClipMakesAllNanOfANormThatIsNotFinite) {
  const auto max = std::numeric_limits<TypeParam>::max();
  const auto inf = std::numeric_limits<TypeParam>::infinity();
  const auto nan = std::numeric_limits<TypeParam>::quiet_NaN();
  for (const TypeParam wild : {max, inf, -inf, nan}) {
    std::vector<TypeParam> g = {1, wild, wild};
    const TypeParam norm = clip_by_global_norm<TypeParam>(g, 1);
    EXPECT_EQ(std::isnan(norm), std::isnan(wild));
    EXPECT_FALSE(std::isfinite(norm));
    for (const TypeParam value : g) EXPECT_TRUE(std::isnan(value)) << wild;
  }
}

TEST(ClipByGlobalNorm, SumsFloatsInDouble) {
  // In float the sum of squares stops growing at 2^24.
  std::vector<float> g(std::size_t{1} << 25, 1.0f);
  EXPECT_EQ(clip_by_global_norm<float>(g, 1e9), std::sqrt(static_cast<float>(1 << 25)));
  std::vector<float> large = {3e30f, 4e30f};  // their squares are beyond float
  EXPECT_FLOAT_EQ(clip_by_global_norm<float>(large, 1), 5e30f);
  EXPECT_FLOAT_EQ(large[0], 0.6f);
}

TEST(ClipByGlobalNorm, ChecksItsLimit) {
  std::vector<double> g = {1};
  for (const double limit : {0.0, -1.0, kNan}) {
    expect_refused([&] { clip_by_global_norm<double>(g, limit); },
                   "clip_by_global_norm: max_norm: found ");
  }
  EXPECT_EQ(g[0], 1);
}

}  // namespace
}  // namespace memattn
