// memattn._memattn's file functions: the library's own writer and escapes, for every file and
// message of the package. For memattn/files.py and memattn/errors.py.
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/string.h>

#include <limits>
#include <span>

#include "bindings.h"
#include "gil.h"
#include "io/atomic_file.h"
#include "io/printable.h"
#include "io/temporary_file.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

void write_file_atomically(const std::filesystem::path& path, const nb::bytes& data) {
  const std::span<const std::byte> piece(static_cast<const std::byte*>(data.data()), data.size());
  const GilRelease release;
  memattn::write_file_atomically(path, std::span(&piece, 1));
}

std::string printable(const nb::bytes& text) {
  return memattn::printable({text.c_str(), text.size()}, std::numeric_limits<std::size_t>::max());
}

}  // namespace

void init_files(nb::module_& m) {
  m.def("write_file_atomically", &write_file_atomically, "path"_a, "data"_a,
        "Replace the file by `data`; see src/io/atomic_file.h for what holds when this throws.");
  m.def("check_file_writable", &memattn::check_file_writable, "path"_a,
        nb::call_guard<GilRelease>(),
        "Raise what write_file_atomically would, as far as that shows without replacing the file.");
  m.def("remove_unfinished_files", &memattn::remove_unfinished_temporaries,
        "Remove the temporary files that this process is writing: before it ends itself.");
  m.def("printable", &printable, "text"_a, "UTF-8 with all that could steer a terminal escaped.");
}
