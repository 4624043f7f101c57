// The instruction set in use, and the scratch of the calling thread.
#include "memattn/runtime.h"

#include "kernels/kernel_table.h"
#include "layer/scratch.h"

namespace memattn {

std::string_view active_isa() { return kernels::chosen_kernels<float>().isa; }

std::int64_t scratch_bytes() noexcept {
  return static_cast<std::int64_t>(scratch_buffer<float>().capacity() * sizeof(float) +
                                   scratch_buffer<double>().capacity() * sizeof(double));
}

void release_scratch() noexcept {
  scratch_buffer<float>() = kernels::AlignedVector<float>();
  scratch_buffer<double>() = kernels::AlignedVector<double>();
}

}  // namespace memattn
