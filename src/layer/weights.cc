// The tables of weights, and their initial values.
#include "layer/weights.h"

#include <cmath>
#include <string>
#include <string_view>
#include <utility>

#include "check.h"
#include "kernels/random.h"

namespace memattn {
namespace {

bool is_bias(const WeightInfo& info) { return info.name.ends_with(".bias"); }

// Lists weights one after another without gaps.
class WeightTable {
 public:
  explicit WeightTable(bool use_bias) : use_bias_(use_bias) {}

  void add(std::string name, std::vector<std::int64_t> shape) {
    WeightInfo info{std::move(name), std::move(shape), end_, 1};
    if (is_bias(info) && !use_bias_) return;
    for (const std::int64_t size : info.shape) info.size *= size;
    end_ += info.size;
    infos_.push_back(std::move(info));
  }
  // Adds a kernel and a bias from F features to U.
  void add_dense(std::string_view name, std::int64_t F, std::int64_t U) {
    add(concat(name, ".kernel"), {F, U});
    add(concat(name, ".bias"), {U});
  }
  // Adds the eight weights of a multi-head attention over tokens of width U.
  void add_attention(std::string_view prefix, const kernels::AttentionShape& shape) {
    const std::int64_t H = shape.num_heads, D = shape.key_dim, Dv = shape.value_dim;
    add(concat(prefix, "query.kernel"), {shape.query_units, H, D});
    add(concat(prefix, "query.bias"), {H, D});
    add(concat(prefix, "key.kernel"), {shape.source_units, H, D});
    add(concat(prefix, "key.bias"), {H, D});
    add(concat(prefix, "value.kernel"), {shape.source_units, H, Dv});
    add(concat(prefix, "value.bias"), {H, Dv});
    add(concat(prefix, "output.kernel"), {H, Dv, shape.query_units});
    add(concat(prefix, "output.bias"), {shape.query_units});
  }

  std::vector<WeightInfo> infos() && { return std::move(infos_); }

 private:
  const bool use_bias_;
  std::int64_t end_ = 0;
  std::vector<WeightInfo> infos_;
};

// Returns the limit of Keras' glorot uniform. For a kernel of three axes Keras takes the last two
// as fan-in and fan-out and multiplies both by the first (keras.initializers.VarianceScaling,
// compute_fans).
double glorot_limit(const std::vector<std::int64_t>& shape) {
  double fan_in = 1, fan_out = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const auto size = static_cast<double>(shape[i]);
    if (i + 1 != shape.size()) fan_in *= size;
    if (i + 2 != shape.size()) fan_out *= size;
  }
  return std::sqrt(6.0 / (fan_in + fan_out));
}

template <typename T>
void draw_normal(std::int64_t size, double stddev, std::uint64_t key, T* values) {
  for (std::int64_t i = 0; i < size; ++i) {
    const auto index = static_cast<std::uint64_t>(i);
    values[i] = static_cast<T>(stddev * kernels::standard_normal(key, index));
  }
}

template <typename T>
void draw_uniform(std::int64_t size, double limit, std::uint64_t key, T* values) {
  for (std::int64_t i = 0; i < size; ++i) {
    const auto index = static_cast<std::uint64_t>(i);
    values[i] = static_cast<T>(limit * (2 * kernels::uniform(kernels::mix(key, index)) - 1));
  }
}

// Draws the memory by `memory` and the other weights by the rule that all layers share.
template <typename T>
std::vector<T> draw(const std::vector<WeightInfo>& infos, std::uint64_t seed,
                    const MemoryInitializer& memory = {}) {
  const WeightInfo& last = infos.back();
  std::vector<T> parameters(static_cast<std::size_t>(last.offset + last.size), T(0));
  std::uint64_t stream = 0;
  for (const WeightInfo& info : infos) {
    const std::uint64_t key = kernels::mix(seed, stream++);
    const auto kind = info.name == "memory" ? memory.kind : MemoryInitializer::Kind::kGlorotUniform;
    if (is_bias(info) || kind == MemoryInitializer::Kind::kZeros) continue;
    if (kind == MemoryInitializer::Kind::kNormal) {
      draw_normal(info.size, memory.stddev, key, parameters.data() + info.offset);
    } else {
      draw_uniform(info.size, glorot_limit(info.shape), key, parameters.data() + info.offset);
    }
  }
  return parameters;
}

}  // namespace

kernels::Dims dims_of(const MemoryAugmentedAttentionConfig& config) {
  return {config.units, config.memory_size, config.num_heads, config.resolved_key_dim(),
          config.resolved_value_dim()};
}

kernels::SequenceDims sequence_dims_of(const CrossAttentionConfig& config) {
  return {.units = config.units,
          .source1_units = config.resolved_source1_units(),
          .source2_units = config.resolved_source2_units(),
          .num_heads = config.num_heads,
          .key_dim = config.resolved_key_dim(),
          .value_dim = config.resolved_value_dim()};
}

std::array<kernels::SequenceDims, 2> sequence_dims_of(const HierarchicalAttentionConfig& config) {
  const auto side = [&](std::int64_t features) {
    return kernels::SequenceDims{.units = config.units,
                                 .source1_units = features,
                                 .source2_units = features,
                                 .num_heads = config.num_heads,
                                 .key_dim = config.resolved_key_dim(),
                                 .value_dim = config.resolved_value_dim(),
                                 .one_source = true};
  };
  return {side(config.resolved_short_units()), side(config.resolved_long_units())};
}

std::vector<WeightInfo> weight_infos(const MemoryAugmentedAttentionConfig& config) {
  WeightTable table(config.use_bias);
  table.add("memory", {config.memory_size, config.units});
  table.add_attention("", dims_of(config).attention());
  return std::move(table).infos();
}

std::vector<WeightInfo> weight_infos(const CrossAttentionConfig& config) {
  WeightTable table(config.use_bias);
  table.add_dense("source1", config.resolved_source1_units(), config.units);
  table.add_dense("source2", config.resolved_source2_units(), config.units);
  table.add_attention("", sequence_dims_of(config).attention());
  return std::move(table).infos();
}

std::vector<WeightInfo> weight_infos(const HierarchicalAttentionConfig& config) {
  const auto [short_side, long_side] = sequence_dims_of(config);
  WeightTable table(config.use_bias);
  table.add_dense("short.dense", short_side.source1_units, config.units);
  table.add_dense("long.dense", long_side.source1_units, config.units);
  table.add_attention("short.", short_side.attention());
  table.add_attention("long.", long_side.attention());
  return std::move(table).infos();
}

template <typename T>
std::vector<T> initial_parameters(const MemoryAugmentedAttentionConfig& config) {
  return draw<T>(weight_infos(config), config.seed, config.memory_initializer);
}
template <typename T>
std::vector<T> initial_parameters(const CrossAttentionConfig& config) {
  return draw<T>(weight_infos(config), config.seed);
}
template <typename T>
std::vector<T> initial_parameters(const HierarchicalAttentionConfig& config) {
  return draw<T>(weight_infos(config), config.seed);
}

#define MEMATTN_INSTANTIATE(Config)                                     \
  template std::vector<float> initial_parameters<float>(const Config&); \
  template std::vector<double> initial_parameters<double>(const Config&);
MEMATTN_INSTANTIATE(MemoryAugmentedAttentionConfig)
MEMATTN_INSTANTIATE(CrossAttentionConfig)
MEMATTN_INSTANTIATE(HierarchicalAttentionConfig)

}  // namespace memattn
