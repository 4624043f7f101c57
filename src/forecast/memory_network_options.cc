// Computes counts of weights and the configs of memory layers from the options alone.
#include "forecast/memory_network_options.h"

#include "kernels/random.h"
#include "layer/weights.h"

namespace memattn {
namespace {

constexpr std::uint64_t kMemoryStream = 0x6d656d;  // key of the random stream

}  // namespace

std::int64_t count_params(const MemoryNetworkOptions& options) {
  std::int64_t layer = 0;
  if (options.layers > 0) {  // otherwise the sizes of a layer are not used
    layer =
        count_params(layer_config(options, 0, true)) + (options.pre_norm ? 2 * options.units : 0);
  }
  return (options.features + 1) * options.units + options.layers * layer +
         (options.units + options.skip_features + options.past_seasons.seasons) * options.outputs;
}

MemoryAugmentedAttentionConfig layer_config(const MemoryNetworkOptions& options, std::int64_t layer,
                                            bool residual) {
  MemoryAugmentedAttentionConfig config;
  config.units = options.units;
  config.memory_size = options.memory_size;
  config.num_heads = options.num_heads;
  config.residual = residual;
  config.memory_initializer = options.memory_initializer;
  config.seed =
      kernels::mix(kernels::mix(options.seed, kMemoryStream), static_cast<std::uint64_t>(layer));
  return config;
}

}  // namespace memattn
