// Temporary files: which a writer removes, which it keeps, and who owns them.
#include "io/temporary_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "io/atomic_file.h"
#include "io/temporary_folder.h"

namespace memattn {
namespace {

namespace fs = std::filesystem;
using testing::read_all;
using testing::TemporaryFolder;
using testing::write_all;
using Names = std::vector<std::string>;

constexpr uid_t kNobody = 65534;

void write(const fs::path& path, const std::string& content) {
  const std::vector<std::span<const std::byte>> pieces = {std::as_bytes(std::span(content))};
  write_file_atomically(path, pieces);
}

FileDescriptor open_folder(const TemporaryFolder& folder) {
  return FileDescriptor(::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

// Runs `work` in a child process and returns its exit status, 0 unless work() threw.
int in_child(const std::function<void()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    int status = 0;
    try {
      work();
    } catch (const std::exception& problem) {
      ::perror(problem.what());
      status = 1;
    }
    ::_exit(status);
  }
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(AbandonedTemporaries, AreRemovedByTheNextWriteToTheirFolder) {
  const TemporaryFolder folder;
  write_all(folder / ".memattn-1-2-3.tmp", "left by a killed process");
  write_all(folder / ".memattn-notes", "of another program");
  write_all(folder / "memattn-1.tmp", "of another program");
  fs::create_directory(folder / ".memattn-folder.tmp");
  fs::create_symlink("memattn-1.tmp", folder / ".memattn-link.tmp");
  ASSERT_EQ(::mkfifo((folder / ".memattn-pipe.tmp").c_str(), 0600), 0);
  write(folder / "file", "new");
  EXPECT_EQ(folder.names(), (Names{".memattn-folder.tmp", ".memattn-link.tmp", ".memattn-notes",
                                   ".memattn-pipe.tmp", "file", "memattn-1.tmp"}));
}

TEST(AbandonedTemporaries, StayWhileARunningProcessHoldsThem) {
  const TemporaryFolder folder;
  const fs::path path = folder / ".memattn-1-2-3.tmp";
  write_all(path, "half");
  {
    const FileDescriptor holder(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(::flock(holder.get(), LOCK_EX | LOCK_NB), 0);
    write(folder / "file", "new");
    EXPECT_EQ(folder.names(), (Names{".memattn-1-2-3.tmp", "file"}));
  }
  write(folder / "file", "newer");
  EXPECT_EQ(folder.names(), Names{"file"});
}

TEST(AbandonedTemporaries, StayIfTheyBelongToAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const TemporaryFolder folder;
  const fs::path path = folder / ".memattn-1-2-3.tmp";
  write_all(path, "half");
  ASSERT_EQ(::chown(path.c_str(), kNobody, kNobody), 0);
  write(folder / "file", "new");
  EXPECT_EQ(folder.names(), (Names{".memattn-1-2-3.tmp", "file"}));
}

TEST(UnfinishedTemporaries, AreRemovedForAProcessThatEnds) {
  const TemporaryFolder folder;
  const FileDescriptor opened = open_folder(folder);
  const fs::path target = folder / "file";
  std::optional<TemporaryFile> first(std::in_place, opened, target, 0600);
  std::optional<TemporaryFile> second(std::in_place, opened, target, 0600);
  std::optional<TemporaryFile> third(std::in_place, opened, target, 0600);
  EXPECT_EQ(folder.names().size(), 3u);
  second.reset();  // from the middle of the list
  EXPECT_EQ(folder.names().size(), 2u);
  EXPECT_EQ(in_child(remove_unfinished_temporaries), 0);
  EXPECT_EQ(folder.names().size(), 2u) << "a child must not remove the files of its parent";

  remove_unfinished_temporaries();
  EXPECT_TRUE(folder.names().empty());
  EXPECT_THROW(first->rename_to("file"), std::system_error) << "the write then fails";
  first.reset();
  third.reset();
  remove_unfinished_temporaries();
  EXPECT_NO_THROW(write(target, "new"));
}

TEST(UnfinishedTemporaries, AChildProcessWritesItsOwnFiles) {
  const TemporaryFolder folder;
  const FileDescriptor opened = open_folder(folder);
  const fs::path target = folder / "file";
  {
    const TemporaryFile held(opened, target, 0600);
    EXPECT_EQ(in_child([&] { write(folder / "of the child", "new"); }), 0);
    EXPECT_EQ(folder.names().size(), 2u);
  }
  EXPECT_EQ(folder.names(), Names{"of the child"});
}

TEST(CheckFileWritable, LeavesEverythingAsItWas) {
  const TemporaryFolder folder;
  check_file_writable(folder / "new");
  EXPECT_TRUE(folder.names().empty());
  write_all(folder / "file", "old");
  check_file_writable(folder / "file");
  EXPECT_EQ(read_all(folder / "file"), "old");
  EXPECT_EQ(folder.names(), Names{"file"});
  EXPECT_THROW(check_file_writable(folder / "missing/file"), std::system_error);
  EXPECT_THROW(check_file_writable(folder.path()), std::system_error);
}

// Writes a file of `mode` that belongs to root or nobody, as root or nobody; returns its new
// status.
struct stat rewritten(mode_t mode, uid_t owner, bool as_nobody) {
  const TemporaryFolder folder;
  const fs::path path = folder / "file";
  EXPECT_EQ(::chmod(folder.path().c_str(), 0777), 0);
  write_all(path, "old");
  EXPECT_EQ(::chown(path.c_str(), owner, owner), 0);
  EXPECT_EQ(::chmod(path.c_str(), mode), 0);
  EXPECT_EQ(in_child([&] {
              if (as_nobody && (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)) ::_exit(2);
              write(path, "new");
            }),
            0);
  EXPECT_EQ(read_all(path), "new");
  struct stat status = {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status;
}

TEST(Access, OwnerAndGroupAreKeptIfTheSystemAllowsIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can write as another user";
  const struct stat kept = rewritten(0640, kNobody, false);
  EXPECT_EQ(kept.st_uid, kNobody);
  EXPECT_EQ(kept.st_gid, kNobody);
  EXPECT_EQ(kept.st_mode & 07777, 0640u);

  // Neither can be restored: the writer's group gets no more rights than all users.
  const struct stat other = rewritten(0664, 0, true);
  EXPECT_EQ(other.st_uid, kNobody);
  EXPECT_EQ(other.st_gid, kNobody);
  EXPECT_EQ(other.st_mode & 07777, 0644u);
  EXPECT_EQ(rewritten(0660, 0, true).st_mode & 07777, 0600u);
}

// The owner is lost, but the group is also the writer's and stays.
TEST(Access, AGroupThatStaysKeepsItsPermissions) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can write as another user";
  const TemporaryFolder folder;
  const fs::path path = folder / "file";
  ASSERT_EQ(::chmod(folder.path().c_str(), 0777), 0);
  write_all(path, "old");
  ASSERT_EQ(::chown(path.c_str(), 0, kNobody), 0);
  ASSERT_EQ(::chmod(path.c_str(), 0660), 0);
  ASSERT_EQ(in_child([&] {
              if (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) ::_exit(2);
              write(path, "new");
            }),
            0);
  struct stat status = {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, kNobody);
  EXPECT_EQ(status.st_gid, kNobody);
  EXPECT_EQ(status.st_mode & 07777, 0660u);
}

}  // namespace
}  // namespace memattn
