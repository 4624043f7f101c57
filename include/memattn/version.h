// The version of the library. CMakeLists.txt and pyproject.toml read it from here.
#pragma once

#define MEMATTN_VERSION_MAJOR 0
#define MEMATTN_VERSION_MINOR 1
#define MEMATTN_VERSION_PATCH 0
#define MEMATTN_VERSION "0.1.0"
