// Wrappers of the C library's calls for writing files. They ask the system which file a descriptor
// belongs to, so they keep no state per file.
#include "testing/file_faults.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace {

char armed_folder[PATH_MAX];
char armed_name[16];
int armed_nth = 0;
int armed_error = 0;
bool armed_for_good = false;
std::atomic<bool> armed{false};
std::atomic<int> seen{0};

bool below_folder(const char* path) {
  const size_t length = ::strlen(armed_folder);
  return ::strncmp(path, armed_folder, length) == 0 && (path[length] == '/' || path[length] == 0);
}

// Stores the path of a descriptor, or of the working folder for AT_FDCWD.
bool path_of(int descriptor, char* path) {
  if (descriptor == AT_FDCWD) return ::syscall(SYS_getcwd, path, PATH_MAX) > 0;
  char link[64];
  ::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const long length = ::syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
  if (length < 0) return false;
  path[length] = 0;
  return true;
}

// Returns whether a call of `name` on a file of the folder must fail, and sets errno if so.
bool fails(const char* name) {
  if (::strcmp(armed_name, "any") != 0 && ::strcmp(armed_name, name) != 0) return false;
  const int call = ++seen;
  if (armed_nth == 0 || (armed_for_good ? call < armed_nth : call != armed_nth)) return false;
  errno = armed_error;
  return true;
}

bool fails_at(const char* name, int folder, const char* path) {
  if (!armed || path == nullptr) return false;
  char start[PATH_MAX];
  if (path[0] != '/' && !path_of(folder, start)) return false;
  return below_folder(path[0] == '/' ? path : start) && fails(name);
}

bool fails_on(const char* name, int descriptor) {
  if (!armed || descriptor < 0) return false;
  char path[PATH_MAX];
  return path_of(descriptor, path) && below_folder(path) && fails(name);
}

int open_file(int folder, const char* path, int flags, mode_t mode) {
  const bool fails = fails_at("open", folder, path);
  if (fails && armed_error > 0) return -1;
  const auto file = static_cast<int>(::syscall(SYS_openat, folder, path, flags, mode));
  if (fails && armed_error == FILE_FAULT_REMOVED && (flags & O_CREAT) != 0) {
    ::syscall(SYS_unlinkat, folder, path, 0);
  }
  return file;
}

ssize_t read_at(int descriptor, void* bytes, size_t size, off_t offset) {
  if (fails_on("pread", descriptor)) {
    if (armed_error > 0) return -1;
    if (armed_error == FILE_FAULT_SHORT && size > 1) size = 1;
  }
  return ::syscall(SYS_pread64, descriptor, bytes, size, offset);
}

int rename_file(int from_folder, const char* from, int to_folder, const char* to) {
  const bool fails = fails_at("rename", to_folder, to);
  if (fails && armed_error > 0) return -1;
  const auto result =
      static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, 0));
  if (!fails || armed_error != FILE_FAULT_LOST) return result;
  errno = EIO;
  return -1;
}

int unlink_file(int folder, const char* path, int flags) {
  if (fails_at("unlink", folder, path) && armed_error > 0) return -1;
  return static_cast<int>(::syscall(SYS_unlinkat, folder, path, flags));
}

mode_t mode_argument(int flags, va_list arguments) {
  return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

}  // namespace

