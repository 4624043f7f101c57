// Saving and loading an optimizer while every file operation fails in turn. The old file is
// complete or the error says that it was replaced, and the optimizer does not change.
#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <vector>

#include "io/atomic_file.h"
#include "io/temporary_folder.h"
#include "memattn/optimizers.h"
#include "testing/file_faults.h"

namespace memattn {
namespace {

using testing::read_all;
using testing::TemporaryFolder;
using testing::write_all;

constexpr int kErrors[] = {ENOSPC, EIO, EDQUOT, EACCES, EINTR, FILE_FAULT_SHORT};

AdamW<float> stepped() {
  AdamW<float> optimizer({.learning_rate = 0.1});
  std::vector<float> w = {1, 2, 3};
  optimizer.step(w, std::vector<float>{1, -0.5, 0.25});
  return optimizer;
}

class OptimizerFileFaults : public ::testing::Test {
 protected:
  OptimizerFileFaults() {
    optimizer_.save(path_);
    saved_ = read_all(path_);
  }

  const TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_ / "optimizer";
  const AdamW<float> optimizer_ = stepped();
  std::string saved_;
};

TEST_F(OptimizerFileFaults, AFailedSaveLeavesTheOldFileOrReportsItsReplacement) {
  int failed = 0;
  for (const char* const call :
       {"open", "write", "fsync", "close", "rename", "fchmod", "fstat", "flock", "unlink"}) {
    for (const int error : kErrors) {
      for (int nth = 1;; ++nth) {
        SCOPED_TRACE(::testing::Message() << call << " " << nth << " fails with " << error);
        if (read_all(path_) != "old") write_all(path_, "old");
        std::string left = saved_;
        file_faults_arm(folder_.path().c_str(), call, nth, error, false);
        try {
          optimizer_.save(path_);
        } catch (const FileReplacedError&) {
          ++failed;
        } catch (const std::system_error& problem) {
          EXPECT_EQ(problem.code().value(), error) << problem.what();
          left = "old";
          ++failed;
        }
        const int calls = file_faults_disarm();
        EXPECT_EQ(read_all(path_), left);
        EXPECT_EQ(folder_.names(), std::vector<std::string>{"optimizer"});
        if (calls < nth) break;
      }
    }
  }
  EXPECT_GT(failed, 20);
  optimizer_.save(path_);
  EXPECT_EQ(read_all(path_), saved_) << "saving must not change the optimizer";
}

TEST_F(OptimizerFileFaults, ALoadReturnsTheWholeOptimizerOrThrowsTheReason) {
  int failed = 0;
  for (const char* const call : {"open", "fstat", "pread"}) {
    for (const int error : kErrors) {
      for (int nth = 1;; ++nth) {
        SCOPED_TRACE(::testing::Message() << call << " " << nth << " fails with " << error);
        AdamW<float> loaded({.learning_rate = 0.5});
        bool whole = false;
        file_faults_arm(folder_.path().c_str(), call, nth, error, false);
        try {
          loaded = AdamW<float>::load(path_);
          whole = true;
        } catch (const std::system_error& problem) {
          EXPECT_EQ(problem.code().value(), error) << problem.what();
          ++failed;
        }
        if (file_faults_disarm() < nth) break;
        if (whole) {
          loaded.save(folder_ / "again");
          EXPECT_EQ(read_all(folder_ / "again"), saved_);
        }
      }
    }
  }
  EXPECT_GT(failed, 10);
}

}  // namespace
}  // namespace memattn
