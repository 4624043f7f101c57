// The network in double: its value against a second, direct writing of the formula, its gradient
// against central differences.
#include "forecast/forecast_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace memattn {
namespace {

// Two values are left over before the first patch.
ForecasterOptions options() {
  ForecasterOptions options;
  options.lookback = 14;
  options.horizon = 5;
  options.patch_size = 4;
  options.units = 3;
  options.memory_size = 4;
  options.num_heads = 2;
  options.seed = 3;
  return options;
}

constexpr std::size_t kWindows = 6, kLookback = 14, kHorizon = 5, kPatch = 4, kUnits = 3,
                      kTokens = 3;

double wave(double phase) { return std::sin(phase * phase + 0.3 * phase); }

std::vector<double> windows() {
  std::vector<double> values(kWindows * kLookback);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = wave(double(i) + 0.5);
  return values;
}

// A model in which every parameter is away from 0.
ForecastModel<double> model() {
  ForecastModel<double> result(options());
  result.update([](std::span<double> parameters) {
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i] += 0.4 * wave(double(i));
  });
  return result;
}

std::vector<double> forward(const ForecastModel<double>& model) {
  std::vector<double> output(kWindows * kHorizon, 99);
  ForecastActivations<double> activations;
  model.forward(windows(), output, activations);
  return output;
}

TEST(ForecastModel, ValueIsThatOfItsFormula) {
  const ForecastModel<double> net = model();
  const auto x = windows();
  std::vector<double> tokens(kWindows * kTokens * kUnits), read(tokens.size());
  for (std::size_t n = 0; n < kWindows; ++n) {
    for (std::size_t p = 0; p < kTokens; ++p) {
      for (std::size_t u = 0; u < kUnits; ++u) {
        double sum = net.weight("position")[p * kUnits + u];
        for (std::size_t i = 0; i < kPatch; ++i) {
          sum += x[n * kLookback + 2 + p * kPatch + i] *
                 net.weight("embedding.kernel")[i * kUnits + u];
        }
        tokens[(n * kTokens + p) * kUnits + u] = sum;
      }
    }
  }
  // The layer by itself, with the model's weights.
  std::vector<double> weights;
  for (const WeightInfo& info : net.weight_infos()) {
    if (!info.name.starts_with("attention.")) continue;
    const auto values = net.weight(info.name);
    weights.insert(weights.end(), values.begin(), values.end());
  }
  Config config;
  config.units = kUnits;
  config.memory_size = 4;
  config.num_heads = 2;
  const MemoryAugmentedAttention<double> layer(config, weights);
  layer.forward(tokens, read, kWindows, kTokens);

  const std::vector<double> found = forward(net);
  for (std::size_t n = 0; n < kWindows; ++n) {
    for (std::size_t k = 0; k < kHorizon; ++k) {
      double sum = net.weight("head.bias")[k];
      for (std::size_t i = 0; i < kLookback; ++i) {
        sum += x[n * kLookback + i] * net.weight("linear.kernel")[i * kHorizon + k];
      }
      for (std::size_t i = 0; i < kTokens * kUnits; ++i) {
        sum += read[n * kTokens * kUnits + i] * net.weight("head.kernel")[i * kHorizon + k];
      }
      EXPECT_TRUE(std::abs(found[n * kHorizon + k] - sum) <= 1e-13 * (1 + std::abs(sum)))
          << n << " " << k << ": " << found[n * kHorizon + k] << " for " << sum;
    }
  }
}

TEST(ForecastModel, GradientIsThatOfCentralDifferences) {
  ForecastModel<double> net = model();
  const auto x = windows();
  // loss = sum over output of weights * output + output^2 / 2, so that d output = weights + output.
  std::vector<double> slopes(kWindows * kHorizon);
  for (std::size_t i = 0; i < slopes.size(); ++i) slopes[i] = wave(100.0 + double(i));
  const auto loss = [&] {
    const std::vector<double> output = forward(net);
    double sum = 0;
    for (std::size_t i = 0; i < output.size(); ++i) {
      sum += slopes[i] * output[i] + 0.5 * output[i] * output[i];
    }
    return sum;
  };
  ForecastActivations<double> activations;
  std::vector<double> output(kWindows * kHorizon);
  net.forward(x, output, activations);
  std::vector<double> grad_output(slopes);
  for (std::size_t i = 0; i < output.size(); ++i) grad_output[i] += output[i];
  std::vector<double> grads(static_cast<std::size_t>(net.count_params()), 99);
  net.backward(x, grad_output, activations, grads);

  double largest = 0;
  for (const double grad : grads) largest = std::max(largest, std::abs(grad));
  std::size_t moving = 0;
  for (const WeightInfo& info : net.weight_infos()) {
    for (std::int64_t i = 0; i < info.size; ++i) {
      const auto place = static_cast<std::size_t>(info.offset + i);
      const double step = 1e-5;
      const auto loss_at = [&](double change) {
        net.update([&](std::span<double> parameters) { parameters[place] += change; });
        const double value = loss();
        net.update([&](std::span<double> parameters) { parameters[place] -= change; });
        return value;
      };
      const double slope = (loss_at(step) - loss_at(-step)) / (2 * step);
      EXPECT_TRUE(std::abs(grads[place] - slope) <= 1e-8 * largest)
          << info.name << "[" << i << "]: " << grads[place] << " for " << slope;
      moving += std::abs(grads[place]) > 1e-6 * largest;
      // The softmax cancels the key bias.
      if (info.name == "attention.key.bias") {
        EXPECT_EQ(grads[place], 0);
      }
    }
  }
  EXPECT_GE(moving, grads.size() - 2 * kUnits - 3);  // all but key.bias and a few by chance
}

