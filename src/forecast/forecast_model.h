// The network of the forecaster, over one flat parameter buffer: from a normalised window to what
// is to be added to its seasonal-naive forecast, in units of the window's deviation.
//
//   tokens = patches(windows) · embedding.kernel + position     (N, P, U)
//   read   = tokens + attention over the learned memory         (N, P, U)
//   output = windows · linear.kernel + read · head.kernel + head.bias
//
// N windows, L lookback, P tokens of one patch each, U units. linear and head start at zero, so an
// untrained network adds nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "memattn/forecaster.h"
#include "memattn/memory_augmented_attention.h"

namespace memattn {

// What forward leaves for backward.
template <typename T>
struct ForecastActivations {
  std::vector<T> tokens;  // (N, P, U)
  std::vector<T> read;    // (N, P, U)
};

// For T = float, and double for tests. The const methods may run in many threads at once.
template <typename T>
class ForecastModel {
 public:
  // The options must be valid; the initial weights come from options.seed.
  explicit ForecastModel(const ForecasterOptions& options);

  std::int64_t tokens() const { return tokens_; }
  std::int64_t count_params() const { return static_cast<std::int64_t>(parameters_.size()); }
  std::span<const T> parameters() const { return parameters_; }
  // "linear.kernel" (L, horizon), "embedding.kernel" (patch_size, U), "position" (P, U), the
  // layer's weights after "attention.", "head.kernel" (P, U, horizon), "head.bias" (horizon).
  const std::vector<WeightInfo>& weight_infos() const { return infos_; }
  std::span<const T> weight(std::string_view name) const;
  // `edit` changes the flat buffer in place; if it throws, what it did stays.
  void update(const std::function<void(std::span<T> parameters)>& edit);

  // output (N, horizon) from windows (N, L).
  void forward(std::span<const T> windows, std::span<T> output,
               ForecastActivations<T>& activations) const;

  // grad_parameters (count_params()), overwritten, from grad_output (N, horizon).
  void backward(std::span<const T> windows, std::span<const T> grad_output,
                const ForecastActivations<T>& activations, std::span<T> grad_parameters) const;

  // scores (N, num_heads, P, memory_size) from windows (N, L).
  void attention_scores(std::span<const T> windows, std::span<T> scores) const;

 private:
  std::int64_t windows_in(std::span<const T> windows) const;
  void embed(std::span<const T> windows, std::vector<T>& tokens) const;
  void copy_to_layer();

  std::int64_t lookback_, horizon_, patch_size_, units_, tokens_;
  std::int64_t first_patch_;  // where it starts in a window
  std::vector<WeightInfo> infos_;
  // Where they start in the flat buffer.
  std::int64_t linear_kernel_, embedding_kernel_, position_, attention_, head_kernel_, head_bias_;
  std::vector<T> parameters_;
  MemoryAugmentedAttention<T> layer_;  // has a copy of its part of the buffer
};

extern template class ForecastModel<float>;
extern template class ForecastModel<double>;

}  // namespace memattn
