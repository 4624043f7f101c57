// Out of memory at any allocation of any call of the layer: only std::bad_alloc is thrown, nothing
// leaks (checked by AddressSanitizer's build), and existing objects are unchanged.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/temporary_folder.h"
#include "memattn/errors.h"
#include "memattn/hierarchical_attention.h"
#include "memattn/layer_file.h"
#include "memattn/memory_augmented_attention.h"
#include "memattn/optimizers.h"
#include "memattn/runtime.h"
#include "memattn/scores_cache.h"
#include "memattn/threads.h"
#include "testing/arrays.h"
#include "testing/failing_allocations.h"

namespace memattn {
namespace {

using testing::normal_array;
using testing::read_all;
using testing::sweep_allocations;
using testing::TemporaryFolder;
using Layer = MemoryAugmentedAttention<float>;

constexpr Tokens kTokens = {.batch = 2, .steps = 5};
constexpr std::int64_t kValues = 2 * 5 * 6;

const MemoryAugmentedAttentionConfig& config() {
  static const MemoryAugmentedAttentionConfig config = {
      .units = 6, .memory_size = 5, .num_heads = 2, .value_dim = 3, .dropout = 0.1, .seed = 1};
  return config;
}

// The observable state of a layer: its weights and results, in its own precision and after a switch
// to another one.
struct Seen {
  std::vector<float> parameters, output, gradients;
  std::string summary;

  explicit Seen(const Layer& layer)
      : parameters(layer.parameters().begin(), layer.parameters().end()),
        output(kValues),
        gradients(parameters.size()),
        summary(layer.summary()) {
    const auto x = normal_array<float>(kValues, 2);
    layer.forward(x, kTokens, output);
    layer.backward(x, output, kTokens, {}, gradients);
  }
  bool operator==(const Seen&) const = default;
};

class OutOfMemory : public ::testing::Test {
 protected:
  // Calls attempt() with each of its allocations failing. After each failure `layer`, which
  // attempt() may change, must have its old state, and must be able to do everything that attempt()
  // does.
  template <typename Attempt>
  void sweep(const Layer& layer, const Attempt& attempt, int at_least = 1) {
    const Seen before(layer);
    const long failed = sweep_allocations(
        [&] {
          release_scratch();  // which is allocated only the first time
          attempt();
        },
        [&] { EXPECT_TRUE(Seen(layer) == before); });
    EXPECT_GE(failed, at_least);
  }

  std::vector<float> other_weights() const { return normal_array<float>(layer_.count_params(), 3); }

