// Checks of arguments, all before anything is written.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "check.h"
#include "kernels/call.h"
#include "layer/config_names.h"
#include "memattn/memory_augmented_attention.h"

namespace memattn {

// Throws unless found is the product of `sizes`, which `what` names, such as "batch * steps".
void check_size(std::string_view function, std::string_view argument, std::size_t found,
                std::string_view what, std::initializer_list<std::int64_t> sizes);

// Throws if a layer with weights of type T cannot compute in the config's precision.
template <typename T, typename Config>
void check_precision(const Config& config) {
  if (std::is_same_v<T, float> || config.precision == Precision::kFloat32) return;
  fail_argument(kLayerName<Config>, "precision", "\"bfloat16\" with weights of float64",
                "\"float32\", or a layer of float32");
}

// Returns whether found is the product of `sizes`. For callers that build the text of their message
// only if they need it, since that may allocate.
bool has_size(std::size_t found, std::initializer_list<std::int64_t> sizes);

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

// Throws if an output shares memory with an input or with another output.
void check_overlaps(std::string_view function, std::initializer_list<Buffer> inputs,
                    std::initializer_list<Buffer> outputs);

// The number of slots that a call's masks cover, and the names of slots and steps in messages.
struct Slots {
  std::int64_t count;
  std::string_view name = "memory_size";
  std::string_view steps_name = "steps";
};

// Throws unless requested scores have the size that the call needs.
template <typename T>
void check_scores(std::string_view function, std::string_view argument,
                  const ScoresOutput<T>& scores, const Tokens& tokens, std::int64_t heads,
                  const Slots& slots) {
  const std::int64_t per_token = scores.average_heads ? 1 : heads;
  const std::size_t found = scores.values.size();
  if (found == 0 || has_size(found, {tokens.batch, per_token, tokens.steps, slots.count})) return;
  const std::string steps(slots.steps_name), name(slots.name);
  check_size(function, argument, found,
             scores.average_heads ? "batch * " + steps + " * " + name
                                  : "batch * num_heads * " + steps + " * " + name,
             {tokens.batch, per_token, tokens.steps, slots.count});
}

// Returns the options of a call for the kernels, with sizes checked. The layer sets the residual
// and what fully masked tokens read.
kernels::Call checked_call(std::string_view function, Tokens tokens, const Slots& slots,
                           const CallOptions& options);

// The same for a layer, with the options of its config.
template <typename Config>
kernels::Call checked_call(std::string_view function, const Config& config, Tokens tokens,
                           const Slots& slots, const CallOptions& options) {
  kernels::Call call = checked_call(function, tokens, slots, options);
  if (options.training) call.dropout = {config.dropout, config.seed, options.dropout_step};
  call.residual = false;
  call.uniform_when_masked = config.fully_masked == FullyMasked::kUniform;
  return call;
}
inline kernels::Call checked_call(std::string_view function,
                                  const MemoryAugmentedAttentionConfig& config, Tokens tokens,
                                  const CallOptions& options) {
  kernels::Call call = checked_call(function, config, tokens, Slots{config.memory_size}, options);
  call.residual = config.residual;
  return call;
}

}  // namespace memattn
