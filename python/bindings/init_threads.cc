// memattn._memattn.num_threads and set_num_threads.
#include "bindings.h"
#include "memattn/threads.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

void init_threads(nb::module_& m) {
  m.def("num_threads", &memattn::num_threads,
        "Threads that one call may use, the calling thread included.\n\n"
        "Unless set_num_threads was called, that is MEMATTN_NUM_THREADS, or without it the number\n"
        "of processors that this thread may run on, within the control group's CPU quota. Results\n"
        "never depend on it, bit for bit.");
  m.def("set_num_threads", &memattn::set_num_threads, "threads"_a,
        "Set how many threads one call may use, 1 to 1024, for the whole process.");
}
