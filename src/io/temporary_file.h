// The temporary files that new content is written to before it replaces a file.
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

// A new file ".memattn-*.tmp" in an open folder, locked (flock) for as long as it is unfinished, so
// that nobody takes it for one that a killed process has left. The destructor removes it unless it
// was renamed. Each method throws std::system_error about `target`, the file to be replaced.
class TemporaryFile {
 public:
  // `mode` less the umask are the permissions. `folder` and `target` must outlive this.
  TemporaryFile(const FileDescriptor& folder, const std::filesystem::path& target, mode_t mode);
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile();

  void write(std::span<const std::byte> bytes);

  // Takes over the permission bits of `old`, and its owner and group where the system lets us.
  // Where the group stays another one, that group may do no more than everybody may.
  void take_access_of(const struct stat& old);

  // Puts the content on the disk. Returns false if a signal interrupted that. The call must not be
  // repeated then: nobody knows which pages were written, and the kernel reports a failed one once.
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
  FileDescriptor lock_;  // a second descriptor of the file: keeps the lock while file_ is closed

  // The list of unfinished files.
  pid_t process_ = 0;
  TemporaryFile* previous_ = nullptr;
  TemporaryFile* next_ = nullptr;
};

// Removes the temporary files in `folder` that killed processes of this user have left: those that
// no living process has locked. Where the file system knows no locks, nothing is removed.
void remove_abandoned_temporaries(const FileDescriptor& folder);

// Removes the temporary files that this process is writing, which then fails: for a handler that
// ends the process. Not for use inside a signal handler of C.
void remove_unfinished_temporaries();

}  // namespace memattn
