// What a layer's file holds, to choose the class that loads it. docs/format.md specifies the file.
#pragma once

#include <filesystem>
#include <string>

#include "memattn/export.h"

namespace memattn {

struct MEMATTN_EXPORT LayerFileInfo {
  // "MemoryAugmentedAttention", "CrossAttention" or "HierarchicalAttention".
  std::string layer = {};
  std::string dtype = {};  // of all weights: "float32" or "float64"

  bool operator==(const LayerFileInfo&) const = default;
};

// Tells which layer and type a file that save wrote holds. Checks the whole header as that class's
// load does, and reads no weight. Any number of threads may call it. Throws FormatError for a file
// that no layer wrote, std::system_error where the operating system refuses.
[[nodiscard]] MEMATTN_EXPORT LayerFileInfo layer_file_info(const std::filesystem::path& path);

}  // namespace memattn