TEST(ForecastModel, UntrainedAddsNothingAndIsReadyToLearn) {
  const ForecastModel<double> net(options());
  EXPECT_EQ(forward(net), std::vector<double>(kWindows * kHorizon, 0));
  for (const char* name : {"embedding.kernel", "attention.memory", "attention.value.kernel"}) {
    const auto values = net.weight(name);
    EXPECT_EQ(std::set<double>(values.begin(), values.end()).size(), values.size()) << name;
  }
}

TEST(ForecastModel, WeightsFillTheBufferInOrder) {
  const ForecastModel<float> net(options());
  std::int64_t end = 0;
  std::set<std::string> names;
  for (const WeightInfo& info : net.weight_infos()) {
    EXPECT_EQ(info.offset, end) << info.name;
    std::int64_t size = 1;
    for (const std::int64_t axis : info.shape) size *= axis;
    EXPECT_EQ(info.size, size) << info.name;
    EXPECT_EQ(net.weight(info.name).data(), net.parameters().data() + end);
    end += info.size;
    names.insert(info.name);
  }
  EXPECT_EQ(end, net.count_params());
  EXPECT_EQ(names.size(), 14u);  // the layer's nine and five around it
  EXPECT_THROW(net.weight("memory"), std::invalid_argument);
}

TEST(ForecastModel, SeedDrawsTheWeights) {
  ForecasterOptions other = options();
  other.seed = 4;
  const ForecastModel<double> first(options()), second(options()), third(other);
  EXPECT_TRUE(std::ranges::equal(first.parameters(), second.parameters()));
  for (const char* name : {"embedding.kernel", "attention.memory"}) {
    EXPECT_FALSE(std::ranges::equal(first.weight(name), third.weight(name))) << name;
  }
}

TEST(ForecastModel, UpdateThatThrowsLeavesNetworkAndBufferTogether) {
  ForecastModel<double> net = model();
  const auto shift = [](std::span<double> parameters) {
    for (double& value : parameters) value += 0.1;
  };
  EXPECT_THROW(net.update([&](std::span<double> parameters) {
    shift(parameters);
    throw std::runtime_error("stop");
  }),
               std::runtime_error);
  ForecastModel<double> expected = model();
  expected.update(shift);
  EXPECT_EQ(forward(net), forward(expected));
}

TEST(ForecastModel, AWindowsForecastDoesNotDependOnItsCompany) {
  const ForecastModel<double> net = model();
  const std::vector<double> together = forward(net);
  const auto x = windows();
  ForecastActivations<double> activations;
  for (std::size_t n = 0; n < kWindows; ++n) {
    std::vector<double> alone(kHorizon);
    net.forward(std::span(x).subspan(n * kLookback, kLookback), alone, activations);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(),
                           together.begin() + static_cast<std::ptrdiff_t>(n * kHorizon)));
  }
}

TEST(ForecastModel, ScoresAreThoseOfTheLayerOnTheTokens) {
  const ForecastModel<double> net = model();
  std::vector<double> scores(kWindows * 2 * kTokens * 4, 99);
  net.attention_scores(windows(), scores);
  std::set<double> different;
  for (std::size_t row = 0; row < scores.size(); row += 4) {
    double sum = 0;
    for (std::size_t s = row; s < row + 4; ++s) {
      EXPECT_GT(scores[s], 0);
      sum += scores[s];
    }
    EXPECT_TRUE(std::abs(sum - 1) <= 1e-14);
    different.insert(scores[row]);
  }
  EXPECT_EQ(different.size(), kWindows * 2 * kTokens);
}

}  // namespace
}  // namespace memattn