// The C names, with and without the suffix 64 for large files.
extern "C" {

void file_faults_arm(const char* folder, const char* name, int nth, int error, int for_good) {
  armed = false;
  ::snprintf(armed_folder, sizeof armed_folder, "%s", folder);
  ::snprintf(armed_name, sizeof armed_name, "%s", name);
  armed_nth = nth;
  armed_error = error;
  armed_for_good = for_good != 0;
  seen = 0;
  armed = true;
}

int file_faults_disarm() {
  armed = false;
  return seen;
}

#define MEMATTN_OPEN(name, ...)                        \
  va_list arguments;                                   \
  va_start(arguments, flags);                          \
  const mode_t mode = mode_argument(flags, arguments); \
  va_end(arguments);                                   \
  return open_file(__VA_ARGS__, path, flags, mode)

[[gnu::visibility("default")]] int open(const char* path, int flags, ...) {
  MEMATTN_OPEN(open, AT_FDCWD);
}
[[gnu::visibility("default")]] int open64(const char* path, int flags, ...) {
  MEMATTN_OPEN(open64, AT_FDCWD);
}
[[gnu::visibility("default")]] int openat(int folder, const char* path, int flags, ...) {
  MEMATTN_OPEN(openat, folder);
}
[[gnu::visibility("default")]] int openat64(int folder, const char* path, int flags, ...) {
  MEMATTN_OPEN(openat64, folder);
}
#undef MEMATTN_OPEN

[[gnu::visibility("default")]] ssize_t write(int descriptor, const void* bytes, size_t size) {
  if (fails_on("write", descriptor)) {
    if (armed_error > 0) return -1;
    if (armed_error == FILE_FAULT_NOTHING) return 0;
    if (armed_error == FILE_FAULT_SHORT && size > 1) size = 1;
  }
  return ::syscall(SYS_write, descriptor, bytes, size);
}
[[gnu::visibility("default")]] ssize_t pread(int descriptor, void* bytes, size_t size,
                                             off_t offset) {
  return read_at(descriptor, bytes, size, offset);
}
[[gnu::visibility("default")]] ssize_t pread64(int descriptor, void* bytes, size_t size,
                                               off64_t offset) {
  return read_at(descriptor, bytes, size, offset);
}
[[gnu::visibility("default")]] int fsync(int descriptor) {
  if (fails_on("fsync", descriptor) && armed_error > 0) return -1;
  return static_cast<int>(::syscall(SYS_fsync, descriptor));
}
[[gnu::visibility("default")]] int flock(int descriptor, int operation) noexcept {
  if (fails_on("flock", descriptor) && armed_error > 0) return -1;
  return static_cast<int>(::syscall(SYS_flock, descriptor, operation));
}
[[gnu::visibility("default")]] int fchmod(int descriptor, mode_t mode) noexcept {
  if (fails_on("fchmod", descriptor) && armed_error > 0) return -1;
  return static_cast<int>(::syscall(SYS_fchmod, descriptor, mode));
}
[[gnu::visibility("default")]] int fchown(int descriptor, uid_t owner, gid_t group) noexcept {
  if (fails_on("fchown", descriptor) && armed_error > 0) return -1;
  return static_cast<int>(::syscall(SYS_fchown, descriptor, owner, group));
}
// Every command takes at most one argument, a number or an address.
[[gnu::visibility("default")]] int fcntl(int descriptor, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  if (command == F_DUPFD_CLOEXEC && fails_on("fcntl", descriptor) && armed_error > 0) return -1;
  return static_cast<int>(::syscall(SYS_fcntl, descriptor, command, argument));
}
[[gnu::visibility("default")]] int fstat(int descriptor, struct stat* status) noexcept {
  if (fails_on("fstat", descriptor) && armed_error > 0) return -1;
  return ::fstatat(descriptor, "", status, AT_EMPTY_PATH);
}
// A close that fails closes the file nevertheless, as on Linux.
[[gnu::visibility("default")]] int close(int descriptor) {
  const bool failed = fails_on("close", descriptor) && armed_error > 0;
  const int error = errno;
  const int result = static_cast<int>(::syscall(SYS_close, descriptor));
  if (!failed) return result;
  errno = error;
  return -1;
}
[[gnu::visibility("default")]] int rename(const char* from, const char* to) noexcept {
  return rename_file(AT_FDCWD, from, AT_FDCWD, to);
}
[[gnu::visibility("default")]] int renameat(int from_folder, const char* from, int to_folder,
                                            const char* to) noexcept {
  return rename_file(from_folder, from, to_folder, to);
}
[[gnu::visibility("default")]] int unlink(const char* path) noexcept {
  return unlink_file(AT_FDCWD, path, 0);
}
[[gnu::visibility("default")]] int unlinkat(int folder, const char* path, int flags) noexcept {
  return unlink_file(folder, path, flags);
}

}  // extern "C"
