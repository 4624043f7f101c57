// The GIL in a process that may end at any moment. Once the interpreter finalizes, CPython before
// 3.14 ends every other thread that asks for the GIL: it calls pthread_exit, inside
// PyEval_RestoreThread or in the middle of Python code. That unwinds the stack, and where it meets
// a noexcept function or a catch (...), which surround every call that nanobind dispatches, the
// process aborts. Here such a thread sleeps until the process has ended, as CPython's own threads
// do from 3.14 on.
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
  GilRelease() : thread_(PyEval_SaveThread()), outer_(innermost_) { innermost_ = this; }
  ~GilRelease() {
    innermost_ = outer_;
    call_python([this] { PyEval_RestoreThread(thread_); });
  }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  friend class GilAcquire;
  static inline thread_local GilRelease* innermost_ = nullptr;  // of this thread

  PyThreadState* const thread_;
  GilRelease* const outer_;
};

// Holds the GIL while it lives, in a thread that a GilRelease further out has taken it from. It
// does without PyGILState_Ensure, which reads what the interpreter frees at its end.
class GilAcquire {
 public:
  GilAcquire() {
    call_python([] { PyEval_RestoreThread(GilRelease::innermost_->thread_); });
  }
  ~GilAcquire() { PyEval_SaveThread(); }
  GilAcquire(const GilAcquire&) = delete;
  GilAcquire& operator=(const GilAcquire&) = delete;
};
