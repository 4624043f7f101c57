// Behaviour that float32 and float64 layers share, and that other tests try with only one of them:
// copies, moves, errors, kept scores, hosted weights, and sums of every size.
#include <gtest/gtest.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "layer/hosted.h"
#include "memattn/config.h"
#include "memattn/memory_augmented_attention.h"
#include "memattn/scores_cache.h"
#include "memattn/threads.h"
#include "testing/problem.h"

namespace memattn::testing {
namespace {

constexpr Tokens kTokens{.batch = 2, .steps = 3};
const MemoryAugmentedAttentionConfig kConfig{
    .units = 6, .memory_size = 5, .num_heads = 2, .seed = 1};

template <typename T>
class BothTypes : public ::testing::Test {
 protected:
  std::vector<T> outputs(const MemoryAugmentedAttention<T>& layer) const {
    std::vector<T> y(x_.size());
    layer.forward(x_, kTokens, y);
    return y;
  }

  // Returns the gradients of x and of the weights, one after the other.
  std::vector<T> gradients(const MemoryAugmentedAttention<T>& layer,
                           const ScoresCache<T>* kept = nullptr) const {
    std::vector<T> grad_x(x_.size()), grad(static_cast<std::size_t>(layer.count_params()));
    layer.backward(x_, grad_y_, kTokens, grad_x, grad, {}, kept);
    grad_x.insert(grad_x.end(), grad.begin(), grad.end());
    return grad_x;
  }

