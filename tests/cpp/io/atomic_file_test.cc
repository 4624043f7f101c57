// Atomic writes: after any failure the old file is complete, and no temporary file is left.
#include "io/atomic_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "io/temporary_folder.h"

namespace memattn {
namespace {

namespace fs = std::filesystem;
using testing::read_all;
using testing::TemporaryFolder;
using testing::write_all;

void write(const fs::path& path, const std::string& content) {
  const std::vector<std::span<const std::byte>> pieces = {std::as_bytes(std::span(content))};
  write_file_atomically(path, pieces);
}

// Returns the error of writing to `path`.
std::system_error error_of(const fs::path& path) {
  try {
    write(path, "new");
  } catch (const std::system_error& error) {
    return error;
  }
  ADD_FAILURE() << "no error for " << path;
  return std::system_error(std::error_code());
}

mode_t mode_of(const fs::path& path) {
  struct stat status = {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_mode & 07777;
}

TEST(AtomicFile, WritesThePiecesInOrder) {
  const TemporaryFolder folder;
  const std::string first = "one, ", empty, second(100000, 'x');
  const std::vector<std::span<const std::byte>> pieces = {std::as_bytes(std::span(first)),
                                                          std::as_bytes(std::span(empty)),
                                                          std::as_bytes(std::span(second))};
  write_file_atomically(folder / "file", pieces);
  EXPECT_EQ(read_all(folder / "file"), first + second);
  write_file_atomically(folder / "none", {});
  EXPECT_EQ(read_all(folder / "none"), "");
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"file", "none"}));
}

TEST(AtomicFile, WritesToTheWorkingFolder) {
  const TemporaryFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  write("relative", "content");
  fs::current_path(before);
  EXPECT_EQ(read_all(folder / "relative"), "content");
}

TEST(AtomicFile, ReplacesAFileAndKeepsItsPermissions) {
  const TemporaryFolder folder;
  for (const mode_t mode : {0600u, 0640u, 0666u, 0444u, 0755u}) {
    write_all(folder / "file", "old");
    ASSERT_EQ(::chmod((folder / "file").c_str(), mode), 0);
    write(folder / "file", "new");
    EXPECT_EQ(read_all(folder / "file"), "new");
    EXPECT_EQ(mode_of(folder / "file"), mode);
    fs::remove(folder / "file");
  }
}

TEST(AtomicFile, GivesNewFilesTheUmask) {
  const TemporaryFolder folder;
  const mode_t before = ::umask(027);
  write(folder / "file", "new");
  EXPECT_EQ(::umask(before), 027u) << "the umask of the process must stay as it is";
  EXPECT_EQ(mode_of(folder / "file"), 0640u);
}

TEST(AtomicFile, FollowsSymbolicLinks) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "data");
  write_all(folder / "data/real", "old");
  fs::create_symlink("data/real", folder / "link");
  fs::create_symlink("link", folder / "link to link");
  write(folder / "link to link", "new");
  EXPECT_EQ(read_all(folder / "data/real"), "new");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_TRUE(fs::is_symlink(folder / "link to link"));

  fs::create_symlink("data/fresh", folder / "dangling");
  write(folder / "dangling", "made");
  EXPECT_EQ(read_all(folder / "data/fresh"), "made");

  fs::create_symlink("circle", folder / "circle");
  EXPECT_EQ(error_of(folder / "circle").code(), std::errc::too_many_symbolic_link_levels);
}

TEST(AtomicFile, LeavesOtherHardLinksAlone) {
  const TemporaryFolder folder;
  write_all(folder / "file", "old");
  fs::create_hard_link(folder / "file", folder / "other");
  write(folder / "file", "new");
  EXPECT_EQ(read_all(folder / "other"), "old");
}

