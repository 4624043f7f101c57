// The GIL in a process that may end at any moment. Once the interpreter finalizes, CPython before
// 3.14 ends every other thread that asks for the GIL: it calls pthread_exit inside
// PyEval_RestoreThread, inside PyGILState_Ensure, or in the middle of Python code. That unwinds the
// stack, and where it meets a noexcept function or a catch (...), which surround every call that
// nanobind dispatches, the process aborts. Here such a thread sleeps until the process has ended,
// as CPython's own threads do from 3.14 on.
//
// GilRelease and GilAcquire replace the types of nanobind everywhere in the extension. They use
// nothing outside of CPython's limited API.
#pragma once

#include <Python.h>
#include <cxxabi.h>
#include <unistd.h>

// Returns function(), which takes the GIL or runs Python code. If the interpreter ends the thread
// in there, the call never returns and no frame below it is unwound: they keep their references,
// locks and buffers.
template <typename Function>
decltype(auto) call_python(const Function& function) {
  try {
    return function();
  } catch (const abi::__forced_unwind&) {
    // To leave this handler would go on with the unwinding, or end the process.
    for (;;) ::pause();
  }
}

// Gives up the GIL while it lives.
class GilRelease {
 public:
  GilRelease() : thread_(PyEval_SaveThread()) {}
  ~GilRelease() {
    call_python([this] { PyEval_RestoreThread(thread_); });
  }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* const thread_;
};

// Holds the GIL while it lives.
class GilAcquire {
 public:
  GilAcquire() : state_(call_python([] { return PyGILState_Ensure(); })) {}
  ~GilAcquire() { PyGILState_Release(state_); }
  GilAcquire(const GilAcquire&) = delete;
  GilAcquire& operator=(const GilAcquire&) = delete;

 private:
  const PyGILState_STATE state_;
};
