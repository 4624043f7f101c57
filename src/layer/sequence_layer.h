// The base of the layers with attention between two inputs: a config, weights, and `kSides`
// attentions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "check.h"
#include "layer/checks.h"
#include "layer/flat_weights.h"
#include "layer/sequence_attention.h"
#include "layer/summary.h"
#include "layer/weights.h"

namespace memattn {

// Returns the attentions of a config; their weights lie in one flat buffer.
inline std::array<kernels::SequenceDims, 1> sides_of(const CrossAttentionConfig& config) {
  return {sequence_dims_of(config)};
}
inline std::array<kernels::SequenceDims, 2> sides_of(const HierarchicalAttentionConfig& config) {
  return sequence_dims_of(config);
}
template <typename Value>
std::array<kernels::SequenceWeights<Value>, 1> side_weights(const CrossAttentionConfig&,
                                                            std::span<const WeightInfo> infos,
                                                            Value* parameters) {
  return {sequence_weights(infos, parameters)};
}
template <typename Value>
std::array<kernels::SequenceWeights<Value>, 2> side_weights(const HierarchicalAttentionConfig&,
                                                            std::span<const WeightInfo> infos,
                                                            Value* parameters) {
  return hierarchical_weights(infos, parameters);
}

template <typename T, typename Config>
class SequenceLayer {
 public:
  static constexpr std::size_t kSides = std::tuple_size_v<decltype(sides_of(Config()))>;

  SequenceLayer(const Config& layer_config, std::vector<T> parameters)
      : config(layer_config),
        flat(memattn::weight_infos(layer_config), std::move(parameters)),
        sides(make_sides(std::make_index_sequence<kSides>())) {
    use_precision();
  }
  // A copy folds again when it needs to.
  SequenceLayer(const SequenceLayer& other)
      : config(other.config),
        flat(other.flat),
        sides(make_sides(std::make_index_sequence<kSides>())) {
    force(other.sides[0].forced());
    use_precision();
  }
  SequenceLayer& operator=(const SequenceLayer&) = delete;

  void force(SequenceRoute route) {
    for (SequenceAttention<T>& side : sides) side.force(route);
  }
  void set_route(SequenceRoute route) {
    if (route != SequenceRoute::kAuto) way_of(route);
    force(route);
  }

  void set_precision(Precision precision) {
    Config changed = config;
    changed.precision = precision;
    changed.validate();
    check_precision<T>(changed);
    config.precision = precision;
    use_precision();
  }

  std::int64_t kept_bytes() const {
    std::int64_t bytes = flat.bytes();
    for (const SequenceAttention<T>& side : sides) bytes += side.bytes();
    return bytes;
  }

  void set_parameters(std::span<const T> parameters) {
    flat.set_all(parameters);
    changed();
  }
  void set_weight(std::string_view name, std::span<const T> values) {
    flat.set(name, values);
    changed();
  }
  void update(const std::function<void(std::span<T> parameters)>& edit) {
    flat.edit(edit);
    changed();
  }

  // Returns the gradients of each side inside a flat buffer.
  std::array<kernels::SequenceWeights<T>, kSides> gradients(std::span<T> grad_parameters) const {
    return side_weights(config, flat.infos(), grad_parameters.data());
  }

  std::string summary(std::string_view layer, std::string_view first_name, std::int64_t first,
                      std::string_view second_name, std::int64_t second) const {
    return summary_table(
        concat(layer, "  ", type_name<T>(config.precision), "  units ", config.units,
               "  num_heads ", config.num_heads, "  ", first_name, " ", first, "  ", second_name,
               " ", second, "  key_dim ", config.resolved_key_dim(), "  value_dim ",
               config.resolved_value_dim()),
        flat.infos());
  }

  Config config;
  FlatWeights<T> flat;
  std::array<SequenceAttention<T>, kSides> sides;

 private:
  template <std::size_t... kIndex>
  std::array<SequenceAttention<T>, kSides> make_sides(std::index_sequence<kIndex...>) {
    const auto dims = sides_of(config);
    const auto weights = side_weights(config, flat.infos(), flat.parameters().data());
    return {SequenceAttention<T>(dims[kIndex], weights[kIndex])...};
  }

  void use_precision() noexcept {
    for (SequenceAttention<T>& side : sides) side.set_precision(config.precision);
  }
  void changed() noexcept {
    for (SequenceAttention<T>& side : sides) side.weights_changed();
  }
};

}  // namespace memattn
