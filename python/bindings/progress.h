// What Python hears of a training while it runs.
#pragma once

#include <Python.h>
#include <nanobind/nanobind.h>

#include <chrono>
#include <optional>

// The progress function of a fit that has released the GIL: tells `callback` of step, steps and
// loss, and lets Ctrl-C and other signals through. Often enough for a smooth progress bar and a
// prompt Ctrl-C, rare enough to cost nothing. False from the callback stops the fit; anything else
// goes on, so that it need not return anything. `callback` must outlive what is returned.
inline auto report_to(const std::optional<nanobind::callable>& callback) {
  using Clock = std::chrono::steady_clock;
  return [&callback, last_call = Clock::now()](const auto& now) mutable {
    constexpr auto kInterval = std::chrono::milliseconds(50);
    const auto time = Clock::now();
    if (now.step < now.steps && time - last_call < kInterval) return true;
    last_call = time;
    const nanobind::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() != 0) throw nanobind::python_error();
    return !callback || !(*callback)(now.step, now.steps, now.loss).is(nanobind::handle(Py_False));
  };
}
