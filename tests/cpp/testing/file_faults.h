// File operations that fail on request, to test a full disk, a bad disk or a signal. A program
// links file_faults.cc, or loads it with LD_PRELOAD (tests/python/test_file_faults.py).
#pragma once

extern "C" {

// Values of `error` that are not an errno.
enum {
  FILE_FAULT_SHORT = 0,     // a write takes one byte; other calls succeed
  FILE_FAULT_NOTHING = -1,  // a write takes no bytes; other calls succeed
  FILE_FAULT_LOST = -2,     // a rename succeeds but reports EIO; other calls succeed
  FILE_FAULT_REMOVED = -3,  // another process removes the file that open created; others succeed
};

// From now on the `nth` call (from 1) of `name` on a file below `folder`, an absolute path, fails
// with the errno value `error`, or as listed above. `name` is one of open, write, fsync, close,
// rename, fchmod, fchown, fstat, unlink, flock, pread, fcntl (F_DUPFD_CLOEXEC only), or "any". With
// `for_good`, all later calls fail too. With `nth` 0 it only counts.
void file_faults_arm(const char* folder, const char* name, int nth, int error, int for_good);

// Disarms the faults. Returns the number of calls that could have failed.
int file_faults_disarm();

}  // extern "C"
