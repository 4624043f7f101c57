// The network in double: the gradients of all its forms against central differences.
#include "forecast/memory_network.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "testing/arrays.h"

namespace memattn {
namespace {

constexpr std::int64_t kWindows = 7, kFeatures = 5, kSkip = 4, kOutputs = 6;
constexpr SeasonPath kPastSeasons = {.seasons = 4, .season = 2, .horizon = 3};

MemoryNetworkOptions options(bool pre_norm, double dropout, std::int64_t layers = 2) {
  MemoryNetworkOptions result;
  result.features = kFeatures;
  result.skip_features = kSkip;
  result.outputs = kOutputs;
  result.units = 6;
  result.memory_size = 4;
  result.num_heads = 2;
  result.layers = layers;
  result.pre_norm = pre_norm;
  result.dropout = dropout;
  result.seed = 5;
  return result;
}

const std::vector<double>& features() {
  static const auto values = testing::normal_array<double>(kWindows * kFeatures, 1);
  return values;
}
const std::vector<double>& skip() {
  static const auto values = testing::normal_array<double>(kWindows * kSkip, 2);
  return values;
}

const std::vector<double>& seasons() {
  static const auto values = testing::normal_array<double>(kWindows * 4 * 2, 7);
  return values;
}
MemoryNetworkInputs<double> inputs() { return {features(), skip(), seasons()}; }

MemoryNetworkOptions with_past_seasons(MemoryNetworkOptions these) {
  these.past_seasons = kPastSeasons;
  return these;
}

// Returns a network without parameters near 0.
MemoryNetwork<double> network(const MemoryNetworkOptions& these) {
  MemoryNetwork<double> result(these);
  result.update([](std::span<double> parameters) {
    const auto noise =
        testing::normal_array<double>(static_cast<std::int64_t>(parameters.size()), 3);
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i] += 0.3 * noise[i];
  });
  return result;
}

std::vector<double> forward(const MemoryNetwork<double>& net, std::int64_t step) {
  std::vector<double> output(kWindows * kOutputs, 99);
  MemoryNetworkActivations<double> activations;
  net.forward(inputs(), output, activations, step);
  return output;
}

void expect_gradients_of(const MemoryNetworkOptions& these, std::int64_t step) {
  MemoryNetwork<double> net = network(these);
  const auto slopes = testing::normal_array<double>(kWindows * kOutputs, 4);
  const auto loss = [&] {
    double sum = 0;
    const auto output = forward(net, step);
    for (std::size_t i = 0; i < output.size(); ++i) sum += slopes[i] * output[i];
    return sum;
  };
  MemoryNetworkActivations<double> activations;
  std::vector<double> output(kWindows * kOutputs);
  net.forward(inputs(), output, activations, step);
  std::vector<double> grads(static_cast<std::size_t>(net.count_params()), 99);
  net.backward(inputs(), slopes, activations, grads, step);
  const double largest = testing::largest_magnitude(grads);
  std::size_t moving = 0;
  for (const WeightInfo& info : net.weight_infos()) {
    for (std::int64_t i = 0; i < info.size; ++i) {
      const auto place = static_cast<std::size_t>(info.offset + i);
      const auto loss_at = [&](double change) {
        net.update([&](std::span<double> parameters) { parameters[place] += change; });
        const double value = loss();
        net.update([&](std::span<double> parameters) { parameters[place] -= change; });
        return value;
      };
      const double slope = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5;
      EXPECT_TRUE(std::abs(grads[place] - slope) <= 2e-8 * largest)
          << info.name << "[" << i << "]: " << grads[place] << " for " << slope;
      moving += std::abs(grads[place]) > 1e-7 * largest;
    }
  }
  EXPECT_GE(moving, grads.size() * 3 / 4);
}

TEST(MemoryNetwork, GradientEqualsCentralDifferences) { expect_gradients_of(options(false, 0), 0); }

TEST(MemoryNetwork, GradientIsRightThroughNormAndDropout) {
  expect_gradients_of(options(true, 0.3), 11);
  expect_gradients_of(options(false, 0.3), 11);
  expect_gradients_of(options(true, 0), -1);
}

MemoryNetworkOptions with_input_dropout(MemoryNetworkOptions these) {
  these.input_dropout = 0.4;
  return these;
}

TEST(MemoryNetwork, GradientIsRightThroughInputDropout) {
  expect_gradients_of(with_input_dropout(options(false, 0)), 3);
  expect_gradients_of(with_input_dropout(options(true, 0.3)), 11);
  expect_gradients_of(with_input_dropout(options(false, 0, 0)), 3);
  expect_gradients_of(with_input_dropout(with_past_seasons(options(true, 0.3, 1))), 2);
}

// Only in the memory layers: the linear path sees its whole input.
TEST(MemoryNetwork, InputDropoutScalesOrZeroesFeatures) {
  MemoryNetwork<double> net = network(with_input_dropout(options(false, 0, 0)));
  // Each unit is one feature, and each output is one unit plus one input of the linear path.
  net.update([&](std::span<double> parameters) {
    std::ranges::fill(parameters, 0.0);
    for (const WeightInfo& info : net.weight_infos()) {
      const auto width = info.shape.back();
      for (std::int64_t i = 0; info.shape.size() == 2 && i < info.shape[0] && i < width; ++i) {
        parameters[static_cast<std::size_t>(info.offset + i * width + i)] = 1;
      }
    }
  });
  std::size_t dropped = 0;
  for (std::int64_t step = 0; step < 20; ++step) {
    const std::vector<double> output = forward(net, step);
    for (std::size_t n = 0; n < kWindows; ++n) {
      for (std::size_t i = 0; i < kFeatures; ++i) {
        const double linear = i < kSkip ? skip()[n * kSkip + i] : 0;
        const double feature = output[n * kOutputs + i] - linear;
        const double whole = features()[n * kFeatures + i] / 0.6;
        const bool zero = std::abs(feature) <= 1e-12;
        dropped += zero;
        EXPECT_TRUE(zero || std::abs(feature - whole) <= 1e-6 * std::abs(whole)) << n << i;
      }
    }
  }
  EXPECT_NEAR(static_cast<double>(dropped) / (20 * kWindows * kFeatures), 0.4, 0.08);
}

TEST(MemoryNetwork, GradientIsRightForTheLinearModel) {
  expect_gradients_of(options(false, 0, 0), 0);
}

TEST(MemoryNetwork, GradientIsRightWithPastSeasons) {
  expect_gradients_of(with_past_seasons(options(false, 0, 0)), 0);
  expect_gradients_of(with_past_seasons(options(true, 0.3, 1)), 2);
}

// The formula, step by step; a slot left out is one that the layer never had.
struct ByFormula {
  std::vector<double> output;  // (N, O)
  std::vector<double> scores;  // (layers, N, slots)
};

ByFormula by_formula(const MemoryNetwork<double>& net, const SlotLeftOut& left_out = {-1, -1}) {
  std::vector<double> z(kWindows * 6);
  const auto add_product = [](std::span<const double> a, std::span<const double> b,
                              std::int64_t inner, std::int64_t columns, std::span<double> c) {
    for (std::int64_t n = 0; n < kWindows; ++n) {
      for (std::int64_t j = 0; j < columns; ++j) {
        for (std::int64_t p = 0; p < inner; ++p) {
          c[static_cast<std::size_t>(n * columns + j)] +=
              a[static_cast<std::size_t>(n * inner + p)] *
              b[static_cast<std::size_t>(p * columns + j)];
        }
      }
    }
  };
  for (std::size_t i = 0; i < z.size(); ++i) z[i] = net.weight("in.bias")[i % 6];
  add_product(features(), net.weight("in.kernel"), kFeatures, 6, z);
  ByFormula result;
  for (int layer = 0; layer < 2; ++layer) {
    const std::string number = std::to_string(layer);
    std::vector<double> normed = z, read(z.size()), weights;
    for (std::size_t n = 0; net.options().pre_norm && n < kWindows; ++n) {
      double mean = 0, variance = 0;
      for (std::size_t u = 0; u < 6; ++u) mean += z[n * 6 + u] / 6;
      for (std::size_t u = 0; u < 6; ++u) variance += std::pow(z[n * 6 + u] - mean, 2) / 6;
      for (std::size_t u = 0; u < 6; ++u) {
        normed[n * 6 + u] = (z[n * 6 + u] - mean) / std::sqrt(variance + 1e-5) *
                                net.weight("norm." + number + ".scale")[u] +
                            net.weight("norm." + number + ".shift")[u];
      }
    }
    for (const WeightInfo& info : net.weight_infos()) {
      if (!info.name.starts_with("memory." + number)) continue;
      const auto values = net.weight(info.name);
      weights.insert(weights.end(), values.begin(), values.end());
    }
    MemoryAugmentedAttentionConfig config;
    config.units = 6;
    config.memory_size = 4;
    config.num_heads = 2;
    config.residual = false;
    if (layer == left_out.layer) {
      config.memory_size = 3;  // the memory comes first, (slots, units)
      const auto row = weights.begin() + 6 * left_out.slot;
      weights.erase(row, row + 6);
    }
    std::vector<double> scores(static_cast<std::size_t>(kWindows * config.memory_size));
    MemoryAugmentedAttention<double>(config, weights)
        .forward(normed, {.batch = kWindows, .steps = 1}, read, {},
                 {.values = scores, .average_heads = true});
    result.scores.insert(result.scores.end(), scores.begin(), scores.end());
    for (std::size_t i = 0; i < z.size(); ++i) z[i] += read[i];
  }
  result.output.resize(kWindows * kOutputs);
  add_product(z, net.weight("head.kernel"), 6, kOutputs, result.output);
  add_product(skip(), net.weight("skip.kernel"), kSkip, kOutputs, result.output);
  for (std::size_t n = 0; net.options().past_seasons.seasons > 0 && n < kWindows; ++n) {
    for (std::size_t o = 0; o < kOutputs; ++o) {
      for (std::size_t p = 0; p < 4; ++p) {
        result.output[n * kOutputs + o] +=
            seasons()[(n * 4 + p) * 2 + o % 3 % 2] * net.weight("seasons.kernel")[p * kOutputs + o];
      }
    }
  }
  return result;
}

TEST(MemoryNetwork, ValueEqualsItsFormula) {
  for (const bool pre_norm : {false, true}) {
    const MemoryNetwork<double> net = network(with_past_seasons(options(pre_norm, 0)));
    EXPECT_LE(testing::relative_error(forward(net, -1), by_formula(net).output), 1e-13) << pre_norm;
  }
}

// Windows are independent: a few take another route through the layers, with the same bits.
TEST(MemoryNetwork, PredictEqualsForwardWithoutDropout) {
  for (const bool pre_norm : {false, true}) {
    const MemoryNetwork<double> net = network(with_input_dropout(options(pre_norm, 0.3)));
    const std::vector<double> expected = forward(net, -1);
    for (const std::size_t count : {std::size_t{1}, std::size_t{3}, std::size_t{kWindows}}) {
      std::vector<double> output(count * kOutputs, 99);
      MemoryNetworkActivations<double> activations;
      net.predict({std::span(features()).first(count * kFeatures),
                   std::span(skip()).first(count * kSkip), std::span(seasons()).first(count * 8)},
                  output, activations);
      EXPECT_TRUE(std::ranges::equal(output, std::span(expected).first(output.size()))) << count;
      EXPECT_TRUE(activations.scores.empty());
    }
  }
}

TEST(MemoryNetwork, ASlotLeftOutEqualsALayerWithoutIt) {
  for (const bool pre_norm : {false, true}) {
    const MemoryNetwork<double> net = network(options(pre_norm, 0));
    const std::vector<double> whole = forward(net, -1);
    for (const std::int64_t layer : {0, 1}) {
      for (std::int64_t slot = 0; slot < 4; ++slot) {
        const SlotLeftOut left_out{layer, slot};
        std::vector<double> output(kWindows * kOutputs, 99);
        MemoryNetworkActivations<double> activations;
        net.predict(inputs(), output, activations, &left_out);
        EXPECT_LE(testing::relative_error(output, by_formula(net, left_out).output), 1e-13)
            << pre_norm << layer << slot;
        EXPECT_GT(testing::relative_error(output, whole), 1e-4) << pre_norm << layer << slot;
      }
    }
  }
}

TEST(MemoryNetwork, ScoresEqualThoseOfItsLayers) {
  for (const bool pre_norm : {false, true}) {
    const MemoryNetwork<double> net = network(options(pre_norm, 0));
    std::vector<double> output(kWindows * kOutputs), scores(kWindows * 2 * 4, 99);
    MemoryNetworkActivations<double> activations;
    net.predict(inputs(), output, activations, nullptr, scores);
    EXPECT_EQ(output, forward(net, -1));
    const std::vector<double> expected = by_formula(net).scores;
    for (std::size_t n = 0; n < kWindows; ++n) {
      for (std::size_t i = 0; i < 2; ++i) {
        double sum = 0;
        for (std::size_t s = 0; s < 4; ++s) {
          const double score = scores[(n * 2 + i) * 4 + s];
          EXPECT_TRUE(std::abs(score - expected[(i * kWindows + n) * 4 + s]) <= 1e-13) << n << i;
          sum += score;
        }
        EXPECT_TRUE(std::abs(sum - 1) <= 1e-13) << n << i;
      }
    }
  }
}

TEST(MemoryNetwork, CountParamsNeedsOnlyTheOptions) {
  for (const bool pre_norm : {false, true}) {
    for (const std::int64_t layers : {0, 1, 3}) {
      const MemoryNetworkOptions these = options(pre_norm, 0, layers);
      EXPECT_EQ(count_params(these), MemoryNetwork<double>(these).count_params());
    }
  }
}

TEST(MemoryNetwork, AnUntrainedNetworkReturnsZero) {
  EXPECT_EQ(forward(MemoryNetwork<double>(with_past_seasons(options(true, 0.5))), 3),
            std::vector<double>(kWindows * kOutputs, 0));
}

TEST(MemoryNetwork, DropoutDependsOnTheStepAndOnlyInTraining) {
  const MemoryNetwork<double> with = network(options(false, 0.5)),
                              none = network(options(false, 0));
  EXPECT_EQ(forward(with, 3), forward(with, 3));
  EXPECT_NE(forward(with, 3), forward(with, 4));
  EXPECT_LE(testing::relative_error(forward(with, -1), forward(none, -1)), 1e-13);
}

TEST(MemoryNetwork, MemoriesFollowTheirInitializer) {
  MemoryNetworkOptions these = options(true, 0);
  these.memory_initializer.kind = MemoryInitializer::Kind::kZeros;
  const MemoryNetwork<double> zeros(these);
  for (const char* name : {"memory.0.memory", "memory.1.memory"}) {
    for (const double value : zeros.weight(name)) EXPECT_EQ(value, 0);
  }
}

TEST(MemoryNetwork, WeightsDependOnTheSeed) {
  MemoryNetworkOptions other = options(false, 0);
  other.seed = 6;
  const MemoryNetwork<double> first(options(false, 0)), second(options(false, 0)), third(other);
  EXPECT_TRUE(std::ranges::equal(first.parameters(), second.parameters()));
  for (const char* name : {"in.kernel", "memory.0.memory", "memory.1.query.kernel"}) {
    EXPECT_FALSE(std::ranges::equal(first.weight(name), third.weight(name))) << name;
  }
  EXPECT_FALSE(
      std::ranges::equal(first.weight("memory.0.memory"), first.weight("memory.1.memory")));
  EXPECT_THROW(first.weight("memory"), std::invalid_argument);
}

}  // namespace
}  // namespace memattn
