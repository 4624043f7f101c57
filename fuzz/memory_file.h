// Shared by the fuzz targets that read files: a file in memory, and a header length that survives
// mutation.
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "memattn/errors.h"

namespace fuzz {

// A file in memory with a path.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    if (descriptor_ < 0) ::abort();
    path_ = "/proc/self/fd/" + std::to_string(descriptor_);
  }

  const std::string& path() const { return path_; }

  void assign(const char* bytes, size_t size) {
    if (::ftruncate(descriptor_, 0) != 0 ||
        ::pwrite(descriptor_, bytes, size, 0) != static_cast<ssize_t>(size)) {
      ::abort();
    }
  }

 private:
  int descriptor_;
  std::string path_;
};

// Runs `work`, which may throw FormatError for bad bytes; any other exception ends the fuzzer.
template <typename Work>
void run(const Work& work) {
  try {
    work();
  } catch (const memattn::FormatError&) {
  }
}

// Passes the bytes to `read` as a file, then once more with a correct header length, which mutation
// rarely preserves: all bytes up to the last closing brace are the header.
template <typename Read>
void read_safetensors(const uint8_t* data, size_t size, const Read& read) {
  static MemoryFile file;
  const char* bytes = reinterpret_cast<const char*>(data);
  file.assign(bytes, size);
  read(file.path());

  size_t header = size;
  while (header > 0 && bytes[header - 1] != '}') --header;
  if (header > 8) {
    std::string fixed(bytes, size);
    const uint64_t length = header - 8;
    std::memcpy(fixed.data(), &length, 8);
    file.assign(fixed.data(), fixed.size());
    read(file.path());
  }
}

}  // namespace fuzz
