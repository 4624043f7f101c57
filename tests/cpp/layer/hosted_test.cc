// Weights that another program owns: folded only after a value has changed, and kept by the calls
// that use them.
#include "layer/hosted.h"

#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <vector>

#include "kernels/bfloat16.h"
#include "layer/weights.h"
#include "testing/problem.h"

namespace memattn::testing {
namespace {

using Memory = MemoryAugmentedAttention<float>;

const MemoryAugmentedAttentionConfig kConfig{.units = 6, .memory_size = 5, .num_heads = 2};
constexpr Tokens kTokens{.batch = 2, .steps = 3};
constexpr std::size_t kValues = 2 * 3 * 6;

// The weights of a framework, one array each.
struct Weights {
  explicit Weights(std::uint64_t seed) {
    MemoryAugmentedAttentionConfig config = kConfig;
    config.seed = seed;
    const MemoryAugmentedAttention<float> layer(config);
    for (const WeightInfo& info : layer.weight_infos()) {
      const auto values = layer.weight(info.name);
      arrays.emplace_back(values.begin(), values.end());
    }
  }

  std::vector<const float*> places() const {
    std::vector<const float*> all;
    for (const auto& array : arrays) all.push_back(array.data());
    return all;
  }
  MemoryAugmentedAttention<float> layer() const {
    std::vector<float> all;
    for (const auto& array : arrays) all.insert(all.end(), array.begin(), array.end());
    return MemoryAugmentedAttention<float>(kConfig, all);
  }

