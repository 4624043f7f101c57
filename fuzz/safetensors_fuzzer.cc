// Any bytes as a file give FormatError in the reader and the loader of layers, or load
// consistently.
#include <stdlib.h>

#include <string>
#include <vector>

#include "io/safetensors.h"
#include "layer/layer_file.h"
#include "memattn/config.h"
#include "memattn/layer_file.h"
#include "memattn/memory_augmented_attention.h"
#include "memory_file.h"

namespace {

template <typename T>
void load(const std::string& path) {
  using Layer = memattn::MemoryAugmentedAttention<T>;
  const Layer layer = Layer::load(path);
  std::vector<T> x(static_cast<size_t>(layer.config().units), T(1)), y(x.size());
  layer.forward(x, {.batch = 1, .steps = 1}, y);
}

void read_everything(const std::string& path) {
  fuzz::run([&] {
    const memattn::SafetensorsReader reader(path);
    for (const auto& tensor : reader.tensors()) {
      std::vector<std::byte> data(tensor.end - tensor.begin);
      reader.read(tensor, data);
      if (reader.find(tensor.name) != &tensor) ::abort();
    }
  });
  fuzz::run([&] { load<float>(path); });
  fuzz::run([&] { load<double>(path); });
  fuzz::run([&] { memattn::load_layer<float, memattn::CrossAttentionConfig>(path); });
  fuzz::run([&] { memattn::load_layer<double, memattn::HierarchicalAttentionConfig>(path); });
  fuzz::run([&] { static_cast<void>(memattn::layer_file_dtype(path)); });
  fuzz::run([&] { static_cast<void>(memattn::layer_file_info(path)); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::read_safetensors(data, size, read_everything);
  return 0;
}
