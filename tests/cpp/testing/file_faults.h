// Calls on files that fail on demand: what a program does about a full disk, a bad one, a signal.
// A program links file_faults.cc, or loads it with LD_PRELOAD (tests/python/test_file_faults.py).
#pragma once

extern "C" {

// Values of `error` that are no errno.
enum {
  FILE_FAULT_SHORT = 0,     // a write takes one byte; other calls succeed
  FILE_FAULT_NOTHING = -1,  // a write takes nothing; other calls succeed
  FILE_FAULT_LOST = -2,     // a rename is done and fails with EIO; other calls succeed
  FILE_FAULT_REMOVED = -3,  // another process removes the file that open has made; others succeed
};

// From now on the `nth` call (from 1) of `name` on a file below `folder`, an absolute path, fails
// with the errno value `error`, or as above. `name` is one of open, write, fsync, close, rename,
// fchmod, fchown, fstat, unlink, flock, pread, fcntl (F_DUPFD_CLOEXEC alone), or "any".
// `for_good`: all calls after it as well. `nth` 0 only counts.
void file_faults_arm(const char* folder, const char* name, int nth, int error, int for_good);

// Back to normal. Returns how many calls there were that could have failed.
int file_faults_disarm();

}  // extern "C"