TEST(AtomicFile, RefusesPathsThatAreNotRegularFiles) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "inside");
  EXPECT_EQ(error_of(folder / "inside").code(), std::errc::is_a_directory);
  EXPECT_EQ(error_of(folder / "inside/").code(), std::errc::is_a_directory);
  EXPECT_EQ(error_of(folder / "new/").code(), std::errc::is_a_directory);
  EXPECT_EQ(error_of(folder / "inside/..").code(), std::errc::is_a_directory);
  // The test's own pipe also stands for devices: if the check failed, running this as root with
  // /dev/null would replace the machine's device.
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(error_of(folder / "pipe").code(), std::errc::invalid_argument);
  EXPECT_TRUE(fs::is_fifo(folder / "pipe"));
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"inside", "pipe"}));
}

// The file behind the stream holds other output, which a replacement would lose.
TEST(AtomicFile, RefusesOpenStreams) {
  const TemporaryFolder folder;
  write_all(folder / "log", "before");
  const int stream = ::open((folder / "log").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  ASSERT_GE(stream, 0);
  const fs::path name = "/dev/fd/" + std::to_string(stream);
  fs::create_symlink(name, folder / "link");
  for (const fs::path& path : {name, folder / "link"}) {
    EXPECT_EQ(error_of(path).code(), std::errc::invalid_argument);
    EXPECT_THROW(check_file_writable(path), std::system_error);
  }
  ::close(stream);
  EXPECT_EQ(read_all(folder / "log"), "before");
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"link", "log"}));
}

TEST(AtomicFile, FailsWithPathActionAndReason) {
  const TemporaryFolder folder;
  const auto missing = error_of(folder / "missing/file");
  EXPECT_EQ(missing.code(), std::errc::no_such_file_or_directory);
  EXPECT_EQ(missing.what(), (folder / "missing/file").string() +
                                ": cannot open its folder: No such file or directory");
  write_all(folder / "file", "old");
  EXPECT_EQ(error_of(folder / "file/below").code(), std::errc::not_a_directory);
  EXPECT_EQ(error_of(folder / std::string(300, 'n')).code(), std::errc::filename_too_long);
  EXPECT_EQ(error_of("").code(), std::errc::no_such_file_or_directory);
  EXPECT_EQ(error_of(folder / std::string("file\0hidden", 11)).code(), std::errc::invalid_argument);
  EXPECT_EQ(read_all(folder / "file"), "old");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"file"});
}

TEST(AtomicFile, AcceptsTheLongestName) {
  const TemporaryFolder folder;
  write(folder / std::string(255, 'n'), "new");
  EXPECT_EQ(read_all(folder / std::string(255, 'n')), "new");
}

// Simulates a disk that fills up half-way, in a child process whose files may have 4096 bytes.
TEST(AtomicFile, FullDiskLeavesTheOldFileAndNothingElse) {
  const TemporaryFolder folder;
  write_all(folder / "file", "old");
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    int result = 1;
    try {
      write(folder / "file", std::string(100000, 'x'));
    } catch (const std::system_error& error) {
      result = error.code() == std::errc::file_too_large ? 0 : 2;
    }
    ::_exit(result);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(read_all(folder / "file"), "old");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"file"});
}

TEST(AtomicFile, AKilledProcessLeavesACompleteFile) {
  const TemporaryFolder folder;
  const std::string first(200000, 'a'), second(300000, 'b');
  write(folder / "file", first);
  for (int round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (;;) {
        write(folder / "file", second);
        write(folder / "file", first);
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(1500 + 700 * round));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    const std::string content = read_all(folder / "file");
    ASSERT_TRUE(content == first || content == second) << content.size() << " bytes";
  }
}

TEST(AtomicFile, ThreadsThatWriteOneFileLeaveOneOfTheirContents) {
  const TemporaryFolder folder;
  std::vector<std::thread> threads;
  for (char c = 'a'; c < 'e'; ++c) {
    threads.emplace_back([&, c] {
      for (int i = 0; i < 20; ++i) write(folder / "file", std::string(50000, c));
    });
  }
  for (auto& thread : threads) thread.join();
  const std::string content = read_all(folder / "file");
  EXPECT_EQ(content, std::string(50000, content.front()));
  EXPECT_EQ(folder.names(), std::vector<std::string>{"file"});
}

}  // namespace
}  // namespace memattn