  Layer layer_{config()};
  std::vector<float> x_ = normal_array<float>(kValues, 4);
};

TEST_F(OutOfMemory, InConstruction) {
  sweep(layer_, [] { const Layer made(config()); }, 5);
  const std::vector<float> weights = other_weights();
  sweep(layer_, [&] { const Layer made(config(), weights); }, 5);
}

TEST_F(OutOfMemory, InCopies) {
  sweep(layer_, [&] { const Layer copy(layer_); }, 5);
  const Layer other(config(), other_weights());
  const Seen of_other(other), before(layer_);
  sweep(layer_, [&] {
    Layer copy(layer_);
    copy = other;
  });
  long failed = 0;
  for (;; ++failed) {
    if (!testing::fails_at_allocation(failed, testing::Failure::kForGood,
                                      [&] { layer_ = other; })) {
      break;
    }
    ASSERT_TRUE(Seen(layer_) == before);
  }
  EXPECT_GT(failed, 0);
  EXPECT_TRUE(Seen(layer_) == of_other);
}

TEST_F(OutOfMemory, InForwardAndBackward) {
  for (const Route route : {Route::kFolded, Route::kProjected}) {
    layer_.set_route(route);
    std::vector<float> y(kValues), grad_x(kValues), gradients(layer_.parameters().size());
    std::vector<float> scores(2 * 2 * 5 * 5);
    sweep(layer_, [&] { layer_.forward(x_, kTokens, y); });
    ScoresCache<float> kept;
    const auto train = [&] {
      layer_.forward(x_, kTokens, y, {.training = true}, {scores}, &kept);
      layer_.backward(x_, y, kTokens, grad_x, gradients, {.training = true}, &kept);
    };
    sweep(layer_, [&] {
      kept = ScoresCache<float>();
      train();
    });
    const std::vector<float> expected = gradients;
    train();
    EXPECT_EQ(gradients, expected);
  }
}

// A failed call must leave the layer unchanged for the next calls of the sweep.
TEST_F(OutOfMemory, InChangesOfWeights) {
  for (const Route route : {Route::kFolded, Route::kProjected}) {
    layer_.set_route(route);
    const std::vector<float> weights = other_weights();
    const std::vector<float> memory = normal_array<float>(5 * 6, 5);
    const auto sweep_change = [&](std::string_view name, auto change) {
      SCOPED_TRACE(name);
      const Seen before(layer_);
      Layer expected(layer_);
      change(expected);
      const Seen after(expected);
      for (const auto failure : {testing::Failure::kForGood, testing::Failure::kOnce}) {
        for (long index = 0;; ++index) {
          Layer changed(layer_);
          const bool failed = testing::fails_at_allocation(index, failure, [&] {
            release_scratch();
            change(changed);
          });
          ASSERT_TRUE(Seen(changed) == (failed ? before : after)) << "allocation " << index;
          if (!failed) break;
          change(changed);
          ASSERT_TRUE(Seen(changed) == after) << "after allocation " << index << " failed";
        }
      }
    };
    sweep_change("set_parameters", [&](Layer& layer) { layer.set_parameters(weights); });
    sweep_change("set_weight", [&](Layer& layer) { layer.set_weight("memory", memory); });
    sweep_change("update", [&](Layer& layer) {
      layer.update([&](std::span<float> parameters) {
        std::copy(weights.begin(), weights.end(), parameters.begin());
      });
    });
    sweep_change("step", [&](Layer& layer) {
      AdamW<float> optimizer({.learning_rate = 0.1});
      layer.update([&](std::span<float> parameters) { optimizer.step(parameters, weights); });
    });
    sweep_change("set_route", [&](Layer& layer) {
      layer.set_route(route == Route::kFolded ? Route::kProjected : Route::kFolded);
    });
  }
}

TEST_F(OutOfMemory, InSave) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / "layer";
  Layer(config(), other_weights()).save(file);
  const std::string before = read_all(file);
  const long failed =
      sweep_allocations([&] { layer_.save(folder / "new"); },
                        [&] {
                          std::filesystem::remove(folder / "new");
                          ASSERT_EQ(folder.names(), std::vector<std::string>{"layer"});
                        });
  EXPECT_GT(failed, 50);
  // Over an old file, which stays complete; only every seventh allocation, since each save syncs a
  // disk.
  for (long index = 0;; index += 7) {
    if (!testing::fails_at_allocation(index, testing::Failure::kForGood,
                                      [&] { layer_.save(file); })) {
      break;
    }
    ASSERT_EQ(read_all(file), before) << "allocation " << index;
  }
  EXPECT_EQ(read_all(file), read_all(folder / "new"));
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"layer", "new"}));
}

TEST_F(OutOfMemory, InLoad) {
  const TemporaryFolder folder;
  layer_.save(folder / "layer");
  sweep(layer_, [&] { EXPECT_NO_FATAL_FAILURE((void)Layer::load(folder / "layer")); }, 50);
  sweep(layer_, [&] { (void)layer_file_dtype(folder / "layer"); }, 50);
  EXPECT_TRUE(Seen(Layer::load(folder / "layer")) == Seen(layer_));
}

// The reader's errors allocate memory as well, at every stage.
TEST_F(OutOfMemory, InErrorsOfTheReader) {
  const TemporaryFolder folder;
  std::string many = "{";
  for (int i = 0; i < 40; ++i) many += "\"" + std::string(40, 'n') + std::to_string(i) + "\":[{}],";
  for (const std::string& header :
       {std::string("{"), std::string("{\"a\": nil}"), std::string("{\"a\": {\"a\":1,\"a\":2}}"),
        many + "\"a\":1}", many + "\"\xff\":1}", std::string("{\"a\":18446744073709551616}"),
        std::string(R"({"__metadata__":{"format":"memattn.MemoryAugmentedAttention",)"
                    R"("format_version":"1","config":"{\"units\":true}"}})")}) {
    testing::write_all(folder / "file", testing::safetensors_bytes(header));
    const auto attempt = [&] {
      try {
        (void)Layer::load(folder / "file");
        ADD_FAILURE() << "accepted: " << header;
      } catch (const FormatError&) {
        // The expected error.
      }
    };
    EXPECT_GT(sweep_allocations(attempt, [] {}), 5) << header;
  }
}

