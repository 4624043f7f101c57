// Writing, checking and reading a layer's file.
#include "layer/layer_file.h"

#include <algorithm>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "check.h"
#include "io/printable.h"
#include "io/safetensors.h"
#include "layer/config_names.h"
#include "layer/weights.h"
#include "memattn/errors.h"
#include "memattn/layer_file.h"
#include "memattn/memory_augmented_attention.h"

namespace memattn {
namespace {

constexpr std::string_view kFormatVersion = "1";

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
  if (version != kFormatVersion) {
    reader.fail("__metadata__: format_version", in_quotes(version),
                "\"1\"; a file of a newer version needs a newer memattn");
  }
  try {
    Config config;
    parse(reader.metadata_value("config", "the layer's options as JSON"), config);
    return config;
  } catch (const std::invalid_argument& error) {
    throw FormatError(concat(reader.path(), ": __metadata__: config: ", error.what()));
  }
}

// Throws unless the tensors of the file are exactly these weights, all of that type.
void check_tensors(const SafetensorsReader& reader, const std::vector<WeightInfo>& weights,
                   std::string_view dtype) {
  for (const WeightInfo& weight : weights) {
    const std::string place = concat("tensor ", in_quotes(weight.name));
    const TensorInfo* tensor = reader.find(weight.name);
    if (!tensor) reader.fail("header", "no " + place, "one of shape " + to_text(weight.shape));
    if (tensor->dtype != dtype) {
      std::string expected(dtype);
      if (tensor->dtype == kDtype<double>) expected += "; load this file as double (float64)";
      if (tensor->dtype == kDtype<float>) expected += "; load this file as float (float32)";
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

// Throws where a file of doubles asks for bfloat16 products.
template <typename Config>
void check_precision_of_file(const SafetensorsReader& reader, const Config& config,
                             bool is_double) {
  if constexpr (requires { config.precision; }) {
    if (!is_double || config.precision == Precision::kFloat32) return;
    reader.fail("__metadata__: config: precision", "\"bfloat16\" with weights of dtype F64",
                "\"float32\"");
  }
}

// What a file of that layer holds, after checking its whole header.
template <typename Config>
LayerFileInfo checked_info(const SafetensorsReader& reader) {
  const Config config = read_config<Config>(reader);
  const std::vector<WeightInfo> weights = weight_infos(config);
  const TensorInfo* first = reader.find(weights.front().name);
  const bool is_double = first && first->dtype == kDtype<double>;
  check_tensors(reader, weights, is_double ? kDtype<double> : kDtype<float>);
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
                std::span<const T> parameters) {
  const std::vector<WeightInfo> weights = weight_infos(config);
  std::vector<TensorView> tensors;
  for (const WeightInfo& weight : weights) {
    const auto values = parameters.subspan(static_cast<std::size_t>(weight.offset),
                                           static_cast<std::size_t>(weight.size));
    tensors.push_back({weight.name, kDtype<T>, weight.shape, std::as_bytes(values)});
  }
  write_safetensors(path, tensors,
                    {{"format", format_of<Config>()},
                     {"format_version", std::string(kFormatVersion)},
                     {"config", to_json(config)}});
}

template <typename T, typename Config>
LoadedLayer<T, Config> load_layer(const std::filesystem::path& path) {
  const SafetensorsReader reader(path);
  LoadedLayer<T, Config> loaded{read_config<Config>(reader), {}};
  const std::vector<WeightInfo> weights = weight_infos(loaded.config);
  check_tensors(reader, weights, kDtype<T>);
  check_precision_of_file(reader, loaded.config, std::is_same_v<T, double>);
  // No longer than the file: the shapes of the weights are those of the tensors in it.
  loaded.parameters.resize(static_cast<std::size_t>(count_params(loaded.config)));
  for (const WeightInfo& weight : weights) {
    reader.read(*reader.find(weight.name), std::span(loaded.parameters)
                                               .subspan(static_cast<std::size_t>(weight.offset),
                                                        static_cast<std::size_t>(weight.size)));
  }
  return loaded;
}

#define MEMATTN_INSTANTIATE(T, Config)                                                       \
  template void save_layer(const std::filesystem::path&, const Config&, std::span<const T>); \
  template LoadedLayer<T, Config> load_layer(const std::filesystem::path&);
MEMATTN_INSTANTIATE(float, MemoryAugmentedAttentionConfig)
MEMATTN_INSTANTIATE(double, MemoryAugmentedAttentionConfig)
MEMATTN_INSTANTIATE(float, CrossAttentionConfig)
MEMATTN_INSTANTIATE(double, CrossAttentionConfig)
MEMATTN_INSTANTIATE(float, HierarchicalAttentionConfig)
MEMATTN_INSTANTIATE(double, HierarchicalAttentionConfig)

}  // namespace memattn
