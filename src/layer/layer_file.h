// The file of any layer, specified in docs/format.md: the weights as safetensors, and the config in
// its metadata.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "memattn/memory_augmented_attention.h"

namespace memattn {

// T is float or double, Config the config of the layer, which the file names.

// Replaces the file atomically and durably with the weights, in the order of weight_infos(config).
// Throws std::system_error, and std::invalid_argument where kBFloat16 cannot hold the weights.
template <typename T, typename Config>
void save_layer(const std::filesystem::path& path, const Config& config,
                std::span<const T> parameters, StoredType stored = StoredType::kOwn);

template <typename T, typename Config>
struct LoadedLayer {
  Config config;
  std::vector<T> parameters;  // in the order of weight_infos(config)
};

// Reads what save_layer wrote. Throws FormatError for a file that is damaged, or holds another
// layer or the other type, before it takes memory for any weight; std::system_error where the
// operating system refuses.
template <typename T, typename Config>
LoadedLayer<T, Config> load_layer(const std::filesystem::path& path);

}  // namespace memattn
