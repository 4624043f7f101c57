// Every call on a file fails in turn, in every way: the old file is whole or the error says that it
// is replaced, and no temporary file stays.
#include "testing/file_faults.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <vector>

#include "io/atomic_file.h"
#include "io/safetensors.h"
#include "io/temporary_folder.h"

namespace memattn {
namespace {

using testing::read_all;
using testing::TemporaryFolder;
using testing::write_all;

constexpr const char* kCalls[] = {"open",   "write", "fsync", "close", "rename",
                                  "fchmod", "fstat", "flock", "unlink"};
constexpr int kShort = 0;
constexpr int kErrors[] = {ENOSPC, EIO, EDQUOT, EACCES, EINTR, kShort};

void write(const std::filesystem::path& path, const std::string& content) {
  const std::vector<std::span<const std::byte>> pieces = {std::as_bytes(std::span(content))};
  write_file_atomically(path, pieces);
}

// Writes "new" over "old" with the nth `call` failing, and checks what is left. Returns whether
// there was such a call.
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

TEST(FileFaults, EveryCallOfTheWriterMayFail) {
  const TemporaryFolder folder;
  for (const char* const call : kCalls) {
    for (const int error : kErrors) {
      int nth = 1;
      while (check_fault(folder, call, nth, error, false)) ++nth;
      // A signal that interrupts every call for ever is no fault that ends.
      if (error == EINTR) continue;
      for (nth = 1; check_fault(folder, call, nth, error, true);) ++nth;
    }
  }
}

// The first sync of the folder fails, which is the second of all.
TEST(FileFaults, AFolderThatCannotBeSyncedIsTold) {
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

TEST(FileFaults, AnInterruptedSyncIsMadeOfANewFileAndGivenUpInTheEnd) {
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

TEST(FileFaults, AReaderSaysWhatTheSystemSays) {
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
          EXPECT_TRUE(error == EINTR || error == kShort) << call << " " << nth << " " << error;
        } else {
          EXPECT_EQ(code, error) << call;
        }
      }
    }
  }
}

}  // namespace
}  // namespace memattn
