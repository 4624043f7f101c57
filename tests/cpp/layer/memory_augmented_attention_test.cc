// The promises of the class besides its numbers: checks before anything is written, empty calls,
// masks and scores without side effects, weights by name, one fold per change, and use by many
// threads.
#include "memattn/memory_augmented_attention.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "check.h"
#include "testing/problem.h"

namespace memattn::testing {
namespace {

using Layer = MemoryAugmentedAttention<float>;

MemoryAugmentedAttentionConfig small_config() {
  return {.units = 6, .memory_size = 5, .num_heads = 2, .seed = 7};
}

std::vector<float> run(const Layer& layer, const std::vector<float>& x, std::int64_t batch,
                       const CallOptions& options = {}) {
  std::vector<float> y(x.size());
  layer.forward(
      x,
      {.batch = batch, .steps = static_cast<std::int64_t>(x.size()) / batch / layer.config().units},
      y, options);
  return y;
}

TEST(MemoryAugmentedAttention, StartsAsDocumented) {
  MemoryAugmentedAttentionConfig config{
      .units = 64, .memory_size = 300, .num_heads = 4, .key_dim = 16, .value_dim = 8};
  config.memory_initializer.stddev = 2;
  const MemoryAugmentedAttention<double> layer(config);
  const auto memory = layer.weight("memory");
  double sum = 0, squares = 0;
  for (const double value : memory) sum += value, squares += value * value;
  const auto count = static_cast<double>(memory.size());
  EXPECT_NEAR(sum / count, 0, 0.05);
  EXPECT_NEAR(std::sqrt(squares / count), 2, 0.05);
  EXPECT_EQ(largest_magnitude(layer.weight("query.bias")), 0);
  // Keras' fans: the first axis multiplies both of the others.
  const auto expect_uniform = [](std::span<const double> values, double limit) {
    EXPECT_LT(largest_magnitude(values), limit);
    EXPECT_GT(largest_magnitude(values), 0.97 * limit);
    double square = 0;
    for (const double value : values) square += value * value;
    EXPECT_NEAR(std::sqrt(3 * square / static_cast<double>(values.size())), limit, 0.03 * limit);
  };
  expect_uniform(layer.weight("query.kernel"), std::sqrt(6.0 / (64 * 4 + 64 * 16)));
  expect_uniform(layer.weight("value.kernel"), std::sqrt(6.0 / (64 * 4 + 64 * 8)));
  expect_uniform(layer.weight("output.kernel"), std::sqrt(6.0 / (4 * 8 + 4 * 64)));

  config.memory_initializer = {MemoryInitializer::Kind::kGlorotUniform};
  expect_uniform(MemoryAugmentedAttention<double>(config).weight("memory"),
                 std::sqrt(6.0 / (300 + 64)));
  config.memory_initializer = {MemoryInitializer::Kind::kZeros};
  EXPECT_EQ(largest_magnitude(MemoryAugmentedAttention<double>(config).weight("memory")), 0);
}

TEST(MemoryAugmentedAttention, WeightsDependOnTheSeed) {
  MemoryAugmentedAttentionConfig config = small_config();
  const Layer first(config), again(config);
  EXPECT_TRUE(same_bits(first.parameters(), again.parameters()));
  ++config.seed;
  EXPECT_FALSE(same_bits(first.weight("memory"), Layer(config).weight("memory")));
}

TEST(MemoryAugmentedAttention, NamesItsWeightsInKerasOrder) {
  const Layer layer({.units = 6, .memory_size = 5, .num_heads = 2, .key_dim = 3, .value_dim = 4});
  std::string names;
  for (const WeightInfo& info : layer.weight_infos()) {
    names += info.name + to_text(info.shape) + " ";
  }
  EXPECT_EQ(names,
            "memory(5, 6) query.kernel(6, 2, 3) query.bias(2, 3) key.kernel(6, 2, 3) "
            "key.bias(2, 3) value.kernel(6, 2, 4) value.bias(2, 4) output.kernel(2, 4, 6) "
            "output.bias(6,) ");
  EXPECT_EQ(layer.count_params(), 30 + 2 * 42 + 48 + 8 + 48 + 6);
  EXPECT_EQ(message_of([&] { static_cast<void>(layer.weight("kernel")); }),
            "weight: name: found \"kernel\", expected one of memory, query.kernel, query.bias, "
            "key.kernel, key.bias, value.kernel, value.bias, output.kernel, output.bias");
  MemoryAugmentedAttentionConfig config = layer.config();
  config.use_bias = false;
  EXPECT_EQ(Layer(config).weight_infos().size(), 5u);
}

TEST(MemoryAugmentedAttention, SummaryShowsWeightsAndRoute) {
  EXPECT_EQ(Layer({.units = 64, .memory_size = 20, .num_heads = 4}).summary(),
            "MemoryAugmentedAttention  float32  folded route  units 64  memory_size 20  "
            "num_heads 4  key_dim 64  value_dim 64\n"
            "  memory          (20, 64)            1,280\n"
            "  query.kernel    (64, 4, 64)         16,384\n"
            "  query.bias      (4, 64)             256\n"
            "  key.kernel      (64, 4, 64)         16,384\n"
            "  key.bias        (4, 64)             256\n"
            "  value.kernel    (64, 4, 64)         16,384\n"
            "  value.bias      (4, 64)             256\n"
            "  output.kernel   (4, 64, 64)         16,384\n"
            "  output.bias     (64,)               64\n"
            "  total                               67,648\n");
}

TEST(MemoryAugmentedAttention, ChoosesTheRouteWithLessWork) {
  MemoryAugmentedAttentionConfig config = small_config();
  EXPECT_EQ(Layer(config).route(), Route::kFolded);
  config.key_dim = 1;  // 2*6*5 > 6*1 + 1*5 + 5*1 + 1*6
  EXPECT_EQ(Layer(config).route(), Route::kProjected);
  config.key_dim = 3;  // 60 <= 6*3 + 3*5 + 5*3 + 3*6 = 66
  EXPECT_EQ(Layer(config).route(), Route::kFolded);
  Layer layer(config);
  layer.set_route(Route::kProjected);
  EXPECT_EQ(layer.route(), Route::kProjected);
  EXPECT_EQ(Layer(layer).route(), Route::kProjected);
  layer.set_route(Route::kAuto);
  EXPECT_EQ(layer.route(), Route::kFolded);
}

TEST(MemoryAugmentedAttention, EveryChangeOfWeightsTakesEffect) {
  Layer layer(small_config());
  const auto x = normal_array<float>(2 * 3 * 6, 1);
  const auto other = Layer({.units = 6, .memory_size = 5, .num_heads = 2, .seed = 8});
  const auto before = run(layer, x, 2), expected = run(other, x, 2);
  ASSERT_FALSE(same_bits(before, expected));

  layer.set_parameters(other.parameters());
  EXPECT_TRUE(same_bits(run(layer, x, 2), expected));
  Layer by_name(small_config());
  for (const WeightInfo& info : other.weight_infos()) {
    by_name.set_weight(info.name, other.weight(info.name));
  }
  EXPECT_TRUE(same_bits(run(by_name, x, 2), expected));
  Layer by_update(small_config());
  by_update.update(
      [&](std::span<float> all) { std::ranges::copy(other.parameters(), all.begin()); });
  EXPECT_TRUE(same_bits(run(by_update, x, 2), expected));
}

TEST(MemoryAugmentedAttention, AnEditThatThrowsIsUndone) {
  Layer layer(small_config());
  const auto x = normal_array<float>(2 * 3 * 6, 1);
  const std::vector<float> weights(layer.parameters().begin(), layer.parameters().end());
  const auto before = run(layer, x, 2);
  EXPECT_THROW(layer.update([&](std::span<float> all) {
    std::ranges::fill(all, 0.5f);
    throw std::runtime_error("after the edit");
  }),
               std::runtime_error);
  EXPECT_TRUE(same_bits(layer.parameters(), std::span<const float>(weights)));
  EXPECT_TRUE(same_bits(run(layer, x, 2), before));
}

TEST(MemoryAugmentedAttention, SettersAcceptTheLayersOwnWeights) {
  Layer layer(small_config());
  const auto x = normal_array<float>(2 * 3 * 6, 1);
  const auto before = run(layer, x, 2);
  layer.set_parameters(layer.parameters());
  layer.set_weight("query.kernel", layer.weight("query.kernel"));
  EXPECT_TRUE(same_bits(run(layer, x, 2), before));
  // A part of the buffer that overlaps the weight: the call uses its earlier values.
  const auto size = static_cast<std::size_t>(layer.weight("query.kernel").size());
  const auto shifted = layer.parameters().subspan(layer.weight("memory").size() - 1, size);
  const std::vector<float> expected(shifted.begin(), shifted.end());
  layer.set_weight("query.kernel", shifted);
  EXPECT_TRUE(same_bits(layer.weight("query.kernel"), std::span<const float>(expected)));
}

TEST(MemoryAugmentedAttention, CopiesAreIndependent) {
  Layer layer(small_config());
  const auto x = normal_array<float>(6, 1);
  Layer copy(layer), assigned(Layer({.units = 1, .memory_size = 1, .num_heads = 1}));
  assigned = layer;
  const auto before = run(layer, x, 1);
  layer.update([](std::span<float> all) { std::ranges::fill(all, 0.5f); });
  EXPECT_FALSE(same_bits(run(layer, x, 1), before));
  EXPECT_TRUE(same_bits(run(copy, x, 1), before));
  EXPECT_TRUE(same_bits(run(assigned, x, 1), before));
  const Layer moved(std::move(copy));
  EXPECT_TRUE(same_bits(run(moved, x, 1), before));
}

TEST(MemoryAugmentedAttention, ScoresDoNotChangeTheOutput) {
  MemoryAugmentedAttentionConfig config = small_config();
  config.dropout = 0.3;
  for (const Route route : {Route::kFolded, Route::kProjected}) {
    Layer layer(config);
    layer.set_route(route);
    const auto x = normal_array<float>(4 * 7 * 6, 1);
    const CallOptions options{.training = true};
    std::vector<float> y(x.size()), scores(4 * 2 * 7 * 5), mean(4 * 7 * 5);
    layer.forward(x, {.batch = 4, .steps = 7}, y, options, {scores});
    EXPECT_TRUE(same_bits(y, run(layer, x, 4, options)));
    layer.forward(x, {.batch = 4, .steps = 7}, y, options, {mean, true});
    EXPECT_TRUE(same_bits(y, run(layer, x, 4, options)));
    for (std::size_t i = 0; i < mean.size(); ++i) {
      const std::size_t b = i / 35, rest = i % 35;
      EXPECT_FLOAT_EQ(mean[i], (scores[b * 70 + rest] + scores[b * 70 + 35 + rest]) / 2);
    }
    for (std::size_t row = 0; row < scores.size() / 5; ++row) {
      float sum = 0;
      for (std::size_t s = 0; s < 5; ++s) sum += scores[row * 5 + s];
      EXPECT_NEAR(sum, 1, 1e-6);  // before dropout
    }
  }
}

// Tokens do not see each other: any split of the batch gives the same bits, in place or not.
TEST(MemoryAugmentedAttention, AnySplitOfTheTokensGivesTheSameBits) {
  const Layer layer({.units = 33, .memory_size = 17, .num_heads = 5});
  const auto x = normal_array<float>(50 * 33, 1);
  const auto whole = run(layer, x, 1);
  EXPECT_TRUE(same_bits(run(layer, x, 5), whole));
  std::vector<float> tokens(x.size() + 1);
  for (std::size_t t = 0; t < 50; ++t) {
    layer.forward(std::span(x).subspan(t * 33, 33), {.batch = 1, .steps = 1},
                  std::span(tokens).subspan(t * 33 + 1, 33));
  }
  EXPECT_TRUE(same_bits(std::span(tokens).subspan(1), whole));
  auto in_place = x;
  layer.forward(in_place, {.batch = 1, .steps = 50}, in_place);
  EXPECT_TRUE(same_bits(in_place, whole));
}

TEST(MemoryAugmentedAttention, EmptyCallsGiveEmptyResults) {
  const Layer layer(small_config());
  std::vector<float> none, grad(layer.parameters().size(), 1.0f);
  EXPECT_NO_THROW(layer.forward(none, {.batch = 0, .steps = 5}, none));
  EXPECT_NO_THROW(layer.forward(none, {.batch = 3, .steps = 0}, none));
  EXPECT_NO_THROW(layer.forward(none, {.batch = 0, .steps = 0}, none, {.use_causal_mask = true}));
  layer.backward(none, none, {.batch = 3, .steps = 0}, none, grad);
  EXPECT_EQ(largest_magnitude(grad), 0);
}

TEST(MemoryAugmentedAttention, RefusesWrongSizesBeforeWriting) {
  const Layer layer(small_config());
  const std::vector<float> x(36);
  std::vector<float> y(36, 9.0f), scores(60, 9.0f), grad(layer.parameters().size(), 9.0f);
  const auto forward = [&](const CallOptions& options, std::span<float> wanted = {}) {
    return message_of([&] { layer.forward(x, {.batch = 2, .steps = 3}, y, options, {wanted}); });
  };
  const std::vector<std::uint8_t> keep(35, 1);
  EXPECT_EQ(message_of([&] { layer.forward(x, {.batch = 2, .steps = 4}, y); }),
            "forward: x: found 36 values, expected batch * steps * units = 2 * 4 * 6 = 48");
  EXPECT_EQ(message_of([&] { layer.forward(x, {.batch = 2, .steps = 3}, std::span(y).first(30)); }),
            "forward: y: found 30 values, expected batch * steps * units = 2 * 3 * 6 = 36");
  EXPECT_EQ(message_of([&] { layer.forward(x, {.batch = -1, .steps = 3}, y); }),
            "forward: batch: found -1, expected at least 0");
  EXPECT_EQ(message_of([&] { layer.forward(x, {.batch = std::int64_t{1} << 62, .steps = 4}, y); }),
            "forward: batch * steps * units: found 4611686018427387904 * 4 * 6, expected a product "
            "below 2^63");
  // Even if the product modulo 2^64 equals the number of values.
  EXPECT_EQ(
      message_of([&] { layer.forward({}, {.batch = std::int64_t{1} << 62, .steps = 4}, {}); }),
      "forward: batch * steps * units: found 4611686018427387904 * 4 * 6, expected a product "
      "below 2^63");
  EXPECT_EQ(forward({.attention_mask = {keep, 2, 3, 4}}),
            "forward: attention_mask: found shape (2, 3, 4), expected something that broadcasts to "
            "(batch, steps, memory_size) = (2, 3, 5)");
  EXPECT_EQ(forward({.attention_mask = {keep, 1, 3, 5}}),
            "forward: attention_mask.keep: found 35 values, expected batch * steps * slots = 1 * 3 "
            "* 5 = 15");
  EXPECT_EQ(forward({.query_mask = keep}),
            "forward: query_mask: found 35 values, expected batch * steps = 2 * 3 = 6");
  EXPECT_EQ(forward({.value_mask = keep}),
            "forward: value_mask: found 35 values, expected batch * memory_size = 2 * 5 = 10");
  EXPECT_EQ(forward({}, std::span(scores).first(59)),
            "forward: scores: found 59 values, expected batch * num_heads * steps * memory_size = "
            "2 * 2 * 3 * 5 = 60");
  EXPECT_EQ(message_of([&] {
              layer.backward(x, x, {.batch = 2, .steps = 3}, std::span(y).first(6), grad);
            }),
            "backward: grad_x: found 6 values, expected batch * steps * units = 2 * 3 * 6 = 36");
  EXPECT_EQ(message_of([&] {
              layer.backward(x, x, {.batch = 2, .steps = 3}, y, std::span(grad).first(1));
            }),
            concat("backward: grad_parameters: found 1 values, expected count_params() = ",
                   layer.count_params()));
  for (const auto& untouched : {y, scores, grad}) {
    EXPECT_TRUE(std::ranges::all_of(untouched, [](float value) { return value == 9.0f; }));
  }
}

TEST(MemoryAugmentedAttention, RefusesOverlappingBuffers) {
  const Layer layer(small_config());
  std::vector<float> pool(200, 9.0f), grad(layer.parameters().size());
  const std::span<float> x = std::span(pool).first(36), later = std::span(pool).subspan(35, 36);
  EXPECT_EQ(message_of([&] { layer.forward(x, {.batch = 2, .steps = 3}, later); }),
            "forward: y: found memory that it shares with x, expected memory of its own");
  EXPECT_EQ(message_of([&] {
              layer.forward(x, {.batch = 2, .steps = 3}, x, {}, {std::span(pool).subspan(30, 60)});
            }),
            "forward: scores: found memory that it shares with y, expected memory of its own");
  EXPECT_EQ(message_of([&] { layer.backward(x, x, {.batch = 2, .steps = 3}, x, grad); }),
            "backward: grad_x: found memory that it shares with x, expected memory of its own");
  const std::span<const float> own = layer.weight("memory").first(6);
  const std::span<float> writable(const_cast<float*>(own.data()), 6);
  EXPECT_EQ(message_of([&] { layer.forward(x.first(6), {.batch = 1, .steps = 1}, writable); }),
            "forward: y: found memory that it shares with the layer's own weights, expected memory "
            "of its own");
  EXPECT_TRUE(std::ranges::all_of(pool, [](float value) { return value == 9.0f; }));
}

TEST(MemoryAugmentedAttention, GradientOfXIsOptional) {
  const Layer layer(small_config());
  const auto x = normal_array<float>(36, 1), g = normal_array<float>(36, 2);
  std::vector<float> grad_x(36), with(layer.parameters().size()), without(with.size());
  layer.backward(x, g, {.batch = 2, .steps = 3}, grad_x, with);
  layer.backward(x, g, {.batch = 2, .steps = 3}, {}, without);
  EXPECT_TRUE(same_bits(with, without));
}

TEST(MemoryAugmentedAttention, DropoutFollowsSeedAndStep) {
  MemoryAugmentedAttentionConfig config{
      .units = 4, .memory_size = 2000, .num_heads = 1, .dropout = 0.25, .seed = 5};
  const Layer layer(config);
  const auto x = normal_array<float>(4, 1);
  const auto still = run(layer, x, 1);
  EXPECT_TRUE(same_bits(run(layer, x, 1, {.dropout_step = 9}), still));  // not training
  const auto first = run(layer, x, 1, {.training = true, .dropout_step = 1});
  EXPECT_FALSE(same_bits(first, still));
  EXPECT_TRUE(same_bits(run(layer, x, 1, {.training = true, .dropout_step = 1}), first));
  EXPECT_FALSE(same_bits(run(layer, x, 1, {.training = true, .dropout_step = 2}), first));
  config.seed = 6;
  const Layer reseeded(config, layer.parameters());
  EXPECT_FALSE(same_bits(run(reseeded, x, 1, {.training = true, .dropout_step = 1}), first));
  // Dropout is inverted: the mean over many draws is the output without dropout.
  std::vector<double> mean(4);
  for (std::uint64_t step = 0; step < 4000; ++step) {
    const auto y = run(layer, x, 1, {.training = true, .dropout_step = step});
    for (std::size_t u = 0; u < 4; ++u) mean[u] += static_cast<double>(y[u]) / 4000;
  }
  for (std::size_t u = 0; u < 4; ++u) EXPECT_NEAR(mean[u], static_cast<double>(still[u]), 2e-3);
}

TEST(MemoryAugmentedAttention, ManyThreadsMayUseOneLayer) {
  const Layer layer({.units = 16, .memory_size = 12, .num_heads = 3});
  const auto x = normal_array<float>(40 * 16, 1), g = normal_array<float>(40 * 16, 2);
  const auto expected = run(layer, x, 4);
  std::vector<float> expected_grad(layer.parameters().size());
  layer.backward(x, g, {.batch = 4, .steps = 10}, {}, expected_grad);
  std::vector<int> failures(8);
  std::vector<std::thread> threads;
  for (std::size_t id = 0; id < failures.size(); ++id) {
    threads.emplace_back([&, id] {
      std::vector<float> grad(expected_grad.size());
      for (int i = 0; i < 20; ++i) {
        failures[id] += !same_bits(run(layer, x, 4), expected);
        layer.backward(x, g, {.batch = 4, .steps = 10}, {}, grad);
        failures[id] += !same_bits(grad, expected_grad);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, std::vector<int>(8, 0));
}

}  // namespace
}  // namespace memattn::testing
