// The tables of weights of every layer: names, shapes, offsets, pointers and initial values.
#include "layer/weights.h"

#include <cmath>
#include <concepts>
#include <set>
#include <string>
#include <vector>

#include "check.h"
#include "kernels/random.h"
#include "testing/arrays.h"

namespace memattn::testing {
namespace {

const CrossAttentionConfig kCross{.units = 6,
                                  .num_heads = 2,
                                  .source1_units = 5,
                                  .source2_units = 7,
                                  .key_dim = 3,
                                  .value_dim = 4,
                                  .seed = 7};
const HierarchicalAttentionConfig kHierarchical{.units = 6,
                                                .num_heads = 2,
                                                .short_units = 5,
                                                .long_units = 7,
                                                .key_dim = 3,
                                                .value_dim = 4,
                                                .seed = 7};

template <typename Config>
std::string table_of(const Config& config) {
  std::string table;
  for (const WeightInfo& info : weight_infos(config)) {
    table += info.name + to_text(info.shape) + " ";
  }
  return table;
}

// Expects each weight to begin where the previous one ends.
template <typename Config>
void expect_places(const Config& config) {
  std::int64_t end = 0;
  for (const WeightInfo& info : weight_infos(config)) {
    std::int64_t size = 1;
    for (const std::int64_t dimension : info.shape) size *= dimension;
    EXPECT_EQ(info.offset, end) << info.name;
    EXPECT_EQ(info.size, size) << info.name;
    end += size;
  }
  EXPECT_EQ(count_params(config), end);
}

TEST(WeightInfos, ListCrossAttentionsWeights) {
  EXPECT_EQ(table_of(kCross),
            "source1.kernel(5, 6) source1.bias(6,) source2.kernel(7, 6) source2.bias(6,) "
            "query.kernel(6, 2, 3) query.bias(2, 3) key.kernel(6, 2, 3) key.bias(2, 3) "
            "value.kernel(6, 2, 4) value.bias(2, 4) output.kernel(2, 4, 6) output.bias(6,) ");
  expect_places(kCross);
  EXPECT_EQ(count_params(kCross), 36 + 48 + 42 + 42 + 56 + 54);
  CrossAttentionConfig config = kCross;
  config.use_bias = false;
  EXPECT_EQ(table_of(config),
            "source1.kernel(5, 6) source2.kernel(7, 6) query.kernel(6, 2, 3) key.kernel(6, 2, 3) "
            "value.kernel(6, 2, 4) output.kernel(2, 4, 6) ");
  expect_places(config);
  EXPECT_EQ(table_of(CrossAttentionConfig{.units = 3, .num_heads = 1}),
            "source1.kernel(3, 3) source1.bias(3,) source2.kernel(3, 3) source2.bias(3,) "
            "query.kernel(3, 1, 3) query.bias(1, 3) key.kernel(3, 1, 3) key.bias(1, 3) "
            "value.kernel(3, 1, 3) value.bias(1, 3) output.kernel(1, 3, 3) output.bias(3,) ");
}

TEST(WeightInfos, ListHierarchicalAttentionsWeights) {
  EXPECT_EQ(table_of(kHierarchical),
            "short.dense.kernel(5, 6) short.dense.bias(6,) "
            "long.dense.kernel(7, 6) long.dense.bias(6,) "
            "short.query.kernel(6, 2, 3) short.query.bias(2, 3) "
            "short.key.kernel(6, 2, 3) short.key.bias(2, 3) "
            "short.value.kernel(6, 2, 4) short.value.bias(2, 4) "
            "short.output.kernel(2, 4, 6) short.output.bias(6,) "
            "long.query.kernel(6, 2, 3) long.query.bias(2, 3) "
            "long.key.kernel(6, 2, 3) long.key.bias(2, 3) "
            "long.value.kernel(6, 2, 4) long.value.bias(2, 4) "
            "long.output.kernel(2, 4, 6) long.output.bias(6,) ");
  expect_places(kHierarchical);
  EXPECT_EQ(count_params(kHierarchical), 36 + 48 + 2 * (42 + 42 + 56 + 54));
  HierarchicalAttentionConfig config = kHierarchical;
  config.use_bias = false;
  EXPECT_EQ(weight_infos(config).size(), 10u);
  expect_places(config);
}

TEST(SequenceDims, FollowTheConfig) {
  const kernels::SequenceDims cross = sequence_dims_of(kCross);
  EXPECT_EQ(std::vector({cross.units, cross.source1_units, cross.source2_units, cross.num_heads,
                         cross.key_dim, cross.value_dim}),
            std::vector<std::int64_t>({6, 5, 7, 2, 3, 4}));
  EXPECT_FALSE(cross.one_source);
  const auto sides = sequence_dims_of(kHierarchical);
  for (std::size_t i = 0; i < 2; ++i) {
    const kernels::SequenceDims& side = sides[i];
    const std::int64_t features = i == 0 ? 5 : 7;
    EXPECT_EQ(std::vector({side.units, side.source1_units, side.source2_units, side.num_heads,
                           side.key_dim, side.value_dim}),
              std::vector<std::int64_t>({6, features, features, 2, 3, 4}));
    EXPECT_TRUE(side.one_source);
  }
}

// The pointers of an attention, in the order of its layer's table, without null pointers.
using Pointers = std::vector<const float*>;
void append_attention(const kernels::AttentionWeights<const float>& w, Pointers& all) {
  for (const float* pointer : {w.query_kernel, w.query_bias, w.key_kernel, w.key_bias,
                               w.value_kernel, w.value_bias, w.output_kernel, w.output_bias}) {
    if (pointer) all.push_back(pointer);
  }
}

Pointers pointers_of(const CrossAttentionConfig& config, const float* parameters) {
  const auto infos = weight_infos(config);
  const auto w = sequence_weights(infos, parameters);
  Pointers all;
  for (const float* pointer :
       {w.source1_kernel, w.source1_bias, w.source2_kernel, w.source2_bias}) {
    if (pointer) all.push_back(pointer);
  }
  append_attention(w, all);
  return all;
}

Pointers pointers_of(const HierarchicalAttentionConfig& config, const float* parameters) {
  const auto infos = weight_infos(config);
  const auto sides = hierarchical_weights(infos, parameters);
  Pointers all;
  for (const auto& side : sides) {
    EXPECT_EQ(side.source2_kernel, side.source1_kernel);
    EXPECT_EQ(side.source2_bias, side.source1_bias);
    all.push_back(side.source1_kernel);
    if (side.source1_bias) all.push_back(side.source1_bias);
  }
  for (const auto& side : sides) append_attention(side, all);
  return all;
}

template <typename Config>
class SequenceWeights : public ::testing::Test {
 protected:
  static Config config() {
    if constexpr (std::same_as<Config, CrossAttentionConfig>) {
      return kCross;
    } else {
      return kHierarchical;
    }
  }
};
using Configs = ::testing::Types<CrossAttentionConfig, HierarchicalAttentionConfig>;
TYPED_TEST_SUITE(SequenceWeights, Configs);

TYPED_TEST(SequenceWeights, PointToTheirOffsets) {
  TypeParam config = this->config();
  for (const bool use_bias : {true, false}) {
    config.use_bias = use_bias;
    const std::vector<float> parameters(static_cast<std::size_t>(count_params(config)));
    Pointers expected;
    for (const WeightInfo& info : weight_infos(config)) {
      expected.push_back(parameters.data() + info.offset);
    }
    EXPECT_EQ(pointers_of(config, parameters.data()), expected);
  }
}

TYPED_TEST(SequenceWeights, StartAsPublished) {
  TypeParam config = this->config();
  config.units = 60;
  config.key_dim = 16;
  const double U = 60, H = 2, D = 16, Dv = 4;
  const auto parameters = initial_parameters<double>(config);
  ASSERT_EQ(parameters.size(), static_cast<std::size_t>(count_params(config)));
  std::set<double> drawn;
  std::size_t kernel_values = 0;
  for (const WeightInfo& info : weight_infos(config)) {
    const std::span values(parameters.data() + info.offset, static_cast<std::size_t>(info.size));
    if (info.name.ends_with(".bias")) {
      EXPECT_EQ(largest_magnitude(values), 0) << info.name;
      continue;
    }
    const bool dense = info.shape.size() == 2;
    const double limit = std::sqrt(6 / (dense ? static_cast<double>(info.shape[0]) + U
                                        : info.name.ends_with("value.kernel")  ? U * (H + Dv)
                                        : info.name.ends_with("output.kernel") ? H * (Dv + U)
                                                                               : U * (H + D)));
    EXPECT_LT(largest_magnitude(values), limit) << info.name;
    EXPECT_GT(largest_magnitude(values), 0.98 * limit) << info.name;
    double square = 0;
    for (const double value : values) square += value * value;
    EXPECT_NEAR(std::sqrt(3 * square / static_cast<double>(values.size())), limit, 0.06 * limit)
        << info.name;
    drawn.insert(values.begin(), values.end());
    kernel_values += values.size();
  }
  EXPECT_EQ(drawn.size(), kernel_values) << "no two weights share a value";
}

TYPED_TEST(SequenceWeights, DependOnlyOnSeedAndOffset) {
  TypeParam config = this->config();
  const auto parameters = initial_parameters<double>(config);
  std::uint64_t number = 0;
  for (const WeightInfo& info : weight_infos(config)) {
    const std::uint64_t key = kernels::mix(config.seed, number++);
    if (info.name.ends_with(".bias")) continue;
    const double unit = 2 * kernels::uniform(kernels::mix(key, 3)) - 1;
    const double here = parameters[static_cast<std::size_t>(info.offset) + 3];
    EXPECT_EQ(here < 0, unit < 0) << info.name;
    EXPECT_NE(here, 0) << info.name;
  }
  EXPECT_TRUE(same_bits(initial_parameters<float>(config), converted<float>(parameters)));
  config.dropout = 0.5;
  EXPECT_TRUE(same_bits(initial_parameters<double>(config), parameters));
  ++config.seed;
  EXPECT_FALSE(same_bits(initial_parameters<double>(config), parameters));
}

// The first and the last value of each weight, as version 0.1 drew them.
TEST(MemoryWeights, StartWithTheSameBitsInEveryVersion) {
  const MemoryAugmentedAttentionConfig config{
      .units = 6, .memory_size = 5, .num_heads = 2, .key_dim = 3, .value_dim = 4, .seed = 7};
  const auto parameters = initial_parameters<double>(config);
  const auto first = [&](std::size_t weight) {
    return parameters[static_cast<std::size_t>(weight_infos(config)[weight].offset)];
  };
  const auto last = [&](std::size_t weight) {
    const WeightInfo info = weight_infos(config)[weight];
    return parameters[static_cast<std::size_t>(info.offset + info.size) - 1];
  };
  EXPECT_DOUBLE_EQ(first(0), 0x1.331eda537f2e0p-1);
  EXPECT_DOUBLE_EQ(last(0), -0x1.f721ed5fc1b5fp-1);
  EXPECT_EQ(first(1), -0x1.151d704fa3c71p-2);
  EXPECT_EQ(last(1), 0x1.a556ae6bf219dp-2);
  EXPECT_EQ(first(3), -0x1.0be811118177bp-2);
  EXPECT_EQ(last(3), -0x1.002d8061e7f34p-3);
  EXPECT_EQ(first(5), -0x1.e1fd8be9f1a93p-6);
  EXPECT_EQ(last(5), -0x1.27e2059e0b031p-2);
  EXPECT_EQ(first(7), 0x1.1364243108123p-2);
  EXPECT_EQ(last(7), -0x1.6b9ac99248f25p-2);
}

}  // namespace
}  // namespace memattn::testing
