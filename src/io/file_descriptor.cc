// POSIX calls on a file, with errors as exceptions.
#include "io/file_descriptor.h"

#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "check.h"
#include "io/printable.h"

namespace memattn {

FileDescriptor::~FileDescriptor() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void fail_system(int error, const std::filesystem::path& path, std::string_view action) {
  throw std::system_error(error, std::generic_category(),
                          concat(path_text(path), ": cannot ", action));
}

void check_path(const std::filesystem::path& path, std::string_view action) {
  if (path.native().find('\0') != std::string::npos) fail_system(EINVAL, path, action);
}

std::string path_text(const std::filesystem::path& path) {
  return printable(path.native(), 4096);  // PATH_MAX
}

}  // namespace memattn
