// The errors that the library throws.
//
//   std::invalid_argument  a wrong option, shape, name or buffer; thrown before anything is written
//   memattn::FormatError   a file that does not follow docs/format.md
//   std::system_error      the operating system refused (path in what(), errno in code())
//   std::bad_alloc         no memory
//
// Every message names the function and the argument, and says what is wrong.
#pragma once

#include <stdexcept>

#include "memattn/export.h"

namespace memattn {

class MEMATTN_EXPORT FormatError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace memattn
