// The extension module memattn._memattn: how errors cross over, and the list of topics.
#include <exception>
#include <system_error>

#include "bindings.h"
#include "io/atomic_file.h"
#include "memattn/errors.h"
#include "memattn/version.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

// A message may hold a path, and a path may hold any bytes: decoded as os.fsdecode does.
nb::object to_message(const std::exception& error) {
  return nb::steal(PyUnicode_DecodeFSDefault(error.what()));
}

// FormatError is the class in `format_error`. A system error becomes OSError(errno, message), from
// which Python itself picks the subclass: FileNotFoundError, PermissionError, ...
// std::invalid_argument is a ValueError and std::bad_alloc a MemoryError by nanobind's own rules.
void translate(const std::exception_ptr& pointer, void* format_error) {
  try {
    std::rethrow_exception(pointer);
  } catch (const memattn::FormatError& error) {
    PyErr_SetObject(static_cast<PyObject*>(format_error), to_message(error).ptr());
  } catch (const std::system_error& error) {
    const nb::object arguments = nb::make_tuple(error.code().value(), to_message(error));
    PyErr_SetObject(PyExc_OSError, arguments.ptr());
  }
}

// FileReplacedError is the class in `replaced_error`, an OSError with its number.
void translate_replaced(const std::exception_ptr& pointer, void* replaced_error) {
  try {
    std::rethrow_exception(pointer);
  } catch (const memattn::FileReplacedError& error) {
    const nb::object arguments = nb::make_tuple(error.code().value(), to_message(error));
    PyErr_SetObject(static_cast<PyObject*>(replaced_error), arguments.ptr());
  }
}

}  // namespace

NB_MODULE(_memattn, m) {
  m.doc() = "The compiled part of memattn; use the package, not this.";
  m.attr("__version__") = MEMATTN_VERSION;

  const nb::exception<memattn::FormatError> format_error(m, "FormatError", PyExc_ValueError);
  format_error.attr("__module__") = "memattn";
  format_error.attr("__doc__") = "A file is not what docs/format.md says.";
  nb::register_exception_translator(translate, format_error.ptr());

  const nb::exception<memattn::FileReplacedError> replaced_error(m, "FileReplacedError",
                                                                 PyExc_OSError);
  replaced_error.attr("__doc__") = "The file is replaced, but a power cut may undo it.";
  nb::register_exception_translator(translate_replaced, replaced_error.ptr());

  init_conformal(m);
  init_files(m);
  init_layer(m);
  init_pair_layers(m);
  init_hosted(m);
  init_optimizers(m);
  init_panel(m);
  init_quick(m);
  init_runtime(m);

  // A process may end while a thread that it leaves behind holds a layer. nanobind would report
  // that as a leak, to a user who can do nothing about it. The tests turn the report on.
  nb::set_leak_warnings(false);
  m.def(
      "set_leak_warnings", &nb::set_leak_warnings, "value"_a,
      "Whether the end of the process reports the objects of this extension that are still alive.");
}
