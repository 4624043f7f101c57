// What the library throws.
//
//   std::invalid_argument  a wrong option, shape, name or buffer; thrown before anything is written
//   memattn::FormatError   a file that is not what docs/format.md says
//   std::system_error      the operating system refused (path in what(), errno in code())
//   std::bad_alloc         no memory
//
// Every message names the function, the argument, what was found and what was expected.
#pragma once

#include <stdexcept>

#include "memattn/export.h"

namespace memattn {

class MEMATTN_EXPORT FormatError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace memattn
