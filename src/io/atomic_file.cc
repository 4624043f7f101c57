// Atomic and durable writing: where the file lies, and the order of the steps.
#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>

#include "check.h"
#include "io/file_descriptor.h"
#include "io/temporary_file.h"

namespace memattn {
namespace {

namespace fs = std::filesystem;

// The number of interruptions by signals after which a sync is given up.
constexpr int kSyncAttempts = 10;

// Returns whether `path` is an entry of /proc, to which links such as /dev/stdout and /dev/fd/3
// lead. Such an entry would resolve to the file behind an open stream, which may hold other output.
bool is_stream(const fs::path& path) {
  std::error_code error;
  const fs::path folder = fs::canonical(path.has_parent_path() ? path.parent_path() : ".", error);
  return !error && folder.native().starts_with("/proc/");
}

// Follows the symbolic links in the last part of `path`, also to a file that does not exist yet.
fs::path follow_links(fs::path path) {
  constexpr int kMaxLinks = 40;  // as Linux
  for (int links = 0; links <= kMaxLinks; ++links) {
    if (is_stream(path)) fail_system(EINVAL, path, "replace it: it is an open stream");
    std::error_code error;
    const fs::path target = fs::read_symlink(path, error);
    if (error) return path;  // not a link, or missing: the next steps find out
    path = path.parent_path() / target;
  }
  fail_system(ELOOP, path, "follow the symbolic links");
}

// Returns the status of the file at `path` that will be replaced; nullopt if there is none.
std::optional<struct stat> find_old_file(const fs::path& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return std::nullopt;
    fail_system(errno, path, "replace it");
  }
  if (S_ISDIR(status.st_mode)) fail_system(EISDIR, path, "replace it");
  if (!S_ISREG(status.st_mode)) {
    fail_system(EINVAL, path, "replace it: it is not a regular file");
  }
  return status;
}

FileDescriptor open_folder(const fs::path& path) {
  const fs::path parent = path.parent_path();
  const int folder =
      ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) fail_system(errno, path, "open its folder");
  return FileDescriptor(folder);
}

// The file to write, checked as far as possible without writing.
struct Target {
  fs::path path;  // links followed
  std::optional<struct stat> old_file;
  FileDescriptor folder;  // opened first, so that this cannot fail after the rename

  // The temporary file that replaces an old file is private until it gets the old permissions. A
  // new file gets its permissions from the umask at once.
  mode_t temporary_mode() const { return old_file ? 0600 : 0666; }
};

Target find_target(const fs::path& path) {
  check_path(path, "write it");
  fs::path target = follow_links(path);
  if (target.empty()) fail_system(ENOENT, path, "write it");
  std::optional<struct stat> old_file = find_old_file(target);
  if (!target.has_filename()) fail_system(EISDIR, path, "write it");
  FileDescriptor folder = open_folder(target);
  return {std::move(target), old_file, std::move(folder)};
}

// Writes the pieces to a new temporary file and renames it over the target. Returns false, with
// nothing changed, if a signal interrupted the sync.
bool replace(const Target& target, std::span<const std::span<const std::byte>> pieces) {
  const std::string name = target.path.filename().string();
  TemporaryFile temporary(target.folder, target.path, target.temporary_mode());
  for (const auto piece : pieces) temporary.write(piece);
  if (target.old_file) temporary.take_access_of(*target.old_file);
  if (!temporary.sync()) return false;
  temporary.close();
  temporary.rename_to(name);
  return true;
}

// Syncs the folder. After an interruption it tries once more through a new descriptor, never twice
// through the same one (TemporaryFile::sync).
void sync_folder(const Target& target) {
  int error = ::fsync(target.folder.get()) == 0 ? 0 : errno;
  for (int attempt = 1; error == EINTR && attempt < kSyncAttempts; ++attempt) {
    const FileDescriptor again(
        ::openat(target.folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    error = again.valid() && ::fsync(again.get()) == 0 ? 0 : errno;
  }
  if (error == 0 || error == EINVAL) return;  // EINVAL: a file system that cannot sync folders
  throw FileReplacedError(
      error, std::generic_category(),
      concat(path_text(target.path),
             ": cannot sync its folder (the file is replaced, but a power cut may undo it)"));
}

}  // namespace

void write_file_atomically(const fs::path& path,
                           std::span<const std::span<const std::byte>> pieces) {
  const Target target = find_target(path);
  remove_abandoned_temporaries(target.folder);
  int attempts = 1;
  while (!replace(target, pieces)) {
    if (++attempts > kSyncAttempts) fail_system(EINTR, target.path, "sync it to the disk");
  }
  sync_folder(target);
}

void check_file_writable(const fs::path& path) {
  const Target target = find_target(path);
  const TemporaryFile temporary(target.folder, target.path, target.temporary_mode());
}

}  // namespace memattn
