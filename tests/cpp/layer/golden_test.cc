// The layer against results of fusionlab and Keras: values, scores, gradients, and whole training
// runs, from a random memory and from the published layer's zeros.
#include "testing/golden.h"

#include "memattn/optimizers.h"

namespace memattn::testing {
namespace {

class GoldenTest : public ::testing::TestWithParam<std::tuple<std::string, Route>> {
 protected:
  template <typename T>
  void expect_golden(double limit) const {
    const auto& [name, route] = GetParam();
    const Golden golden(name);
    MemoryAugmentedAttention<T> layer(golden.config(), golden.weights<T>());
    layer.set_route(route);
    const auto x = golden.array<T>("x"), g = golden.array<T>("g");
    std::vector<T> y(x.size()), grad_x(x.size()), grad(layer.parameters().size());
    std::vector<T> scores(golden.has("scores") ? golden.array<T>("scores").size() : 0);

    layer.forward(x, {.batch = golden.batch(), .steps = golden.steps()}, y, golden.options(),
                  {scores});
    EXPECT_LE(relative_error(y, golden.array<double>("y")), limit);
    if (!scores.empty()) {
      EXPECT_LE(relative_error(scores, golden.array<double>("scores")), limit);
    }
    layer.backward(x, g, {.batch = golden.batch(), .steps = golden.steps()}, grad_x, grad,
                   golden.options());
    EXPECT_LE(relative_error(grad_x, golden.array<double>("grad.x")), limit);
    for (const WeightInfo& info : layer.weight_infos()) {
      const std::span part(grad.data() + info.offset, static_cast<std::size_t>(info.size));
      const auto expected = golden.array<double>("grad." + info.name);
      // Their gradient is rounding noise around 0, where this library's is exactly 0.
      const double floor =
          info.name == "key.bias" ? largest_magnitude(golden.array<double>("grad.query.bias")) : 0;
      EXPECT_LE(relative_error(part, expected, floor), limit) << info.name;
    }
  }
};
INSTANTIATE_TEST_SUITE_P(All, GoldenTest,
                         ::testing::Combine(::testing::ValuesIn(kGoldenCases),
                                            ::testing::Values(Route::kFolded, Route::kProjected)),
                         [](const auto& test) {
                           return std::get<0>(test.param) +
                                  (std::get<1>(test.param) == Route::kFolded ? "_folded"
                                                                             : "_projected");
                         });

TEST_P(GoldenTest, Float64EqualsTheGoldenValues) { expect_golden<double>(1e-12); }
TEST_P(GoldenTest, Float32EqualsTheGoldenValues) { expect_golden<float>(3e-6); }

// A training run like that of generate.py: mean squared error, with the loss taken before each
// step.
template <typename T>
struct TrainingRun {
  TrainingRun(const Golden& golden, Optimizer<T>& optimizer)
      : layer(golden.config(), golden.weights<T>()) {
    const auto x = golden.array<T>("x"), target = golden.array<T>("target");
    std::vector<T> y(x.size()), g(x.size()), grad_x(x.size()), grad(layer.parameters().size());
    for (std::size_t step = 0; step < golden.array<double>("losses").size(); ++step) {
      layer.forward(x, {.batch = golden.batch(), .steps = golden.steps()}, y);
      double sum = 0;
      for (std::size_t i = 0; i < y.size(); ++i) {
        const T error = y[i] - target[i];
        g[i] = static_cast<T>(2.0 / static_cast<double>(y.size())) * error;
        sum += static_cast<double>(error) * static_cast<double>(error);
      }
      losses.push_back(sum / static_cast<double>(y.size()));
      layer.backward(x, g, {.batch = golden.batch(), .steps = golden.steps()}, grad_x, grad);
      layer.update([&](std::span<T> parameters) { optimizer.step(parameters, grad); });
    }
  }

  // Returns the largest difference between any slot and the first one.
  double slot_spread() const {
    const auto memory = layer.weight("memory");
    const auto units = static_cast<std::size_t>(layer.config().units);
    double spread = 0;
    for (std::size_t i = 0; i < memory.size(); ++i) {
      spread = std::max(spread, std::fabs(static_cast<double>(memory[i] - memory[i % units])));
    }
    return spread;
  }

  MemoryAugmentedAttention<T> layer;
  std::vector<double> losses;
};

class TrainingTest : public ::testing::TestWithParam<std::tuple<const char*, const char*>> {
 protected:
  template <typename T>
  TrainingRun<T> run(const Golden& golden) const {
    Sgd<T> sgd({.learning_rate = 0.1});
    Adam<T> adam({.learning_rate = 0.01});
    const bool use_sgd = std::string("sgd") == std::get<0>(GetParam());
    return TrainingRun<T>(golden, use_sgd ? static_cast<Optimizer<T>&>(sgd) : adam);
  }
  Golden golden() const {
    const auto& [optimizer, start] = GetParam();
    return Golden("train_" + std::string(optimizer) + "_" + start);
  }
  bool from_zeros() const { return std::string("zeros") == std::get<1>(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(All, TrainingTest,
                         ::testing::Combine(::testing::Values("sgd", "adam"),
                                            ::testing::Values("random", "zeros")),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param)) + "_" +
                                  std::get<1>(test.param);
                         });

TEST_P(TrainingTest, Float64FollowsEveryLoss) {
  const TrainingRun<double> trained = run<double>(golden());
  const auto losses = golden().array<double>("losses");
  ASSERT_EQ(trained.losses.size(), losses.size());
  for (std::size_t step = 0; step < losses.size(); ++step) {
    EXPECT_LE(std::fabs(trained.losses[step] - losses[step]), 1e-9 * losses[step]) << step;
  }
  EXPECT_LE(relative_error(trained.layer.weight("memory"), golden().array<double>("last.memory")),
            1e-9);
}

TEST_P(TrainingTest, Float32FollowsEveryLoss) {
  const TrainingRun<float> trained = run<float>(golden());
  EXPECT_LE(relative_error(trained.losses, golden().array<double>("losses")), 3e-6);
}

// The defect of the published layer: starting from zeros, every slot gets the same gradient.
TEST_P(TrainingTest, SlotsStayEqualFromZerosOnly) {
  const TrainingRun<double> trained = run<double>(golden());
  EXPECT_GT(largest_magnitude(trained.layer.weight("memory")), 1e-3);
  if (from_zeros()) {
    EXPECT_EQ(trained.slot_spread(), 0);
  } else {
    EXPECT_GT(trained.slot_spread(), 1e-1);
  }
}

}  // namespace
}  // namespace memattn::testing
