// The forecaster's network, over one flat parameter buffer. Each window is one token that reads the
// learned memories; a linear path runs beside them.
//
//   Z_0     = dropout(features) · in.kernel + in.bias     (N, U)
//   Z_{i+1} = Z_i + dropout(read_i(norm(Z_i)))            (N, U), one memory layer each
//   output  = Z_last · head.kernel + skip · skip.kernel + seasons * seasons.kernel   (N, O)
//
// N windows, U units, O outputs. norm is the identity without pre_norm. The product * is that of
// SeasonPath, and its term exists only for windows of past seasons. The last three kernels start at
// zero, so the output of an untrained network is 0.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "forecast/memory_network_options.h"
#include "memattn/memory_augmented_attention.h"

namespace memattn {

// A slot of a memory layer that no window reads; the layer's other slots get its attention.
struct SlotLeftOut {
  std::int64_t layer = 0;
  std::int64_t slot = 0;
};

// The inputs of N windows.
template <typename T>
struct MemoryNetworkInputs {
  std::span<const T> features;      // (N, F)
  std::span<const T> skip;          // (N, V)
  std::span<const T> seasons = {};  // (N, P, S)
};

// Values that forward leaves for backward, and scratch. For one thread at a time.
template <typename T>
struct MemoryNetworkActivations {
  std::vector<T> features;                      // dropout(features) (N, F), if input_dropout > 0
  std::vector<std::vector<T>> tokens;           // Z_i (N, U), layers + 1 of them
  std::vector<std::vector<T>> normed;           // norm(Z_i) (N, U), with pre_norm only
  std::vector<std::vector<T>> inverse;          // 1 / deviation of Z_i (N), with pre_norm only
  std::vector<ScoresCache<T>> scores;           // of each memory layer, after forward in training
  std::vector<T> read, grad_tokens, grad_read;  // scratch (N, U)
  std::vector<T> head_transposed;               // scratch (O, U)
};

// For T = float, and double in tests. Several threads may call the const methods at once.
template <typename T>
class MemoryNetwork {
 public:
  // Draws the initial weights from options.seed. The options must be valid.
  explicit MemoryNetwork(const MemoryNetworkOptions& options);

  const MemoryNetworkOptions& options() const { return options_; }
  std::int64_t count_params() const { return static_cast<std::int64_t>(parameters_.size()); }
  std::span<const T> parameters() const { return parameters_; }
  // "in.kernel" (F, U), "in.bias" (U); for each memory layer i "norm.i.scale" (U) and
  // "norm.i.shift" (U) with pre_norm, then the layer's weights with the prefix "memory.i.";
  // "head.kernel" (U, O), "skip.kernel" (V, O) and, with past seasons, "seasons.kernel" (P, O).
  const std::vector<WeightInfo>& weight_infos() const { return infos_; }
  std::span<const T> weight(std::string_view name) const;
  // Calls `edit` to change the flat buffer in place. If it throws, its changes stay.
  void update(const std::function<void(std::span<T> parameters)>& edit);

  // Sets the precision of the memory layers in predict; forward and backward stay in T.
  void set_precision(Precision precision) {
    for (MemoryAugmentedAttention<T>& layer : layers_) layer.set_precision(precision);
  }

  // Computes output (N, O) for backward. Each `dropout_step` from 0 on draws a new dropout; without
  // one, nothing is dropped.
  void forward(const MemoryNetworkInputs<T>& inputs, std::span<T> output,
               MemoryNetworkActivations<T>& activations, std::int64_t dropout_step = -1) const;

  // Computes output (N, O) with the bits of forward without dropout, and keeps nothing for
  // backward. With `scores` (N, layers, S), also writes the attention scores of each memory layer,
  // averaged over its heads.
  void predict(const MemoryNetworkInputs<T>& inputs, std::span<T> output,
               MemoryNetworkActivations<T>& activations, const SlotLeftOut* left_out = nullptr,
               std::span<T> scores = {}) const;

  // Computes output (N, O) from `inputs`, with the contribution of the memory layers, Z_last - Z_0,
  // taken from as many other windows.
  void predict_with_reads_of(const MemoryNetworkInputs<T>& donors,
                             const MemoryNetworkInputs<T>& inputs, std::span<T> output,
                             MemoryNetworkActivations<T>& activations) const;

  // Computes grad_parameters (count_params()), overwritten, from grad_output (N, O). Call it after
  // forward with the same inputs and dropout_step.
  void backward(const MemoryNetworkInputs<T>& inputs, std::span<const T> grad_output,
                MemoryNetworkActivations<T>& activations, std::span<T> grad_parameters,
                std::int64_t dropout_step = -1) const;

 private:
  std::int64_t windows_in(std::span<const T> features) const;
  void copy_to_layers();
  // Runs the forward pass; read_layer(i, from, to) calls memory layer i.
  template <typename ReadLayer>
  void run(const MemoryNetworkInputs<T>& inputs, std::span<T> output,
           MemoryNetworkActivations<T>& activations, std::int64_t dropout_step,
           ReadLayer read_layer) const;
  // Computes Z_0.
  void start_tokens(const MemoryNetworkInputs<T>& inputs, MemoryNetworkActivations<T>& activations,
                    std::int64_t dropout_step) const;
  // Computes the output from Z_last.
  void finish(const MemoryNetworkInputs<T>& inputs, std::span<const T> tokens,
              std::span<T> output) const;
  // Applies dropout in place to values (N, width) at one place in the network.
  void drop(double rate, std::uint64_t place, std::int64_t step, std::int64_t width,
            std::span<T> values) const;
  void drop_read(std::int64_t layer, std::int64_t step, std::span<T> values) const;
  // Returns the features after dropout, as the memory layers receive them.
  std::span<const T> dropped_features(const MemoryNetworkInputs<T>& inputs, std::int64_t step,
                                      MemoryNetworkActivations<T>& activations) const;
  void normalize(std::int64_t layer, MemoryNetworkActivations<T>& activations) const;
  void normalize_backward(std::int64_t layer, MemoryNetworkActivations<T>& activations,
                          std::span<T> grad_parameters) const;

  MemoryNetworkOptions options_;
  bool plain_;  // the memory layer adds its input itself and returns Z_{i+1}
  std::vector<WeightInfo> infos_;
  // Offsets of weights in the flat buffer.
  std::int64_t in_kernel_, in_bias_, head_kernel_, skip_kernel_, seasons_kernel_;
  std::vector<std::int64_t> norms_, memories_;  // by layer
  std::vector<T> parameters_;
  std::vector<MemoryAugmentedAttention<T>> layers_;  // each copies its part of the buffer
};

extern template class MemoryNetwork<float>;
extern template class MemoryNetwork<double>;

}  // namespace memattn
