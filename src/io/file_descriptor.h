// An open file that closes itself, and the errors of the operating system with their path.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace memattn {

// Owns a POSIX file descriptor; -1 is none. Movable, not copyable.
class FileDescriptor {
 public:
  explicit FileDescriptor(int descriptor = -1) : descriptor_(descriptor) {}
  FileDescriptor(FileDescriptor&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~FileDescriptor();

  int get() const { return descriptor_; }
  bool valid() const { return descriptor_ >= 0; }
  int release() { return std::exchange(descriptor_, -1); }

 private:
  int descriptor_;
};

// Throws std::system_error for an errno value: "path: cannot <action>: <the system's message>".
[[noreturn]] void fail_system(int error, const std::filesystem::path& path,
                              std::string_view action);

// Throws EINVAL for a path that contains a NUL byte, at which the system would cut it.
void check_path(const std::filesystem::path& path, std::string_view action);

// Returns a path as text for messages.
std::string path_text(const std::filesystem::path& path);

}  // namespace memattn
