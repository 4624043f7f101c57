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

// The nine weights inside a flat buffer, from the infos of weight_infos(); biases are null without
// use_bias. Allocates nothing.
template <typename Value>
kernels::WeightPointers<Value> weight_pointers(std::span<const WeightInfo> infos,
                                               Value* parameters) {
  constexpr std::size_t kWithBiases = 9;
  const bool biases = infos.size() == kWithBiases;
  auto next = infos.begin();
  const auto take = [&] { return parameters + (next++)->offset; };
  const auto take_bias = [&]() -> Value* { return biases ? take() : nullptr; };
  kernels::WeightPointers<Value> pointers;
  pointers.memory = take();
  pointers.query_kernel = take();
  pointers.query_bias = take_bias();
  pointers.key_kernel = take();
  pointers.key_bias = take_bias();
  pointers.value_kernel = take();
  pointers.value_bias = take_bias();
  pointers.output_kernel = take();
  pointers.output_bias = take_bias();
  return pointers;
}

}  // namespace memattn
