// The version of the library. CMakeLists.txt and pyproject.toml read it from here.
#pragma once

#include "memattn/export.h"

#define MEMATTN_VERSION_MAJOR 0
#define MEMATTN_VERSION_MINOR 2
#define MEMATTN_VERSION_PATCH 0
#define MEMATTN_VERSION "0.2.0"

// One number that grows with the version, to compare: 100 is 0.1.0, 10203 is 1.2.3.
#define MEMATTN_VERSION_NUMBER \
  (MEMATTN_VERSION_MAJOR * 10000 + MEMATTN_VERSION_MINOR * 100 + MEMATTN_VERSION_PATCH)

namespace memattn {

// Returns MEMATTN_VERSION of the running library. A shared library may have another version than
// the headers.
[[nodiscard]] MEMATTN_EXPORT const char* version() noexcept;

}  // namespace memattn