  std::vector<std::vector<float>> arrays;
};

std::vector<float> forward(HostedCall<Memory>& call, const std::vector<float>& x,
                           bool keep = false) {
  std::vector<float> y(x.size());
  call.layer().forward(x, kTokens, y, {}, {}, keep ? call.cache() : nullptr);
  return y;
}

std::vector<float> forward(const MemoryAugmentedAttention<float>& layer,
                           const std::vector<float>& x) {
  std::vector<float> y(x.size());
  layer.forward(x, kTokens, y);
  return y;
}

TEST(HostedLayer, FoldsOnceForEqualValues) {
  HostedLayer<Memory> hosted(kConfig);
  Weights weights(1);
  const auto x = normal_array<float>(kValues, 1);
  EXPECT_EQ(hosted.current(weights.places()), nullptr);
  EXPECT_EQ(hosted.folds(), 0);
  auto call = hosted.renew(weights.places());
  EXPECT_TRUE(same_bits(forward(*call, x), forward(weights.layer(), x)));
  EXPECT_TRUE(hosted.config() == kConfig);
  EXPECT_TRUE(call->layer().config() == kConfig);

  const Weights elsewhere = weights;  // the same values at other addresses
  EXPECT_NE(hosted.current(elsewhere.places()), nullptr);
  EXPECT_EQ(hosted.folds(), 1);
}

TEST(HostedLayer, DetectsEveryChangedBit) {
  HostedLayer<Memory> hosted(kConfig);
  Weights weights(1);
  weights.arrays[0][0] = std::numeric_limits<float>::quiet_NaN();
  hosted.renew(weights.places());
  EXPECT_NE(hosted.current(weights.places()), nullptr) << "a NaN equals itself";
  for (auto& array : weights.arrays) {
    array.back() = std::nextafter(array.back(), 10.0f);
    EXPECT_EQ(hosted.current(weights.places()), nullptr);
    hosted.renew(weights.places());
    EXPECT_NE(hosted.current(weights.places()), nullptr);
  }
  weights.arrays[2].assign(weights.arrays[2].size(), 0.0f);
  hosted.renew(weights.places());
  weights.arrays[2][0] = -0.0f;
  EXPECT_EQ(hosted.current(weights.places()), nullptr) << "0 is not -0";
}

TEST(HostedLayer, ACallKeepsTheWeightsItBeganWith) {
  HostedLayer<Memory> hosted(kConfig);
  const Weights before(1), after(2);
  const auto x = normal_array<float>(kValues, 1), grad_y = normal_array<float>(kValues, 2);
  auto call = hosted.renew(before.places());
  const auto y = forward(*call, x, true);
  auto next = hosted.renew(after.places());
  EXPECT_TRUE(same_bits(forward(*next, x), forward(after.layer(), x)));

  // Its backward pass, with the scores of its forward pass.
  std::vector<float> grad_x(x.size()), expected_x(x.size());
  std::vector<float> grad(static_cast<std::size_t>(hosted.count_params())), expected(grad.size());
  ASSERT_NE(call->kept(), nullptr);
  call->layer().backward(x, grad_y, kTokens, grad_x, grad, {}, call->kept());
  before.layer().backward(x, grad_y, kTokens, expected_x, expected);
  EXPECT_TRUE(same_bits(y, forward(before.layer(), x)));
  EXPECT_TRUE(same_bits(grad_x, expected_x));
  EXPECT_TRUE(same_bits(grad, expected));
}

TEST(HostedLayer, RefusesAWrongNumberOfWeights) {
  HostedLayer<Memory> hosted(kConfig);
  const std::vector<const float*> two(2);
  const std::string expected = "HostedLayer: weights: found 2 addresses, expected 9";
  EXPECT_EQ(message_of([&] { hosted.current(two); }), expected);
  EXPECT_EQ(message_of([&] { hosted.renew(two); }), expected);
  EXPECT_THROW(HostedLayer<Memory>({.units = 4, .memory_size = -1, .num_heads = 1}),
               std::invalid_argument);
}

// Threads with different weights on one hosted layer: each gets the results of its own weights.
TEST(HostedLayer, ConcurrentThreadsGetTheResultsOfTheirWeights) {
  HostedLayer<Memory> hosted(kConfig);
  const auto x = normal_array<float>(kValues, 1);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    threads.emplace_back([&, seed] {
      const Weights weights(1 + seed % 2);
      const auto expected = forward(weights.layer(), x);
      for (int i = 0; i < 200; ++i) {
        auto call = hosted.current(weights.places());
        if (!call) call = hosted.renew(weights.places());
        if (!same_bits(forward(*call, x, true), expected)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

// The layers of two inputs, which fold when a call needs it.
const CrossAttentionConfig kCross{.units = 6, .num_heads = 2, .source2_units = 3};
const HierarchicalAttentionConfig kHierarchical{.units = 6, .num_heads = 2, .long_units = 3};

template <typename Layer>
std::vector<float> pair_forward(const Layer& layer) {
  const auto first = normal_array<float>(kValues, 1), second = normal_array<float>(kValues / 2, 2);
  std::vector<float> y(kValues);
  if constexpr (std::is_same_v<Layer, CrossAttention<float>>) {
    layer.forward(first, second, {.batch = 2, .steps1 = 3, .steps2 = 3}, y);
  } else {
    layer.forward(first, second, kTokens, y);
  }
  return y;
}

template <typename Layer>
void expect_to_follow_its_weights(const ConfigOf<Layer>& config) {
  const auto values = normal_array<float>(count_params(config), 3);
  Layer expected(config, values);
  HostedLayer<Layer> hosted(config, SequenceRoute::kRightValue);
  std::vector<float> given = values;
  std::vector<const float*> places;
  for (const WeightInfo& info : expected.weight_infos()) {
    places.push_back(given.data() + info.offset);
  }
  EXPECT_EQ(hosted.current(places), nullptr);
  for (int change = 0; change < 3; ++change) {
    auto call = hosted.renew(places);
    EXPECT_EQ(call->layer().forced_route(), SequenceRoute::kRightValue);
    EXPECT_FALSE(call->has_folds(1)) << "folds of the earlier weights";
    call->note_folds(3);
    EXPECT_TRUE(call->has_folds(1) && call->has_folds(2) && !call->has_folds(4));
    expected.set_route(SequenceRoute::kRightValue);
    EXPECT_TRUE(same_bits(pair_forward(call->layer()), pair_forward(expected)));
    call = hosted.current(places);
    ASSERT_NE(call, nullptr);
    EXPECT_TRUE(call->has_folds(3));
    EXPECT_TRUE(same_bits(pair_forward(call->layer()), pair_forward(expected)));

    given[static_cast<std::size_t>(change)] += 1;
    EXPECT_EQ(hosted.current(places), nullptr);
    EXPECT_TRUE(same_bits(pair_forward(call->layer()), pair_forward(expected)))
        << "with the weights it began with";
    expected.set_parameters(given);
    if (change == 1) call.reset();  // its memory is reused
    hosted.renew(places);
  }
  EXPECT_EQ(hosted.folds(), 6);
}

TEST(HostedLayer, PairLayersFollowChangesOfTheirWeights) {
  expect_to_follow_its_weights<CrossAttention<float>>(kCross);
  expect_to_follow_its_weights<HierarchicalAttention<float>>(kHierarchical);
}

TEST(HostedLayer, PairLayersRefuseInvalidConfigs) {
  EXPECT_THROW(HostedLayer<CrossAttention<float>>({.units = 4, .num_heads = 0}),
               std::invalid_argument);
  EXPECT_THROW(HostedLayer<HierarchicalAttention<float>>({.units = 0, .num_heads = 1}),
               std::invalid_argument);
}

TEST(Hosted, HoldsBfloat16ComparesBitByBit) {
  const std::vector<std::uint16_t> halves = {0x3f80, 0x8000, 0x7fc0, 0x0001, 0xff80};
  std::vector<float> floats;
  for (const std::uint16_t half : halves) floats.push_back(kernels::from_bfloat16(half));
  EXPECT_TRUE(holds_bfloat16(floats, halves));
  EXPECT_FALSE(holds_bfloat16(floats, std::span(halves).first(4)));
  for (std::size_t i = 0; i < floats.size(); ++i) {
    auto others = floats;
    others[i] = i == 1 ? 0.0f : std::bit_cast<float>(std::bit_cast<std::uint32_t>(others[i]) ^ 1u);
    EXPECT_FALSE(holds_bfloat16(others, halves)) << i;
  }
}

}  // namespace
}  // namespace memattn::testing
