// The state of every optimizer: saved and restored, copied and moved, and after a failure.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "io/temporary_folder.h"
#include "memattn/optimizers.h"
#include "testing/failing_allocations.h"

namespace memattn {
namespace {

constexpr std::size_t kSize = 19;
constexpr int kSteps = 6;

template <typename T>
std::vector<T> start() {
  std::vector<T> w(kSize);
  for (std::size_t i = 0; i < kSize; ++i) w[i] = static_cast<T>(std::sin(1.0 + double(i)));
  return w;
}

template <typename T>
std::vector<T> gradients(int step) {
  std::vector<T> g(kSize);
  for (std::size_t i = 0; i < kSize; ++i) g[i] = static_cast<T>(std::cos(step * 7.0 + double(i)));
  return g;
}

template <typename T>
void run(Optimizer<T>& optimizer, std::vector<T>& w, int first, int last) {
  for (int step = first; step < last; ++step) {
    optimizer.set_learning_rate(0.1 / (1 + step));
    optimizer.step(w, gradients<T>(step));
  }
}

// Kinds with different moments, each with options other than the defaults.
template <typename T>
struct PlainSgd : Sgd<T> {
  PlainSgd() : Sgd<T>({.learning_rate = 0.25}) {}
};
template <typename T>
struct MomentumSgd : Sgd<T> {
  MomentumSgd() : Sgd<T>({.momentum = 0.875, .nesterov = true}) {}
};
template <typename T>
struct OtherAdam : Adam<T> {
  OtherAdam() : Adam<T>({.beta_1 = 0.75, .epsilon = 1e-5}) {}
};
template <typename T>
struct OtherAdamW : AdamW<T> {
  OtherAdamW() : AdamW<T>({.beta_2 = 0.9}) {}
};

template <typename Kind>
class OptimizerStateTest : public ::testing::Test {};
using Kinds =
    ::testing::Types<PlainSgd<float>, PlainSgd<double>, MomentumSgd<float>, MomentumSgd<double>,
                     OtherAdam<float>, OtherAdam<double>, OtherAdamW<float>, OtherAdamW<double>>;
TYPED_TEST_SUITE(OptimizerStateTest, Kinds);

template <typename T>
T type_of(const Optimizer<T>&);
template <typename Kind>
using TypeOf = decltype(type_of(std::declval<const Kind&>()));

TYPED_TEST(OptimizerStateTest, ARestoredOptimizerContinuesWithTheSameBitsAfterEveryStep) {
  using T = TypeOf<TypeParam>;
  std::vector<T> expected = start<T>();
  TypeParam whole;
  run<T>(whole, expected, 0, kSteps);
  for (int stop = 0; stop <= kSteps; ++stop) {
    TypeParam stopped, restored;
    std::vector<T> found = start<T>();
    run<T>(stopped, found, 0, stop);
    restored.restore(stopped.state());
    EXPECT_EQ(restored.state(), stopped.state());
    EXPECT_EQ(restored.iterations(), stop);
    EXPECT_EQ(restored.learning_rate(), stopped.learning_rate());
    run<T>(restored, found, stop, kSteps);
    EXPECT_EQ(found, expected) << stop;
  }
}

TYPED_TEST(OptimizerStateTest, ReplacesAStateOfAnotherLength) {
  using T = TypeOf<TypeParam>;
  TypeParam optimizer, other;
  std::vector<T> w = start<T>(), few = {1, 2};
  run<T>(optimizer, w, 0, 2);
  other.step(few, std::vector<T>{3, 4});
  optimizer.restore(other.state());
  EXPECT_THROW(optimizer.step(w, gradients<T>(2)), std::invalid_argument);
  optimizer.step(few, std::vector<T>{5, 6});
  optimizer.restore(TypeParam().state());  // back to the beginning
  EXPECT_EQ(optimizer.iterations(), 0);
  optimizer.step(w, gradients<T>(2));
}

TYPED_TEST(OptimizerStateTest, CopiesAndMovesKeepIt) {
  using T = TypeOf<TypeParam>;
  TypeParam original;
  std::vector<T> w = start<T>();
  run<T>(original, w, 0, 3);
  const OptimizerState<T> state = original.state();
  TypeParam copy = original, assigned;
  assigned = original;
  EXPECT_EQ(copy.state(), state);
  EXPECT_EQ(assigned.state(), state);
  run<T>(copy, w, 3, 4);
  EXPECT_EQ(original.state(), state) << "a copy has its own state";

  TypeParam moved = std::move(original);
  EXPECT_EQ(moved.state(), state);
  EXPECT_EQ(original.state().iterations, 0) << "as before the first step";
  EXPECT_EQ(original.state().parameters, 0);
  std::vector<T> one = {1};
  original.step(one, std::vector<T>{2});
  EXPECT_EQ(original.iterations(), 1);
  assigned = std::move(moved);
  EXPECT_EQ(assigned.state(), state);
  EXPECT_EQ(moved.state().parameters, 0);
}

template <typename T>
void expect_refused(Optimizer<T>& optimizer, OptimizerState<T> state, const std::string& text) {
  const OptimizerState<T> before = optimizer.state();
  try {
    optimizer.restore(std::move(state));
    ADD_FAILURE() << "expected std::invalid_argument with: " << text;
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("::restore: " + text), std::string::npos)
        << error.what();
  }
  EXPECT_EQ(optimizer.state(), before);
}

TYPED_TEST(OptimizerStateTest, InvalidStatesAreRefused) {
  using T = TypeOf<TypeParam>;
  TypeParam optimizer;
  std::vector<T> w = start<T>();
  run<T>(optimizer, w, 0, 2);
  const OptimizerState<T> good = optimizer.state();
  const auto refuse = [&](auto&& change, const std::string& text) {
    OptimizerState<T> bad = good;
    change(bad);
    expect_refused<T>(optimizer, bad, text);
  };
  for (const double rate :
       {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    refuse([&](auto& s) { s.learning_rate = rate; }, "learning_rate: found ");
  }
  refuse([](auto& s) { s.iterations = -1; }, "iterations: found -1, expected a number from 0");
  refuse([](auto& s) { s.iterations = std::numeric_limits<std::int64_t>::max(); },
         "iterations: found 9223372036854775807, expected a number from 0 to 2^53");
  refuse([](auto& s) { s.iterations = 0; },
         "parameters: found 19 after 0 iterations, expected 0 before the first step");
  refuse([](auto& s) { s = {.iterations = 5, .moments = TypeParam().state().moments}; },
         "parameters: found 0 after 5 iterations, expected at least 1");
  refuse([](auto& s) { s.parameters = -1; }, "parameters: found -1 after 2 iterations");
  refuse([](auto& s) { s.moments["other"] = {}; }, "moments: found other, expected ");
  for (const auto& [name, values] : good.moments) {
    const std::string moment = name;
    refuse([&](auto& s) { s.moments.erase(moment); }, "moments: found no " + moment);
    refuse([&](auto& s) { s.moments[moment].pop_back(); }, moment + ": found 18 values");
    refuse([&](auto& s) { s.moments[moment].push_back(0); },
           moment + ": found 20 values, expected 19 values, as many as parameters");
  }
  if (good.moments.contains("square")) {
    refuse([](auto& s) { s.moments["square"][3] = -1; }, "square[3]: found -1, expected at least");
  }
  optimizer.restore(good);
}

// The state of a run that diverged can be kept like any other.
TYPED_TEST(OptimizerStateTest, KeepsValuesThatAreNotFinite) {
  using T = TypeOf<TypeParam>;
  TypeParam optimizer, restored;
  std::vector<T> w = start<T>(), g(kSize, std::numeric_limits<T>::max());
  g[0] = std::numeric_limits<T>::quiet_NaN();
  optimizer.step(w, g);
  restored.restore(optimizer.state());
  EXPECT_EQ(restored.iterations(), 1);
}

TYPED_TEST(OptimizerStateTest, OutOfMemoryChangesNothing) {
  using T = TypeOf<TypeParam>;
  const std::vector<T> before = start<T>(), g = gradients<T>(0);
  TypeParam stepped;
  std::vector<T> w = before;
  stepped.step(w, g);
  const OptimizerState<T> state = stepped.state();

  TypeParam optimizer;
  w = before;
  testing::sweep_allocations([&] { optimizer.step(w, g); },
                             [&] {
                               EXPECT_EQ(w, before);
                               EXPECT_EQ(optimizer.state(), TypeParam().state());
                             });
  EXPECT_EQ(optimizer.state(), state);
  EXPECT_EQ(testing::sweep_allocations([&] { optimizer.step(w, g); }, [] {}), 0)
      << "only the first step allocates";

  // On an optimizer that has taken steps over another number of parameters.
  std::vector<T> few = {1, 2};
  optimizer = TypeParam();
  for (int step = 0; step < 3; ++step) optimizer.step(few, std::vector<T>{3, 4});
  const OptimizerState<T> other = optimizer.state();
  testing::sweep_allocations([&] { optimizer = stepped; },
                             [&] { EXPECT_EQ(optimizer.state(), other); });
  EXPECT_EQ(optimizer.state(), state);
  testing::sweep_allocations([&] { optimizer.restore(other); },
                             [&] { EXPECT_EQ(optimizer.state(), state); });
  EXPECT_EQ(optimizer.state(), other);
  testing::sweep_allocations([&] { EXPECT_EQ(TypeParam(optimizer).state(), other); },
                             [&] { EXPECT_EQ(optimizer.state(), other); });
}

// Out of memory while saving or loading: the optimizer does not change, and no temporary file is
// left.
TEST(AdamFile, OutOfMemoryNeitherWritesNorReadsIt) {
  const testing::TemporaryFolder folder;
  Adam<float> adam, other;
  std::vector<float> w = {1, 2};
  other.save(folder / "file");
  const std::string before = testing::read_all(folder / "file");
  adam.step(w, std::vector<float>{3, 4});
  const OptimizerState<float> state = adam.state();
  const long saving = testing::sweep_allocations([&] { adam.save(folder / "file"); },
                                                 [&] { EXPECT_EQ(adam.state(), state); });
  EXPECT_GT(saving, 10);
  EXPECT_EQ(folder.names(), std::vector<std::string>{"file"});
  EXPECT_NE(testing::read_all(folder / "file"), before);
  const long loading =
      testing::sweep_allocations([&] { other = Adam<float>::load(folder / "file"); },
                                 [&] { EXPECT_EQ(other.iterations(), 0); });
  EXPECT_GT(loading, 10);
  EXPECT_EQ(other.state(), state);
}

// The earlier restore of Adam, which took no number of parameters.
TEST(AdamState, DeprecatedRestoreChecksItsLengths) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  Adam<float> adam, restored;
  EXPECT_THROW(adam.restore(5, {}, {}), std::invalid_argument);
  const std::vector<float> two = {1, 2}, one = {1};
  EXPECT_THROW(adam.restore(1, two, one), std::invalid_argument);
  EXPECT_THROW(adam.restore(-1, two, two), std::invalid_argument);
  EXPECT_EQ(adam.iterations(), 0);
  std::vector<float> w = two;
  adam.step(w, two);
  restored.restore(1, adam.mean(), adam.square());
  EXPECT_EQ(restored.state(), adam.state());
#pragma GCC diagnostic pop
}

}  // namespace
}  // namespace memattn
