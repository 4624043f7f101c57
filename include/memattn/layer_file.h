// The class and type of the layer in a file, to choose the class that loads it. docs/format.md
// specifies the file.
#pragma once

#include <filesystem>
#include <string>

#include "memattn/export.h"

namespace memattn {

struct MEMATTN_EXPORT LayerFileInfo {
  // "MemoryAugmentedAttention", "CrossAttention" or "HierarchicalAttention".
  std::string layer = {};
  std::string dtype = {};  // type of all weights: "float32" or "float64"

  bool operator==(const LayerFileInfo&) const = default;
};

// Returns the class and type of the layer in a file that save wrote. Checks the whole header
// without reading weights. Thread-safe. Throws FormatError for a file that no layer wrote,
// std::system_error if the operating system refuses.
[[nodiscard]] MEMATTN_EXPORT LayerFileInfo layer_file_info(const std::filesystem::path& path);

}  // namespace memattn
