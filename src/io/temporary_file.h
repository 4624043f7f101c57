// Temporary files that receive new content before they replace a file.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "io/file_descriptor.h"

namespace memattn {

// A new file ".memattn-*.tmp" in an open folder. It stays locked (flock) until it is finished, so
// that no process takes it for a leftover of a killed process. The destructor removes it unless it
// was renamed. Each method throws std::system_error about `target`, the file to be replaced.
class TemporaryFile {
 public:
  // Its permissions are `mode` less the umask. `folder` and `target` must outlive this object.
  TemporaryFile(const FileDescriptor& folder, const std::filesystem::path& target, mode_t mode);
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile();

  void write(std::span<const std::byte> bytes);

  // Takes over the permission bits of `old`, and its owner and group if the system allows that. If
  // the group cannot be set, the file's group gets no more rights than all other users.
  void take_access_of(const struct stat& old);

  // Writes the content to the disk. Returns false if a signal interrupted that. The caller must not
  // repeat the call then: some pages may have failed, and the kernel reports each failure only
  // once.
  [[nodiscard]] bool sync();

  void close();

  // Renames the file to `name` in the same folder.
  void rename_to(const std::string& name);

 private:
  friend void remove_unfinished_temporaries();

  bool create(mode_t mode);
  void enlist();
  void leave();
  [[noreturn]] void fail(std::string_view action) const;

  int folder_;
  const std::filesystem::path& target_;  // for messages
  std::string name_;                     // inside the folder; empty once renamed
  FileDescriptor file_;
  FileDescriptor lock_;  // a second descriptor, which keeps the lock while file_ is closed

  // Its entry in the list of unfinished files.
  pid_t process_ = 0;
  TemporaryFile* previous_ = nullptr;
  TemporaryFile* next_ = nullptr;
};

// Removes the temporary files in `folder` that killed processes of this user left behind, which are
// those that no process has locked. On a file system without locks, it removes nothing.
void remove_abandoned_temporaries(const FileDescriptor& folder);

// Removes the temporary files that this process is writing, so that the writes fail. For a handler
// that ends the process; not safe inside a C signal handler.
void remove_unfinished_temporaries();

}  // namespace memattn
