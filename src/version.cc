// The version that the library was compiled with.
#include "memattn/version.h"

namespace memattn {

const char* version() noexcept { return MEMATTN_VERSION; }

}  // namespace memattn
