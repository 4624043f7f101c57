// The layer's file: safetensors with the config in its metadata, as docs/format.md says.
#include <algorithm>
#include <map>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "check.h"
#include "io/printable.h"
#include "io/safetensors.h"
#include "layer/weights.h"
#include "memattn/errors.h"
#include "memattn/memory_augmented_attention.h"

namespace memattn {
namespace {

constexpr std::string_view kFormat = "memattn.MemoryAugmentedAttention";
constexpr std::string_view kFormatVersion = "1";

const std::string& metadata_value(const SafetensorsReader& reader, const char* key,
                                  std::string_view expected) {
  const auto found = reader.metadata().find(key);
  if (found == reader.metadata().end()) {
    reader.fail("__metadata__", concat("no key ", key), expected);
  }
  return found->second;
}

MemoryAugmentedAttentionConfig read_config(const SafetensorsReader& reader) {
  const std::string& format = metadata_value(reader, "format", kFormat);
  if (format != kFormat) reader.fail("__metadata__: format", in_quotes(format), kFormat);
  const std::string& version = metadata_value(reader, "format_version", kFormatVersion);
  if (version != kFormatVersion) {
    reader.fail("__metadata__: format_version", in_quotes(version),
                "\"1\"; a file of a newer version needs a newer memattn");
  }
  try {
    return config_from_json(metadata_value(reader, "config", "the layer's options as JSON"));
  } catch (const std::invalid_argument& error) {
    throw FormatError(concat(reader.path(), ": __metadata__: config: ", error.what()));
  }
}

// The config of the file, after checking that its tensors are exactly the weights of that layer.
// Takes memory for names and shapes only.
MemoryAugmentedAttentionConfig check_header(const SafetensorsReader& reader,
                                            std::string_view dtype) {
  const MemoryAugmentedAttentionConfig config = read_config(reader);
  const std::vector<WeightInfo> weights = weight_infos(config);
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
  return config;
}

}  // namespace

std::string layer_file_dtype(const std::filesystem::path& path) {
  const SafetensorsReader reader(path);
  const TensorInfo* memory = reader.find("memory");
  const bool is_double = memory && memory->dtype == kDtype<double>;
  check_header(reader, is_double ? kDtype<double> : kDtype<float>);
  return is_double ? "float64" : "float32";
}

template <typename T>
void MemoryAugmentedAttention<T>::save(const std::filesystem::path& path) const {
  std::vector<TensorView> tensors;
  for (const WeightInfo& weight : weight_infos()) {
    tensors.push_back(
        {weight.name, kDtype<T>, weight.shape, std::as_bytes(this->weight(weight.name))});
  }
  write_safetensors(path, tensors,
                    {{"format", std::string(kFormat)},
                     {"format_version", std::string(kFormatVersion)},
                     {"config", to_json(config())}});
}

template <typename T>
MemoryAugmentedAttention<T> MemoryAugmentedAttention<T>::load(const std::filesystem::path& path) {
  const SafetensorsReader reader(path);
  const MemoryAugmentedAttentionConfig config = check_header(reader, kDtype<T>);
  // No longer than the file: the shapes of the weights are those of the tensors in it.
  std::vector<T> parameters(static_cast<std::size_t>(memattn::count_params(config)));
  for (const WeightInfo& weight : memattn::weight_infos(config)) {
    reader.read(*reader.find(weight.name), std::span(parameters)
                                               .subspan(static_cast<std::size_t>(weight.offset),
                                                        static_cast<std::size_t>(weight.size)));
  }
  return MemoryAugmentedAttention(config, parameters);
}

template void MemoryAugmentedAttention<float>::save(const std::filesystem::path&) const;
template void MemoryAugmentedAttention<double>::save(const std::filesystem::path&) const;
template MemoryAugmentedAttention<float> MemoryAugmentedAttention<float>::load(
    const std::filesystem::path&);
template MemoryAugmentedAttention<double> MemoryAugmentedAttention<double>::load(
    const std::filesystem::path&);

}  // namespace memattn
