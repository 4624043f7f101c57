// memattn._memattn.num_threads, set_num_threads, active_isa, scratch_bytes and release_scratch.
#include <nanobind/stl/string.h>

#include <string>

#include "bindings.h"
#include "memattn/runtime.h"
#include "memattn/threads.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

void init_runtime(nb::module_& m) {
  m.def("num_threads", &memattn::num_threads,
        "Threads that one call may use, the calling thread included.\n\n"
        "Unless set_num_threads was called, that is MEMATTN_NUM_THREADS, or without it the number\n"
        "of processors that this thread may run on, within the control group's CPU quota. Results\n"
        "never depend on it, bit for bit.");
  m.def("set_num_threads", &memattn::set_num_threads, "threads"_a,
        "Set how many threads one call may use, 1 to 1024, for the whole process.");
  m.def(
      "active_isa", [] { return std::string(memattn::active_isa()); },
      "The instruction set that computes: \"avx3_bf16\", \"avx3\", \"avx2\", \"sse4\", \"neon\" "
      "or\n"
      "\"scalar\".\n\n"
      "The best that this machine has, or the one that the environment variable\n"
      "MEMATTN_FORCE_ISA names. Raises ValueError when it names one that is not available.");
  m.def("scratch_bytes", &memattn::scratch_bytes,
        "Bytes of scratch that the calling thread holds between calls.\n\n"
        "Each thread that calls a layer keeps the buffer that its largest call so far needed, so\n"
        "that later calls allocate nothing.");
  m.def("release_scratch", &memattn::release_scratch,
        "Free the calling thread's scratch; its next call allocates what it needs.");
}
