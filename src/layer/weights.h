// The weights of the layers: their names, shapes, order and initial values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/call.h"
#include "memattn/config.h"
#include "memattn/memory_augmented_attention.h"

namespace memattn {

kernels::Dims dims_of(const MemoryAugmentedAttentionConfig& config);

// Returns the attention of a CrossAttention, or the two of a HierarchicalAttention: over the
// short-term and over the long-term input.
kernels::SequenceDims sequence_dims_of(const CrossAttentionConfig& config);
std::array<kernels::SequenceDims, 2> sequence_dims_of(const HierarchicalAttentionConfig& config);

// Returns the names, shapes and offsets of all weights in Keras' order, from the config alone.
// Without use_bias there are no biases. The config must be valid.
std::vector<WeightInfo> weight_infos(const MemoryAugmentedAttentionConfig& config);
std::vector<WeightInfo> weight_infos(const CrossAttentionConfig& config);
std::vector<WeightInfo> weight_infos(const HierarchicalAttentionConfig& config);

// Returns the number of values in all weights together.
template <typename Config>
std::int64_t count_params(const Config& config) {
  const WeightInfo last = weight_infos(config).back();
  return last.offset + last.size;
}

// Returns initial weights in the order of weight_infos: kernels glorot uniform with Keras' fans,
// biases zero, the memory by config.memory_initializer. Each value depends only on config.seed and
// its position.
template <typename T>
std::vector<T> initial_parameters(const MemoryAugmentedAttentionConfig& config);
template <typename T>
std::vector<T> initial_parameters(const CrossAttentionConfig& config);
template <typename T>
std::vector<T> initial_parameters(const HierarchicalAttentionConfig& config);

// Takes weights out of a flat buffer one by one, in the order of weight_infos(); biases are null
// without use_bias. Allocates nothing.
template <typename Value>
class WeightReader {
 public:
  // `with_biases` is the number of weights of that layer with use_bias.
  WeightReader(std::span<const WeightInfo> infos, std::size_t with_biases, Value* parameters)
      : next_(infos.data()), biases_(infos.size() == with_biases), parameters_(parameters) {}

  Value* kernel() { return parameters_ + (next_++)->offset; }
  Value* bias() { return biases_ ? kernel() : nullptr; }

  void attention(kernels::AttentionWeights<Value>& weights) {
    weights.query_kernel = kernel();
    weights.query_bias = bias();
    weights.key_kernel = kernel();
    weights.key_bias = bias();
    weights.value_kernel = kernel();
    weights.value_bias = bias();
    weights.output_kernel = kernel();
    weights.output_bias = bias();
  }

 private:
  const WeightInfo* next_;
  bool biases_;
  Value* parameters_;
};

// Returns the nine weights inside a flat buffer, from weight_infos(); biases are null without
// use_bias. Allocates nothing.
template <typename Value>
kernels::WeightPointers<Value> weight_pointers(std::span<const WeightInfo> infos,
                                               Value* parameters) {
  WeightReader<Value> reader(infos, 9, parameters);
  kernels::WeightPointers<Value> pointers;
  pointers.memory = reader.kernel();
  reader.attention(pointers);
  return pointers;
}

// Returns the twelve weights of a CrossAttention in the same way.
template <typename Value>
kernels::SequenceWeights<Value> sequence_weights(std::span<const WeightInfo> infos,
                                                 Value* parameters) {
  WeightReader<Value> reader(infos, 12, parameters);
  kernels::SequenceWeights<Value> weights;
  weights.source1_kernel = reader.kernel();
  weights.source1_bias = reader.bias();
  weights.source2_kernel = reader.kernel();
  weights.source2_bias = reader.bias();
  reader.attention(weights);
  return weights;
}

// Returns the twenty weights of a HierarchicalAttention in the same way, as those of its two
// self-attentions, in the order of sequence_dims_of().
template <typename Value>
std::array<kernels::SequenceWeights<Value>, 2> hierarchical_weights(
    std::span<const WeightInfo> infos, Value* parameters) {
  WeightReader<Value> reader(infos, 20, parameters);
  std::array<kernels::SequenceWeights<Value>, 2> sides;
  for (kernels::SequenceWeights<Value>& side : sides) {
    side.source1_kernel = side.source2_kernel = reader.kernel();
    side.source1_bias = side.source2_bias = reader.bias();
  }
  for (kernels::SequenceWeights<Value>& side : sides) reader.attention(side);
  return sides;
}

}  // namespace memattn
