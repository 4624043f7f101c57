// Writes, checks and reads the file of a layer.
#include "layer/layer_file.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "check.h"
#include "io/printable.h"
#include "io/safetensors.h"
#include "kernels/bfloat16.h"
#include "layer/config_names.h"
#include "layer/weights.h"
#include "memattn/errors.h"
#include "memattn/layer_file.h"
#include "memattn/memory_augmented_attention.h"

namespace memattn {
namespace {

constexpr std::string_view kFormatVersion = "1";
constexpr std::string_view kHalfVersion = "2";  // only for files with weights in bfloat16
constexpr std::string_view kHalfDtype = "BF16";

template <typename Config>
std::string format_of() {
  return concat("memattn.", kLayerName<Config>);
}

void parse(std::string_view json, MemoryAugmentedAttentionConfig& config) {
  config = config_from_json(json);
}
void parse(std::string_view json, CrossAttentionConfig& config) {
  config = cross_attention_config_from_json(json);
}
void parse(std::string_view json, HierarchicalAttentionConfig& config) {
  config = hierarchical_attention_config_from_json(json);
}

template <typename Config>
Config read_config(const SafetensorsReader& reader) {
  const std::string& format = reader.metadata_value("format", format_of<Config>());
  if (format != format_of<Config>()) {
    reader.fail("__metadata__: format", in_quotes(format), format_of<Config>());
  }
  const std::string& version = reader.metadata_value("format_version", kFormatVersion);
  if (version != kFormatVersion && version != kHalfVersion) {
    reader.fail("__metadata__: format_version", in_quotes(version),
                "\"1\" or \"2\"; a file of a newer version needs a newer memattn");
  }
  try {
    Config config;
    parse(reader.metadata_value("config", "the layer's options as JSON"), config);
    return config;
  } catch (const std::invalid_argument& error) {
    throw FormatError(concat(reader.path(), ": __metadata__: config: ", error.what()));
  }
}

// Throws unless the file has exactly these weights, all of the expected type.
void check_tensors(const SafetensorsReader& reader, const std::vector<WeightInfo>& weights,
                   std::string_view dtype) {
  for (const WeightInfo& weight : weights) {
    const std::string place = concat("tensor ", in_quotes(weight.name));
    const TensorInfo* tensor = reader.find(weight.name);
    if (!tensor) reader.fail("header", "no " + place, "one of shape " + to_text(weight.shape));
    if (tensor->dtype != dtype) {
      std::string expected(dtype);
      if (dtype == kHalfDtype) expected += ", the dtype of format_version 2";
      if (tensor->dtype == kDtype<double>) expected += "; load this file as double (float64)";
      if (tensor->dtype == kDtype<float> || tensor->dtype == kHalfDtype)
        expected += "; load this file as float (float32)";
      reader.fail(place, "dtype " + tensor->dtype, expected);
    }
    if (tensor->shape != weight.shape) {
      reader.fail(place, concat("shape ", to_text(tensor->shape)), to_text(weight.shape));
    }
  }
  for (const TensorInfo& tensor : reader.tensors()) {
    if (std::ranges::none_of(weights, [&](const auto& w) { return w.name == tensor.name; })) {
      reader.fail("header", concat("tensor ", in_quotes(tensor.name)), "only the layer's weights");
    }
  }
}

// Throws if a file of doubles requests bfloat16 products.
template <typename Config>
void check_precision_of_file(const SafetensorsReader& reader, const Config& config,
                             bool is_double) {
  if (!is_double || config.precision == Precision::kFloat32) return;
  reader.fail("__metadata__: config: precision", "\"bfloat16\" with weights of dtype F64",
              "\"float32\"");
}

bool is_half(const SafetensorsReader& reader) {
  return reader.metadata_value("format_version", kFormatVersion) == kHalfVersion;
}

// Rounds to the nearest bfloat16, ties to even. Unlike kernels::round_to_bfloat16 it keeps
// subnormal numbers, since the file loads as float32.
std::uint16_t rounded(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

template <typename T>
std::vector<std::uint16_t> rounded_weights(std::span<const T> parameters) {
  std::vector<std::uint16_t> halves;
  if constexpr (!std::is_same_v<T, float>) {
    fail_argument("save", "type", "bfloat16 for a float64 layer", "the layer's own type");
  } else {
    halves.reserve(parameters.size());
    for (const float value : parameters) {
      halves.push_back(rounded(value));
      if (std::isfinite(value) && !std::isfinite(kernels::from_bfloat16(halves.back()))) {
        fail_argument("save", "weights", value, "values that bfloat16 can hold, below 3.39e38");
      }
    }
  }
  return halves;
}

// Describes a file with a layer of this config, after checking its whole header.
template <typename Config>
LayerFileInfo checked_info(const SafetensorsReader& reader) {
  const Config config = read_config<Config>(reader);
  const std::vector<WeightInfo> weights = weight_infos(config);
  const TensorInfo* first = reader.find(weights.front().name);
  const bool half = is_half(reader), is_double = !half && first && first->dtype == kDtype<double>;
  check_tensors(reader, weights, half ? kHalfDtype : is_double ? kDtype<double> : kDtype<float>);
  check_precision_of_file(reader, config, is_double);
  return {std::string(kLayerName<Config>), is_double ? "float64" : "float32"};
}

}  // namespace

LayerFileInfo layer_file_info(const std::filesystem::path& path) {
  const SafetensorsReader reader(path);
  const std::string known =
      concat("one of ", format_of<MemoryAugmentedAttentionConfig>(), ", ",
             format_of<CrossAttentionConfig>(), ", ", format_of<HierarchicalAttentionConfig>());
  const std::string& format = reader.metadata_value("format", known);
  if (format == format_of<MemoryAugmentedAttentionConfig>()) {
    return checked_info<MemoryAugmentedAttentionConfig>(reader);
  }
  if (format == format_of<CrossAttentionConfig>()) {
    return checked_info<CrossAttentionConfig>(reader);
  }
  if (format == format_of<HierarchicalAttentionConfig>()) {
    return checked_info<HierarchicalAttentionConfig>(reader);
  }
  reader.fail("__metadata__: format", in_quotes(format), known);
}

std::string layer_file_dtype(const std::filesystem::path& path) {
  return checked_info<MemoryAugmentedAttentionConfig>(SafetensorsReader(path)).dtype;
}

template <typename T, typename Config>
void save_layer(const std::filesystem::path& path, const Config& config,
                std::span<const T> parameters, StoredType stored) {
  const std::vector<WeightInfo> weights = weight_infos(config);
  const bool half = stored == StoredType::kBFloat16;
  const std::vector<std::uint16_t> halves =
      half ? rounded_weights(parameters) : std::vector<std::uint16_t>();
  std::vector<TensorView> tensors;
  for (const WeightInfo& weight : weights) {
    const auto first = static_cast<std::size_t>(weight.offset);
    const auto size = static_cast<std::size_t>(weight.size);
    tensors.push_back({weight.name, half ? kHalfDtype : kDtype<T>, weight.shape,
                       half ? std::as_bytes(std::span(halves).subspan(first, size))
                            : std::as_bytes(parameters.subspan(first, size))});
  }
  write_safetensors(path, tensors,
                    {{"format", format_of<Config>()},
                     {"format_version", std::string(half ? kHalfVersion : kFormatVersion)},
                     {"config", to_json(config)}});
}

template <typename T, typename Config>
LoadedLayer<T, Config> load_layer(const std::filesystem::path& path) {
  const SafetensorsReader reader(path);
  LoadedLayer<T, Config> loaded{read_config<Config>(reader), {}};
  const std::vector<WeightInfo> weights = weight_infos(loaded.config);
  const bool half = std::is_same_v<T, float> && is_half(reader);
  check_tensors(reader, weights, half ? kHalfDtype : kDtype<T>);
  check_precision_of_file(reader, loaded.config, std::is_same_v<T, double>);
  // No longer than the file, since the tensors in it have the shapes of the weights.
  loaded.parameters.resize(static_cast<std::size_t>(count_params(loaded.config)));
  std::vector<std::uint16_t> halves;
  for (const WeightInfo& weight : weights) {
    const TensorInfo& tensor = *reader.find(weight.name);
    const auto values = std::span(loaded.parameters)
                            .subspan(static_cast<std::size_t>(weight.offset),
                                     static_cast<std::size_t>(weight.size));
    if (!half) {
      reader.read(tensor, values);
      continue;
    }
    halves.resize(values.size());
    reader.read(tensor, std::as_writable_bytes(std::span(halves)));
    std::ranges::transform(halves, values.begin(), kernels::from_bfloat16);
  }
  return loaded;
}

#define MEMATTN_INSTANTIATE(T, Config)                                                      \
  template void save_layer(const std::filesystem::path&, const Config&, std::span<const T>, \
                           StoredType);                                                     \
  template LoadedLayer<T, Config> load_layer(const std::filesystem::path&);
MEMATTN_INSTANTIATE(float, MemoryAugmentedAttentionConfig)
MEMATTN_INSTANTIATE(double, MemoryAugmentedAttentionConfig)
MEMATTN_INSTANTIATE(float, CrossAttentionConfig)
MEMATTN_INSTANTIATE(double, CrossAttentionConfig)
MEMATTN_INSTANTIATE(float, HierarchicalAttentionConfig)
MEMATTN_INSTANTIATE(double, HierarchicalAttentionConfig)

}  // namespace memattn
