// Atomic writing: after any failure, a file is either the old or the new one.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <system_error>

namespace memattn {

// Thrown by write_file_atomically when its last step fails: the new file is in place, but a power
// cut may still bring the old one back.
class FileReplacedError : public std::system_error {
 public:
  using std::system_error::system_error;
};

// Makes the concatenated pieces the content of the file at `path`, atomically and durably. It
// writes them to a temporary file in the same folder (".memattn-*.tmp"), syncs that, renames it to
// `path`, and syncs the folder. A reader sees the old file or the new one, complete. Once the call
// returns, the new file survives a power cut.
//
// An existing file keeps its permission bits, and its owner and group if the system allows that. A
// new one gets 0666 less the umask. The temporary file is never more readable than the file that it
// becomes. A symbolic link is kept, and the file that it names is replaced. Only a regular file is
// replaced: a folder, device or pipe is an error.
//
// Throws std::system_error with the path, the failed step and the system's reason. The old file is
// then complete and the temporary file gone, except after FileReplacedError. A process killed
// half-way leaves the old file and may leave the temporary one, which the next write to the same
// folder removes.
//
// Any number of threads and processes may write at once; the last one to rename wins.
void write_file_atomically(const std::filesystem::path& path,
                           std::span<const std::span<const std::byte>> pieces);

// Does everything that write_file_atomically can do without replacing a file, and throws the same
// errors: a check before long work. Leaves nothing behind.
void check_file_writable(const std::filesystem::path& path);

}  // namespace memattn
