// Any bytes as a file: the reader and the loader of layers give FormatError or what the bytes say.
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "memattn/errors.h"
#include "memattn/memory_augmented_attention.h"

namespace {

// A file in memory with a path of its own.
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

template <typename Work>
void run(const Work& work) {
  try {
    work();
  } catch (const memattn::FormatError&) {
    // The one answer to bad bytes; any other exception ends the fuzzer.
  }
}

template <typename T>
void load(const std::string& path) {
  using Layer = memattn::MemoryAugmentedAttention<T>;
  const Layer layer = Layer::load(path);
  std::vector<T> x(static_cast<size_t>(layer.config().units), T(1)), y(x.size());
  layer.forward(x, {.batch = 1, .steps = 1}, y);
}

void read_everything(const std::string& path) {
  run([&] {
    const memattn::SafetensorsReader reader(path);
    for (const auto& tensor : reader.tensors()) {
      std::vector<std::byte> data(tensor.end - tensor.begin);
      reader.read(tensor, data);
      if (reader.find(tensor.name) != &tensor) ::abort();
    }
  });
  run([&] { load<float>(path); });
  run([&] { load<double>(path); });
  run([&] { static_cast<void>(memattn::layer_file_dtype(path)); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static MemoryFile file;
  const char* bytes = reinterpret_cast<const char*>(data);
  file.assign(bytes, size);
  read_everything(file.path());

  // The same again with a header length that tells the truth, which mutation rarely keeps: all
  // bytes up to the last closing brace are the header.
  size_t header = size;
  while (header > 0 && bytes[header - 1] != '}') --header;
  if (header > 8) {
    std::string fixed(bytes, size);
    const uint64_t length = header - 8;
    std::memcpy(fixed.data(), &length, 8);
    file.assign(fixed.data(), fixed.size());
    read_everything(file.path());
  }
  return 0;
}
