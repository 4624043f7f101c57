// Any text as the config of each layer gives std::invalid_argument, or a valid config that survives
// a round trip through JSON.
#include <stdint.h>
#include <stdlib.h>

#include <stdexcept>
#include <string_view>

#include "memattn/config.h"

namespace {

template <typename Read>
void read_as(std::string_view text, Read read) {
  try {
    const auto config = read(text);
    config.validate();
    if (read(memattn::to_json(config)) != config) ::abort();
  } catch (const std::invalid_argument&) {
    // The only allowed error for bad text; any other exception ends the fuzzer.
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_as(text, [](std::string_view json) {
    const memattn::MemoryAugmentedAttentionConfig config = memattn::config_from_json(json);
    static_cast<void>(config.warnings());
    return config;
  });
  read_as(text, memattn::cross_attention_config_from_json);
  read_as(text, memattn::hierarchical_attention_config_from_json);
  return 0;
}
