// Files that are either the old one or the new one, whatever happens in between.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace memattn {

// Makes the pieces, one after another, the content of the file at `path`, atomically and durably:
// they go to a temporary file in the same folder (".memattn-*.tmp"), which is synced, renamed over
// `path`, and the folder synced. A reader sees the old file or the new one, whole; when this
// returns, the new one survives a power cut.
//
// A file that exists keeps its permission bits; a new one gets 0666 less the umask. A symbolic link
// is followed: the file that it names is replaced and the link stays. Only a regular file is
// replaced: a folder, device or pipe is refused.
//
// Throws std::system_error with the path, what was being done and the system's reason. The old file
// is then whole and the temporary file gone, with one exception, said in the message: when the last
// step, syncing the folder, fails, the new file is in place and might not survive a power cut.
// A process killed half-way leaves the old file and may leave the temporary one.
void write_file_atomically(const std::filesystem::path& path,
                           std::span<const std::span<const std::byte>> pieces);

}  // namespace memattn
