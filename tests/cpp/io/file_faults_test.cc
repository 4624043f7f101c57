// Every file operation fails in turn, in every way. Afterwards the old file is complete or the
// error says that it was replaced, and no temporary file is left.
#include "testing/file_faults.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "io/atomic_file.h"
#include "io/safetensors.h"
#include "io/temporary_folder.h"

namespace memattn {
namespace {

using testing::read_all;
using testing::TemporaryFolder;
using testing::write_all;

constexpr const char* kCalls[] = {"open",   "write", "fsync", "close",  "rename",
                                  "fchmod", "fstat", "flock", "unlink", "fcntl"};
constexpr int kErrors[] = {ENOSPC, EIO, EDQUOT, EACCES, EINTR, FILE_FAULT_SHORT};

void write(const std::filesystem::path& path, const std::string& content) {
  const std::vector<std::span<const std::byte>> pieces = {std::as_bytes(std::span(content))};
  write_file_atomically(path, pieces);
}

// Writes "new" over "old" while the nth `call` fails, and checks the result. Returns whether there
// was an nth call.
bool check_fault(const TemporaryFolder& folder, const char* call, int nth, int error,
                 bool for_good) {
  SCOPED_TRACE(::testing::Message() << call << " " << nth << " fails with " << error);
  if (read_all(folder / "file") != "old") write_all(folder / "file", "old");
  std::string left;
  file_faults_arm(folder.path().c_str(), call, nth, error, for_good);
  try {
    write(folder / "file", "new");
    left = "new";
  } catch (const FileReplacedError& problem) {
    left = "new";
    EXPECT_NE(std::string(problem.what()).find("the file is replaced"), std::string::npos);
    EXPECT_EQ(problem.code().value(), error);
  } catch (const std::system_error& problem) {
    left = "old";
    EXPECT_EQ(problem.code().value(), error) << problem.what();
  }
  const int calls = file_faults_disarm();
  EXPECT_EQ(read_all(folder / "file"), left);
  EXPECT_EQ(folder.names(), std::vector<std::string>{"file"});
  return calls >= nth;
}

TEST(FileFaults, AnyFailedCallOfTheWriterLeavesAWholeFile) {
  const TemporaryFolder folder;
  for (const char* const call : kCalls) {
    for (const int error : kErrors) {
      int nth = 1;
      while (check_fault(folder, call, nth, error, false)) ++nth;
      // A signal that interrupts every call forever would never end.
      if (error == EINTR) continue;
      for (nth = 1; check_fault(folder, call, nth, error, true);) ++nth;
    }
  }
}

// The first sync of the folder, the second sync in all, fails.
TEST(FileFaults, AFailedSyncOfTheFolderIsReported) {
  const TemporaryFolder folder;
  write_all(folder / "file", "old");
  file_faults_arm(folder.path().c_str(), "fsync", 2, EIO, false);
  EXPECT_THROW(write(folder / "file", "new"), FileReplacedError);
  file_faults_disarm();
  EXPECT_EQ(read_all(folder / "file"), "new");

  file_faults_arm(folder.path().c_str(), "fsync", 2, EINVAL, false);
  EXPECT_NO_THROW(write(folder / "file", "newer")) << "a file system that cannot sync folders";
  file_faults_disarm();
}

TEST(FileFaults, AnInterruptedSyncIsRetriedWithANewFileAndFinallyFails) {
  const TemporaryFolder folder;
  write_all(folder / "file", "old");
  file_faults_arm(folder.path().c_str(), "fsync", 1, EINTR, false);
  EXPECT_NO_THROW(write(folder / "file", "new"));
  EXPECT_EQ(file_faults_disarm(), 3) << "two of files, one of the folder";
  EXPECT_EQ(read_all(folder / "file"), "new");

  file_faults_arm(folder.path().c_str(), "fsync", 1, EINTR, true);
  EXPECT_THROW(write(folder / "file", "newer"), std::system_error);
  file_faults_disarm();
  EXPECT_EQ(read_all(folder / "file"), "new");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"file"});
}

TEST(FileFaults, APermanentlyInterruptedSyncOfTheFolderIsReported) {
  const TemporaryFolder folder;
  write_all(folder / "file", "old");
  file_faults_arm(folder.path().c_str(), "fsync", 2, EINTR, true);
  EXPECT_THROW(write(folder / "file", "new"), FileReplacedError);
  EXPECT_EQ(file_faults_disarm(), 11) << "one of the file, ten of the folder";
  EXPECT_EQ(read_all(folder / "file"), "new");
}

TEST(FileFaults, AWriteOfZeroBytesIsAnError) {
  const TemporaryFolder folder;
  write_all(folder / "file", "old");
  file_faults_arm(folder.path().c_str(), "write", 1, FILE_FAULT_NOTHING, true);
  EXPECT_THROW(write(folder / "file", "new"), std::system_error);
  file_faults_disarm();
  EXPECT_EQ(read_all(folder / "file"), "old");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"file"});
}

