// What Debian's libstdc++ asks of glibc and one before 2.32 does not have: with it the extension
// can be linked against the older one (MEMATTN_GLIBC_STUBS).

extern "C" {

// Whether the process has never had a second thread. False is always right: reference counts are
// then counted by atomic operations.
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;

}  // extern "C"
