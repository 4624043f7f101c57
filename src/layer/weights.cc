// The table of weights, and how they are drawn.
#include "layer/weights.h"

#include <cmath>
#include <string>
#include <string_view>

#include "kernels/random.h"

namespace memattn {
namespace {

bool is_bias(const WeightInfo& info) { return info.name.ends_with(".bias"); }

// Keras' glorot uniform for a kernel of three axes: it takes the last two as in and out and
// multiplies both by the first (keras.initializers.VarianceScaling, compute_fans).
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
void initialize(const WeightInfo& info, const MemoryAugmentedAttentionConfig& config,
                std::uint64_t key, T* values) {
  const bool memory = info.name == "memory";
  const MemoryInitializer& start = config.memory_initializer;
  if (is_bias(info) || (memory && start.kind == MemoryInitializer::Kind::kZeros)) return;
  const bool normal = memory && start.kind == MemoryInitializer::Kind::kNormal;
  const double limit = glorot_limit(info.shape);
  for (std::int64_t i = 0; i < info.size; ++i) {
    const auto index = static_cast<std::uint64_t>(i);
    values[i] =
        static_cast<T>(normal ? start.stddev * kernels::standard_normal(key, index)
                              : limit * (2 * kernels::uniform(kernels::mix(key, index)) - 1));
  }
}

}  // namespace

kernels::Dims dims_of(const MemoryAugmentedAttentionConfig& config) {
  return {config.units, config.memory_size, config.num_heads, config.resolved_key_dim(),
          config.resolved_value_dim()};
}

std::vector<WeightInfo> weight_infos(const MemoryAugmentedAttentionConfig& config) {
  const auto [U, S, H, D, Dv] = dims_of(config);
  std::vector<WeightInfo> infos;
  std::int64_t offset = 0;
  const auto add = [&](std::string name, std::vector<std::int64_t> shape) {
    WeightInfo info{std::move(name), std::move(shape), offset, 1};
    if (is_bias(info) && !config.use_bias) return;
    for (const std::int64_t size : info.shape) info.size *= size;
    offset += info.size;
    infos.push_back(std::move(info));
  };
  add("memory", {S, U});
  add("query.kernel", {U, H, D});
  add("query.bias", {H, D});
  add("key.kernel", {U, H, D});
  add("key.bias", {H, D});
  add("value.kernel", {U, H, Dv});
  add("value.bias", {H, Dv});
  add("output.kernel", {H, Dv, U});
  add("output.bias", {U});
  return infos;
}

std::int64_t count_params(const MemoryAugmentedAttentionConfig& config) {
  const WeightInfo last = weight_infos(config).back();
  return last.offset + last.size;
}

template <typename T>
std::vector<T> initial_parameters(const MemoryAugmentedAttentionConfig& config) {
  std::vector<T> parameters(static_cast<std::size_t>(count_params(config)), T(0));
  std::uint64_t stream = 0;
  for (const WeightInfo& info : weight_infos(config)) {
    initialize(info, config, kernels::mix(config.seed, stream++), parameters.data() + info.offset);
  }
  return parameters;
}

template std::vector<float> initial_parameters<float>(const MemoryAugmentedAttentionConfig&);
template std::vector<double> initial_parameters<double>(const MemoryAugmentedAttentionConfig&);

}  // namespace memattn
