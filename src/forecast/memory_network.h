// The network of the forecaster, over one flat parameter buffer: one token a window reads learned
// memories, with a linear path beside it.
//
//   Z_0     = features · in.kernel + in.bias              (N, U)
//   Z_{i+1} = Z_i + dropout(read_i(norm(Z_i)))            (N, U), one memory layer each
//   output  = Z_last · head.kernel + skip · skip.kernel + seasons * seasons.kernel   (N, O)
//
// N windows, U units, O outputs; norm is there with pre_norm, else it is the identity; * is that of
// SeasonPath, there with past seasons. The last three kernels start at zero: an untrained network
// says 0.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "forecast/season_path.h"
#include "memattn/memory_augmented_attention.h"

namespace memattn {

struct MemoryNetworkOptions {
  std::int64_t features = 0;       // F
  std::int64_t skip_features = 0;  // V, of the linear path
  SeasonPath past_seasons = {};
  std::int64_t outputs = 0;  // O
  std::int64_t units = 64;   // U, of the memory layers, as the next two
  std::int64_t memory_size = 32;
  std::int64_t num_heads = 4;
  std::int64_t layers = 2;  // 0: Z_0 goes straight to the head
  bool pre_norm = false;    // layer normalisation in front of each memory layer
  double dropout = 0.0;     // on what a memory layer adds; in [0, 1)
  MemoryInitializer memory_initializer = {};
  std::uint64_t seed = 0;
};

// The number of weights of a network with these options, which is not made for it.
std::int64_t count_params(const MemoryNetworkOptions& options);

// A slot of a memory layer that no window reads: its attention goes to the other slots of the
// layer.
struct SlotLeftOut {
  std::int64_t layer = 0;
  std::int64_t slot = 0;
};

// Of N windows.
template <typename T>
struct MemoryNetworkInputs {
  std::span<const T> features;      // (N, F)
  std::span<const T> skip;          // (N, V)
  std::span<const T> seasons = {};  // (N, P, S)
};

// What forward leaves for backward; used by one thread at a time.
template <typename T>
struct MemoryNetworkActivations {
  std::vector<std::vector<T>> tokens;           // Z_i, (N, U), layers + 1 of them
  std::vector<std::vector<T>> normed;           // norm(Z_i), and
  std::vector<std::vector<T>> inverse;          // (N), 1 / deviation, both with pre_norm only
  std::vector<ScoresCache<T>> scores;           // of each layer
  std::vector<T> read, grad_tokens, grad_read;  // scratch, (N, U)
  std::vector<T> head_transposed;
};

// For T = float, and double for tests. The const methods may run in many threads at once.
template <typename T>
class MemoryNetwork {
 public:
  // The options must be valid; the initial weights come from options.seed.
  explicit MemoryNetwork(const MemoryNetworkOptions& options);

  const MemoryNetworkOptions& options() const { return options_; }
  std::int64_t count_params() const { return static_cast<std::int64_t>(parameters_.size()); }
  std::span<const T> parameters() const { return parameters_; }
  // "in.kernel" (F, U), "in.bias" (U), for each memory layer i "norm.i.scale" (U) and
  // "norm.i.shift" (U) with pre_norm and the layer's weights after "memory.i.", "head.kernel" (U,
  // O), "skip.kernel" (V, O) and with past seasons "seasons.kernel" (P, O).
  const std::vector<WeightInfo>& weight_infos() const { return infos_; }
  std::span<const T> weight(std::string_view name) const;
  // `edit` changes the flat buffer in place; if it throws, what it did stays.
  void update(const std::function<void(std::span<T> parameters)>& edit);

  // output (N, O). In training, dropout draws anew for each `dropout_step`, which is not negative;
  // a negative one leaves dropout out. backward knows nothing of a slot left out.
  void forward(const MemoryNetworkInputs<T>& inputs, std::span<T> output,
               MemoryNetworkActivations<T>& activations, std::int64_t dropout_step = -1,
               const SlotLeftOut* left_out = nullptr) const;

  // scores (N, layers, S): the attention of each memory layer, the mean over heads, after forward
  // with the same features.
  void attention_scores(const MemoryNetworkActivations<T>& activations, std::span<T> scores) const;

  // grad_parameters (count_params()), overwritten, from grad_output (N, O), after forward with the
  // same inputs and dropout_step.
  void backward(const MemoryNetworkInputs<T>& inputs, std::span<const T> grad_output,
                MemoryNetworkActivations<T>& activations, std::span<T> grad_parameters,
                std::int64_t dropout_step = -1) const;

 private:
  std::int64_t windows_in(std::span<const T> features) const;
  void copy_to_layers();
  void drop(std::int64_t layer, std::int64_t step, std::span<T> values) const;
  void normalize(std::int64_t layer, MemoryNetworkActivations<T>& activations) const;
  void normalize_backward(std::int64_t layer, MemoryNetworkActivations<T>& activations,
                          std::span<T> grad_parameters) const;

  MemoryNetworkOptions options_;
  bool plain_;  // the layer adds what it reads by itself
  std::vector<WeightInfo> infos_;
  // Where they start in the flat buffer.
  std::int64_t in_kernel_, in_bias_, head_kernel_, skip_kernel_, seasons_kernel_;
  std::vector<std::int64_t> norms_, memories_;  // by layer
  std::vector<T> parameters_;
  std::vector<MemoryAugmentedAttention<T>> layers_;  // each has a copy of its part of the buffer
};

extern template class MemoryNetwork<float>;
extern template class MemoryNetwork<double>;

}  // namespace memattn
