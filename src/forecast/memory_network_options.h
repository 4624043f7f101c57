// The options of the forecaster's network, and the sizes that follow from them.
#pragma once

#include <cstdint>

#include "forecast/season_path.h"
#include "memattn/config.h"

namespace memattn {

// The caller ensures that they are valid, as PanelForecasterOptions::validate does: nothing here or
// in MemoryNetwork checks them.
struct MemoryNetworkOptions {
  std::int64_t features = 0;       // F
  std::int64_t skip_features = 0;  // V, inputs of the linear path
  SeasonPath past_seasons = {};
  std::int64_t outputs = 0;       // O
  std::int64_t units = 64;        // U, the width of each memory layer
  std::int64_t memory_size = 32;  // slots of each memory layer
  std::int64_t num_heads = 4;     // of each memory layer
  std::int64_t layers = 2;        // memory layers; 0: Z_0 goes directly to the head
  bool pre_norm = false;          // layer normalisation in front of each memory layer
  double dropout = 0.0;           // on the output of each memory layer; in [0, 1)
  double input_dropout = 0.0;     // on the features; in [0, 1)
  MemoryInitializer memory_initializer = {};
  std::uint64_t seed = 0;
};

// Returns the number of weights of a network.
std::int64_t count_params(const MemoryNetworkOptions& options);

// Returns the config of memory layer `layer`. With `residual`, the layer itself adds its input to
// its output.
MemoryAugmentedAttentionConfig layer_config(const MemoryNetworkOptions& options, std::int64_t layer,
                                            bool residual);

}  // namespace memattn