  const std::vector<T> x_ = normal_array<T>(2 * 3 * 6, 1);
  const std::vector<T> grad_y_ = normal_array<T>(2 * 3 * 6, 2);
};

using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(BothTypes, Types);

TYPED_TEST(BothTypes, CopiesAndMovesComputeTheSame) {
  using Layer = MemoryAugmentedAttention<TypeParam>;
  MemoryAugmentedAttentionConfig other = kConfig;
  other.units = 4;
  Layer layer(kConfig);
  layer.set_route(Route::kProjected);
  const auto expected = this->outputs(layer);
  Layer copy(other), moved(other);
  copy = layer;
  EXPECT_TRUE(same_bits(this->outputs(copy), expected));
  EXPECT_EQ(copy.forced_route(), Route::kProjected);
  const Layer& self = copy;
  copy = self;
  EXPECT_TRUE(same_bits(this->outputs(copy), expected));
  moved = std::move(copy);
  EXPECT_TRUE(same_bits(this->outputs(moved), expected));
  EXPECT_TRUE(same_bits(this->outputs(Layer(std::move(moved))), expected));
}

TYPED_TEST(BothTypes, ARefusedRouteOrNameChangesNothing) {
  MemoryAugmentedAttention<TypeParam> layer(kConfig);
  layer.set_route(Route::kFolded);
  const auto expected = this->outputs(layer);
  EXPECT_EQ(message_of([&] { layer.set_route(static_cast<Route>(7)); }),
            "set_route: route: found 7, expected kAuto, kFolded or kProjected");
  EXPECT_EQ(layer.forced_route(), Route::kFolded);
  const std::string unknown = message_of([&] { layer.set_weight("queries.kernel", {}); });
  EXPECT_TRUE(
      unknown.starts_with("set_weight: name: found \"queries.kernel\", expected one of "
                          "memory, query.kernel, "))
      << unknown;
  EXPECT_TRUE(same_bits(this->outputs(layer), expected));
}

TYPED_TEST(BothTypes, AnEditThatThrowsIsUndone) {
  MemoryAugmentedAttention<TypeParam> layer(kConfig);
  const auto expected = this->outputs(layer);
  const auto edit = [](std::span<TypeParam> parameters) {
    parameters[0] = 100;
    throw std::runtime_error("stop");
  };
  EXPECT_THROW(layer.update(edit), std::runtime_error);
  EXPECT_TRUE(same_bits(this->outputs(layer), expected));
}

TYPED_TEST(BothTypes, SummaryShowsEveryWeight) {
  for (const Route route : {Route::kFolded, Route::kProjected}) {
    MemoryAugmentedAttention<TypeParam> layer(kConfig);
    layer.set_route(route);
    const std::string summary = layer.summary();
    for (const WeightInfo& info : layer.weight_infos()) {
      EXPECT_NE(summary.find(info.name), std::string::npos) << summary;
    }
  }
}

TYPED_TEST(BothTypes, KeptScoresCanMoveAndBelongToTheirWeights) {
  MemoryAugmentedAttention<TypeParam> layer(kConfig);
  ScoresCache<TypeParam> cache, kept;
  std::vector<TypeParam> y(this->x_.size());
  layer.forward(this->x_, kTokens, y, {}, {}, &cache);
  kept = std::move(cache);
  const ScoresCache<TypeParam> moved(std::move(kept));
  ASSERT_TRUE(moved.holds_scores());
  EXPECT_TRUE(same_bits(this->gradients(layer, &moved), this->gradients(layer)));

  layer.update([](std::span<TypeParam> parameters) { parameters[0] += 1; });
  const std::string message = message_of([&] { this->gradients(layer, &moved); });
  EXPECT_NE(message.find(" and other weights, expected"), std::string::npos) << message;
}

TYPED_TEST(BothTypes, ACacheMayBeTooSmallButNotNegative) {
  EXPECT_THROW(ScoresCache<TypeParam>(-1), std::invalid_argument);
  MemoryAugmentedAttention<TypeParam> layer(kConfig);
  ScoresCache<TypeParam> none(0);
  std::vector<TypeParam> y(this->x_.size());
  layer.forward(this->x_, kTokens, y, {}, {}, &none);
  EXPECT_FALSE(none.holds_scores());
  EXPECT_TRUE(same_bits(this->gradients(layer, &none), this->gradients(layer)));
}

TYPED_TEST(BothTypes, HostedWeightsFoldWhenTheyChange) {
  MemoryAugmentedAttention<TypeParam> layer(kConfig);
  HostedLayer<MemoryAugmentedAttention<TypeParam>> hosted(kConfig);
  std::vector<TypeParam> values(layer.parameters().begin(), layer.parameters().end());
  std::vector<const TypeParam*> places;
  for (const WeightInfo& info : layer.weight_infos()) places.push_back(values.data() + info.offset);

  EXPECT_EQ(hosted.current(places), nullptr);
  const auto expect_as_layer = [&](HostedCall<MemoryAugmentedAttention<TypeParam>>& call) {
    std::vector<TypeParam> y(this->x_.size()), grad_x(y.size()), grad(values.size());
    call.layer().forward(this->x_, kTokens, y, {}, {}, call.cache());
    EXPECT_TRUE(call.kept()->holds_scores());
    call.layer().backward(this->x_, this->grad_y_, kTokens, grad_x, grad, {}, call.kept());
    EXPECT_TRUE(same_bits(y, this->outputs(layer)));
    grad_x.insert(grad_x.end(), grad.begin(), grad.end());
    EXPECT_TRUE(same_bits(grad_x, this->gradients(layer)));
  };
  expect_as_layer(*hosted.renew(places));
  expect_as_layer(*hosted.current(places));
  values[3] += 1;
  layer.set_parameters(values);
  EXPECT_EQ(hosted.current(places), nullptr);
  const auto held = hosted.renew(places);  // overwrites the fold, which no call holds
  expect_as_layer(*held);
  values[4] += 1;
  layer.set_parameters(values);
  expect_as_layer(*hosted.renew(places));  // beside the fold, which a call holds
  EXPECT_EQ(hosted.folds(), 3);
  places.pop_back();
  EXPECT_THROW(hosted.renew(places), std::invalid_argument);
  EXPECT_THROW(hosted.current(places), std::invalid_argument);
}

// The size of the parts whose gradients are summed separately depends on the size of the sums, and
// not on the number of threads.
TYPED_TEST(BothTypes, LargeSumsHaveTheSameBitsForAnyNumberOfThreads) {
  const int before = num_threads();
  for (const MemoryAugmentedAttentionConfig& config :
       {MemoryAugmentedAttentionConfig{.units = 128, .memory_size = 64, .num_heads = 8, .seed = 1},
        MemoryAugmentedAttentionConfig{
            .units = 256, .memory_size = 300, .num_heads = 8, .seed = 1}}) {
    MemoryAugmentedAttention<TypeParam> layer(config);
    layer.set_route(Route::kFolded);
    const Tokens tokens{.batch = 1, .steps = 400};
    const std::int64_t size = 400 * config.units;
    const auto x = normal_array<TypeParam>(size, 1), grad_y = normal_array<TypeParam>(size, 2);
    std::vector<TypeParam> expected;
    for (const int threads : {1, 3}) {
      set_num_threads(threads);
      std::vector<TypeParam> grad_x(x.size()), grad(static_cast<std::size_t>(layer.count_params()));
      layer.backward(x, grad_y, tokens, grad_x, grad);
      if (threads == 1) expected = grad;
      EXPECT_TRUE(same_bits(grad, expected));
    }
  }
  set_num_threads(before);
}

TEST(ConfigJson, RefusesInvalidValuesOfEnumerations) {
  MemoryAugmentedAttentionConfig config = kConfig;
  config.fully_masked = static_cast<FullyMasked>(9);
  EXPECT_THROW(static_cast<void>(to_json(config)), std::invalid_argument);
  config = kConfig;
  config.memory_initializer.kind = static_cast<MemoryInitializer::Kind>(9);
  EXPECT_THROW(static_cast<void>(to_json(config)), std::invalid_argument);
}

}  // namespace
}  // namespace memattn::testing
