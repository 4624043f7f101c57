// The file of any layer, specified in docs/format.md: the weights as safetensors, with the config
// in the metadata.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "memattn/memory_augmented_attention.h"

namespace memattn {

// T is float or double, and Config the config of the layer in the file.

// Replaces the file atomically and durably by the weights, in the order of weight_infos(config).
// Throws std::system_error, and std::invalid_argument if kBFloat16 cannot hold the weights.
template <typename T, typename Config>
void save_layer(const std::filesystem::path& path, const Config& config,
                std::span<const T> parameters, StoredType stored = StoredType::kOwn);

template <typename T, typename Config>
struct LoadedLayer {
  Config config;
  std::vector<T> parameters;  // in the order of weight_infos(config)
};

// Reads a file of save_layer. Throws FormatError, before it allocates memory for any weight, if the
// file is damaged or holds another layer or type. Throws std::system_error if the operating system
// refuses.
template <typename T, typename Config>
LoadedLayer<T, Config> load_layer(const std::filesystem::path& path);

}  // namespace memattn
