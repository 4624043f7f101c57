// Atomic writing: after any failure, a file is either the old or the new one.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <system_error>

namespace memattn {

// What write_file_atomically throws when its last step fails: the new file is in place, but a power
// cut may still bring the old one back.
class FileReplacedError : public std::system_error {
 public:
  using std::system_error::system_error;
};

// Makes the pieces, one after another, the content of the file at `path`, atomically and durably:
// they go to a temporary file in the same folder (".memattn-*.tmp"), which is synced, renamed over
// `path`, and the folder synced. A reader sees the old file or the new one, whole; when this
// returns, the new one survives a power cut.
//
// A file that exists keeps its permission bits, and its owner and group if the system allows that;
// a new one gets 0666 less the umask. The temporary file is never more readable than the file that
// it becomes. A symbolic link is followed: the file that it names is replaced and the link stays.
// Only a regular file is replaced: a folder, device or pipe is refused.
//
// Throws std::system_error with the path, what was being done and the system's reason. The old file
// is then whole and the temporary file gone. The one exception is FileReplacedError.
// A process killed half-way leaves the old file and may leave the temporary one. The next write to
// the same folder removes it.
//
// Any number of threads and processes may write at once; the last one to rename wins.
void write_file_atomically(const std::filesystem::path& path,
                           std::span<const std::span<const std::byte>> pieces);

// Does all of write_file_atomically that can be done without replacing anything, and throws what it
// would throw: for a check before long work. Leaves nothing behind.
void check_file_writable(const std::filesystem::path& path);

}  // namespace memattn