// Simulates a file server whose answer is lost.
TEST(FileFaults, ARenameThatSucceedsDespiteAnErrorIsNoError) {
  const TemporaryFolder folder;
  for (const bool exists : {true, false}) {
    if (exists) write_all(folder / "file", "old");
    file_faults_arm(folder.path().c_str(), "rename", 1, FILE_FAULT_LOST, false);
    EXPECT_NO_THROW(write(folder / "file", "new"));
    file_faults_disarm();
    EXPECT_EQ(read_all(folder / "file"), "new");
    EXPECT_EQ(folder.names(), std::vector<std::string>{"file"});
    std::filesystem::remove(folder / "file");
  }
  file_faults_arm(folder.path().c_str(), "rename", 1, EIO, false);
  EXPECT_THROW(write(folder / "file", "new"), std::system_error)
      << "there was no file, and there is none";
  file_faults_disarm();
  EXPECT_TRUE(folder.names().empty());
}

// Another writer takes a file that is not locked yet for a leftover of a killed process. It holds
// the lock for a moment, or has removed the file.
TEST(FileFaults, ATemporaryFileLostToAnotherWriterIsCreatedAgain) {
  const TemporaryFolder folder;
  write_all(folder / "file", "old");
  file_faults_arm(folder.path().c_str(), "flock", 1, EWOULDBLOCK, false);
  EXPECT_NO_THROW(write(folder / "file", "locked"));
  EXPECT_EQ(file_faults_disarm(), 2);
  EXPECT_EQ(read_all(folder / "file"), "locked");

  file_faults_arm(folder.path().c_str(), "open", 3, FILE_FAULT_REMOVED, false);
  EXPECT_NO_THROW(write(folder / "file", "removed"));
  EXPECT_EQ(file_faults_disarm(), 4) << "the folder twice, two temporary files";
  EXPECT_EQ(read_all(folder / "file"), "removed");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"file"});
}

TEST(FileFaults, ATemporaryFileThatIsAlwaysLostIsAnError) {
  const TemporaryFolder folder;
  write_all(folder / "file", "old");
  file_faults_arm(folder.path().c_str(), "flock", 1, EWOULDBLOCK, true);
  EXPECT_THROW(write(folder / "file", "new"), std::system_error);
  EXPECT_EQ(file_faults_disarm(), 100);
  EXPECT_EQ(read_all(folder / "file"), "old");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"file"});
}

// On a file system that changes no owners, the group's permissions stay only if the group does.
TEST(FileFaults, AnOwnerThatCannotBeKeptIsNoError) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  constexpr uid_t kNobody = 65534;
  const TemporaryFolder folder;
  for (const auto& [group, mode] : {std::pair(::getegid(), 0660u), std::pair(kNobody, 0600u)}) {
    write_all(folder / "file", "old");
    ASSERT_EQ(::chown((folder / "file").c_str(), kNobody, group), 0);
    ASSERT_EQ(::chmod((folder / "file").c_str(), 0660), 0);
    file_faults_arm(folder.path().c_str(), "fchown", 1, EPERM, true);
    EXPECT_NO_THROW(write(folder / "file", "new"));
    EXPECT_EQ(file_faults_disarm(), 2);
    struct stat status = {};
    ASSERT_EQ(::stat((folder / "file").c_str(), &status), 0);
    EXPECT_EQ(status.st_uid, ::geteuid());
    EXPECT_EQ(status.st_mode & 07777, mode);
  }
}

TEST(FileFaults, CheckFileWritableFailsLikeTheWriter) {
  const TemporaryFolder folder;
  write_all(folder / "file", "old");
  for (const char* const call : {"open", "fcntl"}) {
    for (int nth = 1;; ++nth) {
      int code = 0;
      file_faults_arm(folder.path().c_str(), call, nth, EACCES, false);
      try {
        check_file_writable(folder / "file");
      } catch (const std::system_error& problem) {
        code = problem.code().value();
      }
      if (file_faults_disarm() < nth) break;
      EXPECT_EQ(code, EACCES) << call << " " << nth;
      EXPECT_EQ(folder.names(), std::vector<std::string>{"file"});
    }
  }
  EXPECT_NO_THROW(check_file_writable(folder / "file"));
  EXPECT_EQ(read_all(folder / "file"), "old");
}

TEST(FileFaults, ReaderErrorsHaveTheSystemsReason) {
  const TemporaryFolder folder;
  const std::string data(8, 'x');
  write_all(folder / "file", testing::safetensors_bytes(
                                 R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})", data));
  for (const char* const call : {"open", "fstat", "pread"}) {
    for (const int error : kErrors) {
      for (int nth = 1;; ++nth) {
        std::string found(8, ' ');
        int code = 0;
        file_faults_arm(folder.path().c_str(), call, nth, error, false);
        try {
          const SafetensorsReader reader(folder / "file");
          reader.read(*reader.find("a"), std::as_writable_bytes(std::span(found)));
        } catch (const std::system_error& problem) {
          code = problem.code().value();
        }
        if (file_faults_disarm() < nth) break;
        if (code == 0) {
          EXPECT_EQ(found, data) << call << " " << nth;
          EXPECT_TRUE(error == EINTR || error == FILE_FAULT_SHORT)
              << call << " " << nth << " " << error;
        } else {
          EXPECT_EQ(code, error) << call;
        }
      }
    }
  }
}

}  // namespace
}  // namespace memattn
