// The weights of a layer: their names, shapes, order and initial values.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/call.h"
#include "memattn/config.h"
#include "memattn/memory_augmented_attention.h"

namespace memattn {

kernels::Dims dims_of(const MemoryAugmentedAttentionConfig& config);

// Names, shapes and places of all weights in Keras' order, from the config alone; no biases without
// use_bias. The config must be valid.
std::vector<WeightInfo> weight_infos(const MemoryAugmentedAttentionConfig& config);

// The number of values in all weights together.
std::int64_t count_params(const MemoryAugmentedAttentionConfig& config);

// Fresh weights in the order of weight_infos: kernels glorot uniform with Keras' fans, biases zero,
// memory by config.memory_initializer. Each value depends on config.seed and its place alone.
template <typename T>
std::vector<T> initial_parameters(const MemoryAugmentedAttentionConfig& config);

// The nine weights inside a flat buffer; biases are null without use_bias. Allocates nothing.
template <typename Value>
kernels::WeightPointers<Value> weight_pointers(std::span<const WeightInfo> infos,
                                               Value* parameters) {
  kernels::WeightPointers<Value> pointers;
  for (const WeightInfo& info : infos) {
    Value* place = parameters + info.offset;
    if (info.name == "memory") pointers.memory = place;
    if (info.name == "query.kernel") pointers.query_kernel = place;
    if (info.name == "query.bias") pointers.query_bias = place;
    if (info.name == "key.kernel") pointers.key_kernel = place;
    if (info.name == "key.bias") pointers.key_bias = place;
    if (info.name == "value.kernel") pointers.value_kernel = place;
    if (info.name == "value.bias") pointers.value_bias = place;
    if (info.name == "output.kernel") pointers.output_kernel = place;
    if (info.name == "output.bias") pointers.output_bias = place;
  }
  return pointers;
}

}  // namespace memattn
