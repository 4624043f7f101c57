// Checks of what a caller hands in, all made before anything is written.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "kernels/call.h"
#include "memattn/memory_augmented_attention.h"

namespace memattn {

// Throws unless found == the product of `sizes`; `what` names the product, as "batch * steps".
void check_size(std::string_view function, std::string_view argument, std::size_t found,
                std::string_view what, std::initializer_list<std::int64_t> sizes);

// A buffer of a call, for check_overlaps.
struct Buffer {
  template <typename Value>
  Buffer(std::string_view buffer_name, std::span<Value> values)
      : name(buffer_name),
        begin(reinterpret_cast<std::uintptr_t>(values.data())),
        end(begin + values.size_bytes()) {}

  std::string_view name;
  std::uintptr_t begin;
  std::uintptr_t end;
};

// Throws when an output shares memory with an input or with another output.
void check_overlaps(std::string_view function, std::initializer_list<Buffer> inputs,
                    std::initializer_list<Buffer> outputs);

// The options of a call for the kernels, checked against the sizes that they must have.
kernels::Call checked_call(std::string_view function, const MemoryAugmentedAttentionConfig& config,
                           Tokens tokens, const CallOptions& options);

}  // namespace memattn
