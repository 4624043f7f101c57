// Any bytes as an optimizer's file give FormatError, or an optimizer that takes a step and can be
// saved.
#include <string>
#include <vector>

#include "memattn/optimizers.h"
#include "memory_file.h"

namespace {

template <typename Kind, typename T>
void load(const std::string& path) {
  fuzz::run([&] {
    Kind optimizer = Kind::load(path);
    Kind again(optimizer.options());
    again.restore(optimizer.state());  // a loaded state can be restored
    const std::int64_t parameters = optimizer.state().parameters;
    std::vector<T> w(static_cast<size_t>(parameters > 0 ? parameters : 1), T(1)), gradients = w;
    optimizer.step(w, gradients);
  });
}

void read_everything(const std::string& path) {
  load<memattn::Sgd<float>, float>(path);
  load<memattn::Sgd<double>, double>(path);
  load<memattn::Adam<float>, float>(path);
  load<memattn::Adam<double>, double>(path);
  load<memattn::AdamW<float>, float>(path);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::read_safetensors(data, size, read_everything);
  return 0;
}
