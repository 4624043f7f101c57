// Checks of arguments, all made before anything is written.
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

// Throws unless found == the product of `sizes`; `what` names the product, as "batch * steps".
void check_size(std::string_view function, std::string_view argument, std::size_t found,
                std::string_view what, std::initializer_list<std::int64_t> sizes);

// Throws when a layer with weights of T cannot compute in the config's precision.
template <typename T, typename Config>
void check_precision(const Config& config) {
  if (std::is_same_v<T, float> || config.precision == Precision::kFloat32) return;
  fail_argument(kLayerName<Config>, "precision", "\"bfloat16\" with weights of float64",
                "\"float32\", or a layer of float32");
}

// Whether found == the product of `sizes`: for callers whose words are made only where they are
// needed, since making them may allocate.
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

// Throws when an output shares memory with an input or with another output.
void check_overlaps(std::string_view function, std::initializer_list<Buffer> inputs,
                    std::initializer_list<Buffer> outputs);

// What a call's masks say that a token may read, and the words for it and for the call's steps.
struct Slots {
  std::int64_t count;
  std::string_view name = "memory_size";
  std::string_view steps_name = "steps";
};

// Throws unless scores that are wanted have the size of the call's.
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

// The options of a call for the kernels, checked against the sizes that they must have. Residual
// and what fully masked tokens read are the layer's to set.
kernels::Call checked_call(std::string_view function, Tokens tokens, const Slots& slots,
                           const CallOptions& options);

// The same for a layer, with what its config says.
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
