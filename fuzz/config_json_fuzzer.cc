// Any text as a config: std::invalid_argument, or a valid config that survives the way to JSON and
// back.
#include <stdint.h>
#include <stdlib.h>

#include <stdexcept>
#include <string_view>

#include "memattn/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const memattn::MemoryAugmentedAttentionConfig config =
        memattn::config_from_json({reinterpret_cast<const char*>(data), size});
    config.validate();
    static_cast<void>(config.warnings());
    if (memattn::config_from_json(memattn::to_json(config)) != config) ::abort();
  } catch (const std::invalid_argument&) {
    // The one answer to bad text; any other exception ends the fuzzer.
  }
  return 0;
}
