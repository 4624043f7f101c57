// What Python hears of a computation that has released the GIL while it runs.
#pragma once

#include <Python.h>
#include <nanobind/nanobind.h>

#include <chrono>
#include <functional>
#include <optional>

#include "gil.h"

// Says when an interval has passed since it last said so. 50 ms are often enough for a smooth
// progress bar and a prompt Ctrl-C, and rare enough to cost nothing.
class Interval {
 public:
  bool passed() {
    const auto now = Clock::now();
    if (now - last_ < std::chrono::milliseconds(50)) return false;
    last_ = now;
    return true;
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_ = Clock::now();
};

// Returns a poll for a computation: it lets Ctrl-C and other signals through.
inline std::function<void()> poll_for_signals() {
  return [interval = Interval()]() mutable {
    if (!interval.passed()) return;
    const GilAcquire acquire;
    call_python([] {
      if (PyErr_CheckSignals() != 0) throw nanobind::python_error();
    });
  };
}

// Returns the progress function of a fit: it tells `callback` of step, steps and loss, and lets
// signals through. False from the callback stops the fit; anything else goes on, so that it need
// not return anything. `callback` must outlive what is returned.
inline auto report_to(const std::optional<nanobind::callable>& callback) {
  return [&callback, interval = Interval()](const auto& now) mutable {
    if (!interval.passed() && now.step < now.steps) return true;
    const GilAcquire acquire;
    return call_python([&] {
      if (PyErr_CheckSignals() != 0) throw nanobind::python_error();
      return !callback ||
             !(*callback)(now.step, now.steps, now.loss).is(nanobind::handle(Py_False));
    });
  };
}
