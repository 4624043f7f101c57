// Atomic and durable writing, by the calls of POSIX.
#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <system_error>

#include "check.h"
#include "io/file_descriptor.h"

namespace memattn {
namespace {

namespace fs = std::filesystem;

// `path` with symbolic links in its last part followed, also to a file that is not there yet.
fs::path follow_links(fs::path path) {
  constexpr int kMaxLinks = 40;  // as Linux
  for (int links = 0; links <= kMaxLinks; ++links) {
    std::error_code error;
    const fs::path target = fs::read_symlink(path, error);
    if (error) return path;  // not a link, or not there: the steps that follow tell
    path = path.parent_path() / target;
  }
  fail_system(ELOOP, path, "follow the symbolic links");
}

// The permission bits of a new file at `path`, and whether an old one is there to take them from.
struct Mode {
  mode_t bits = 0666;
  bool of_old_file = false;
};

Mode choose_mode(const fs::path& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    fail_system(errno, path, "replace it");
  }
  if (S_ISDIR(status.st_mode)) fail_system(EISDIR, path, "replace it");
  if (!S_ISREG(status.st_mode)) {
    fail_system(EINVAL, path, "replace it: it is not a regular file");
  }
  return {static_cast<mode_t>(status.st_mode & 0777), true};
}

FileDescriptor open_folder(const fs::path& path) {
  const fs::path parent = path.parent_path();
  const int folder =
      ::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) fail_system(errno, path, "open its folder");
  return FileDescriptor(folder);
}

// A temporary file inside an open folder; removed by the destructor unless it was renamed.
class TemporaryFile {
 public:
  TemporaryFile(const FileDescriptor& folder, const fs::path& target, mode_t mode)
      : folder_(folder.get()), target_(target) {
    static std::atomic<std::uint64_t> counter{0};
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    constexpr int kAttempts = 100;  // only a name left by a killed process can be taken
    for (int i = 0; i < kAttempts; ++i) {
      // Not made from the target's name, which may already be as long as the system allows.
      name_ = concat(".memattn-", ::getpid(), "-", now, "-", counter++, ".tmp");
      file_ = FileDescriptor(
          ::openat(folder_, name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
      if (file_.valid()) return;
      if (errno != EEXIST && errno != EINTR) break;
    }
    const int error = errno;
    fail_system(error, target_, concat("create the temporary file ", name_, " in its folder"));
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (!name_.empty()) ::unlinkat(folder_, name_.c_str(), 0);
  }

  void set_mode(mode_t mode) {
    if (::fchmod(file_.get(), mode) != 0) fail("set its permissions");
  }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written == 0) errno = EIO;  // never seen on a regular file; must not loop for ever
      if (written <= 0) fail("write it");
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }

  // On the disk, and closed.
  void finish() {
    while (::fsync(file_.get()) != 0) {
      if (errno != EINTR) fail("sync it to the disk");
    }
    // Some network file systems tell of a full disk only here. After EINTR Linux has closed it.
    if (::close(file_.release()) != 0 && errno != EINTR) fail("close it");
  }

  void rename_to(const fs::path& name) {
    if (::renameat(folder_, name_.c_str(), folder_, name.c_str()) != 0) {
      fail("rename the temporary file to it");
    }
    name_.clear();
  }

 private:
  [[noreturn]] void fail(std::string_view action) { fail_system(errno, target_, action); }

  int folder_;
  const fs::path& target_;  // for messages
  std::string name_;        // inside the folder; empty once renamed
  FileDescriptor file_;
};

void sync_folder(const FileDescriptor& folder, const fs::path& path) {
  while (::fsync(folder.get()) != 0) {
    if (errno == EINVAL) return;  // a file system without such a call for folders
    if (errno != EINTR) {
      fail_system(errno, path,
                  "sync its folder (the file is replaced, but a power cut may undo it)");
    }
  }
}

}  // namespace

void write_file_atomically(const fs::path& path,
                           std::span<const std::span<const std::byte>> pieces) {
  check_path(path, "write it");
  const fs::path target = follow_links(path);
  if (target.empty()) fail_system(ENOENT, path, "write it");
  const Mode mode = choose_mode(target);
  if (!target.has_filename()) fail_system(EISDIR, path, "write it");
  const FileDescriptor folder = open_folder(target);  // first, so that it cannot fail after rename

  TemporaryFile temporary(folder, target, mode.bits);
  if (mode.of_old_file) temporary.set_mode(mode.bits);  // openat took the umask off
  for (const auto piece : pieces) temporary.write(piece);
  temporary.finish();
  temporary.rename_to(target.filename());
  sync_folder(folder, target);
}

}  // namespace memattn
