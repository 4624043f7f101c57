// Creates, locks and finds temporary files with POSIX calls and flock.
#include "io/temporary_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <mutex>

#include "check.h"

namespace memattn {
namespace {

constexpr std::string_view kPrefix = ".memattn-";
constexpr std::string_view kSuffix = ".tmp";

// Repeats `call` as long as signals interrupt it; returns its last result.
template <typename Call>
auto uninterrupted(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// Returns whether another process or thread has locked the file, and takes the lock if it is free.
// A file on a file system without locks counts as free, with `supported` false.
struct Lock {
  bool taken;
  bool supported;
};

Lock lock(const FileDescriptor& file) {
  if (uninterrupted([&] { return ::flock(file.get(), LOCK_EX | LOCK_NB); }) == 0) {
    return {.taken = true, .supported = true};
  }
  return {.taken = false, .supported = errno == EWOULDBLOCK};
}

// The unfinished files of this process. The mutex is held across fork() so that a child can use it.
constinit std::mutex listing;
constinit TemporaryFile* unfinished = nullptr;

}  // namespace

TemporaryFile::TemporaryFile(const FileDescriptor& folder, const std::filesystem::path& target,
                             mode_t mode)
    : folder_(folder.get()), target_(target) {
  static std::atomic<std::uint64_t> counter{0};
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  constexpr int kAttempts = 100;  // a killed process may have left a file of that name
  for (int i = 0; i < kAttempts; ++i) {
    // Not derived from the target's name, which may already have the longest allowed length.
    name_ = concat(kPrefix, ::getpid(), "-", now, "-", counter++, kSuffix);
    if (create(mode)) {
      enlist();
      return;
    }
    if (errno != EEXIST && errno != EINTR) break;
  }
  const int error = errno;
  fail_system(error, target_, concat("create the temporary file ", name_, " in its folder"));
}

TemporaryFile::~TemporaryFile() {
  if (!name_.empty()) ::unlinkat(folder_, name_.c_str(), 0);
  leave();
}

// Returns false, with errno set and no file, if the file cannot be created. After EEXIST the caller
// tries another name.
bool TemporaryFile::create(mode_t mode) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  file_ = FileDescriptor(::openat(folder_, name_.c_str(), kFlags, mode));
  if (!file_.valid()) return false;
  lock_ = FileDescriptor(::fcntl(file_.get(), F_DUPFD_CLOEXEC, 0));
  int error = lock_.valid() ? 0 : errno;
  if (error == 0) {
    // Another writer may have taken the file for abandoned before the lock, and removed it.
    const Lock locked = lock(lock_);
    struct stat status;
    const bool lost = !locked.taken && locked.supported;
    if (lost || (::fstat(lock_.get(), &status) == 0 && status.st_nlink == 0)) error = EEXIST;
  }
  if (error == 0) return true;
  ::unlinkat(folder_, name_.c_str(), 0);
  errno = error;
  return false;
}

void TemporaryFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        uninterrupted([&] { return ::write(file_.get(), bytes.data(), bytes.size()); });
    if (written == 0) errno = EIO;  // never seen on a regular file, but avoids an endless loop
    if (written <= 0) fail("write it");
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void TemporaryFile::take_access_of(const struct stat& old) {
  struct stat now;
  if (::fstat(file_.get(), &now) != 0) fail("read the permissions of its temporary file");
  mode_t bits = old.st_mode & 0777;
  if (now.st_uid != old.st_uid || now.st_gid != old.st_gid) {
    const bool same = ::fchown(file_.get(), old.st_uid, old.st_gid) == 0 ||
                      ::fchown(file_.get(), static_cast<uid_t>(-1), old.st_gid) == 0 ||
                      now.st_gid == old.st_gid;
    if (!same) bits &= ~mode_t{070} | (bits & 07) << 3;
  }
  if (uninterrupted([&] { return ::fchmod(file_.get(), bits); }) != 0) fail("set its permissions");
}

bool TemporaryFile::sync() {
  if (::fsync(file_.get()) == 0) return true;
  if (errno == EINTR) return false;
  fail("sync it to the disk");
}

void TemporaryFile::close() {
  // Some network file systems report a full disk only here. After EINTR, Linux has closed the file.
  if (::close(file_.release()) != 0 && errno != EINTR) fail("close it");
}

void TemporaryFile::rename_to(const std::string& name) {
  if (::renameat(folder_, name_.c_str(), folder_, name.c_str()) != 0) {
    // A file server may have renamed the file although its answer was lost.
    const int error = errno;
    struct stat ours, found;
    const bool renamed = ::fstat(lock_.get(), &ours) == 0 &&
                         ::fstatat(folder_, name.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0 &&
                         ours.st_dev == found.st_dev && ours.st_ino == found.st_ino;
    errno = error;
    if (!renamed) fail("rename the temporary file to it");
  }
  leave();
  name_.clear();
}

void TemporaryFile::enlist() {
  static const int registered =
      ::pthread_atfork([] { listing.lock(); },  //
                       [] { listing.unlock(); }, [] { listing.unlock(); });
  (void)registered;  // if out of memory, a child forked during a write cannot write files
  const std::lock_guard guard(listing);
  process_ = ::getpid();
  next_ = unfinished;
  if (next_ != nullptr) next_->previous_ = this;
  unfinished = this;
}

void TemporaryFile::leave() {
  const std::lock_guard guard(listing);
  if (process_ == 0) return;
  (previous_ != nullptr ? previous_->next_ : unfinished) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
  process_ = 0;
}

void TemporaryFile::fail(std::string_view action) const { fail_system(errno, target_, action); }

void remove_abandoned_temporaries(const FileDescriptor& folder) {
  // A separate open file description, since reading moves its position.
  const int descriptor = ::openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  DIR* const entries = ::fdopendir(descriptor);
  if (entries == nullptr) {  // GCOVR_EXCL_START: the C library has no memory for a stream
    ::close(descriptor);
    return;
  }  // GCOVR_EXCL_STOP
  while (const dirent* const entry = ::readdir(entries)) {
    const std::string_view name = entry->d_name;
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    // Another program may have put a pipe or a link there.
    constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    const FileDescriptor file(::openat(folder.get(), entry->d_name, kFlags));
    struct stat status;
    if (file.valid() && ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode) &&
        status.st_uid == ::geteuid() && lock(file).taken) {
      ::unlinkat(folder.get(), entry->d_name, 0);
    }
  }
  ::closedir(entries);
}

void remove_unfinished_temporaries() {
  const std::lock_guard guard(listing);
  for (const TemporaryFile* file = unfinished; file != nullptr; file = file->next_) {
    // After fork() the list still contains the files of the parent.
    if (file->process_ == ::getpid()) ::unlinkat(file->folder_, file->name_.c_str(), 0);
  }
}

}  // namespace memattn