TEST_F(OutOfMemory, InJson) {
  const std::string text = to_json(config());
  EXPECT_GT(sweep_allocations([] { (void)to_json(config()); }, [] {}), 5);
  EXPECT_GT(sweep_allocations([&] { EXPECT_TRUE(config_from_json(text) == config()); }, [] {}), 5);
}

// The siblings fold during calls, so the calls may run out of memory.
template <typename Sibling, typename Config, typename Run>
void sweep_sibling(const Config& config, const Run& run) {
  Sibling layer(config);
  const std::vector<float> weights(layer.parameters().begin(), layer.parameters().end());
  const std::vector<float> before = run(layer);
  const auto expect_same = [&] {
    EXPECT_TRUE(std::ranges::equal(layer.parameters(), weights));
    EXPECT_EQ(run(layer), before);
  };
  const std::vector<float> other = normal_array<float>(layer.count_params(), 3);
  const auto sweep = [&](const auto& attempt) {
    EXPECT_GE(sweep_allocations(
                  [&] {
                    release_scratch();
                    attempt();
                  },
                  expect_same),
              1);
  };
  sweep([&] { static_cast<void>(Sibling(config)); });
  sweep([&] { static_cast<void>(Sibling(config, weights)); });
  sweep([&] {
    const Sibling copy = layer;
    EXPECT_EQ(run(copy), before);
  });
  sweep([&] { EXPECT_EQ(run(Sibling(config, weights)), before); });
  sweep([&] { layer = Sibling(config, weights); });
  sweep([&] {
    Sibling changed = layer;
    changed.update(
        [&](std::span<float> parameters) { std::ranges::copy(other, parameters.begin()); });
    EXPECT_NE(run(changed), before);
  });
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / "layer";
  layer.save(file);
  const std::string saved = read_all(file);
  // Over the file, which stays complete; only every few allocations, since each save syncs a disk.
  for (long index = 0;
       testing::fails_at_allocation(index, testing::Failure::kForGood, [&] { layer.save(file); });
       index += 7) {
    ASSERT_EQ(read_all(file), saved) << "allocation " << index;
  }
  EXPECT_EQ(folder.names(), std::vector<std::string>{"layer"});
  EXPECT_GT(sweep_allocations([&] { EXPECT_EQ(run(Sibling::load(file)), before); }, expect_same),
            50);
  EXPECT_GT(sweep_allocations([&] { static_cast<void>(layer_file_info(file)); }, expect_same), 50);
}

TEST(OutOfMemoryOfSiblings, InCrossAttention) {
  const auto x1 = normal_array<float>(2 * 5 * 4, 1), x2 = normal_array<float>(2 * 3 * 6, 2);
  sweep_sibling<CrossAttention<float>>(
      CrossAttentionConfig{.units = 6, .num_heads = 2, .source1_units = 4},
      [&](const CrossAttention<float>& layer) {
        constexpr CrossTokens tokens{.batch = 2, .steps1 = 5, .steps2 = 3};
        std::vector<float> y(2 * 5 * 6), grad(static_cast<std::size_t>(layer.count_params()));
        layer.forward(x1, x2, tokens, y);
        layer.backward(x1, x2, y, tokens, {}, {}, grad);
        y.insert(y.end(), grad.begin(), grad.end());
        return y;
      });
}

TEST(OutOfMemoryOfSiblings, InHierarchicalAttention) {
  const auto x1 = normal_array<float>(2 * 5 * 4, 1), x2 = normal_array<float>(2 * 5 * 6, 2);
  sweep_sibling<HierarchicalAttention<float>>(
      HierarchicalAttentionConfig{.units = 6, .num_heads = 2, .short_units = 4},
      [&](const HierarchicalAttention<float>& layer) {
        constexpr Tokens tokens{.batch = 2, .steps = 5};
        std::vector<float> y(2 * 5 * 6), grad(static_cast<std::size_t>(layer.count_params()));
        layer.forward(x1, x2, tokens, y);
        layer.backward(x1, x2, y, tokens, {}, {}, grad);
        y.insert(y.end(), grad.begin(), grad.end());
        return y;
      });
}

}  // namespace
}  // namespace memattn
