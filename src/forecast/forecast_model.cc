// The network of the forecaster, forward and backward side by side.
#include "forecast/forecast_model.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "check.h"
#include "kernels/matmul.h"
#include "kernels/random.h"

namespace memattn {
namespace {

using kernels::add_rows;
using kernels::matmul_add;
using kernels::matmul_transposed_add;

// The layer draws from the seed itself, the embedding from this stream of it.
constexpr std::uint64_t kEmbeddingStream = 0x656d62656464;

Config layer_config(const ForecasterOptions& options) {
  Config config;
  config.units = options.units;
  config.memory_size = options.memory_size;
  config.num_heads = options.num_heads;
  config.seed = options.seed;
  return config;
}

// out (rows, n), every row a copy of `row` (n).
template <typename T>
void fill_rows(std::int64_t rows, std::int64_t n, const T* row, T* out) {
  for (std::int64_t i = 0; i < rows; ++i) std::copy(row, row + n, out + i * n);
}

}  // namespace

template <typename T>
ForecastModel<T>::ForecastModel(const ForecasterOptions& options)
    : lookback_(options.lookback),
      horizon_(options.horizon),
      patch_size_(options.patch_size),
      units_(options.units),
      tokens_(options.lookback / options.patch_size),
      first_patch_(options.lookback % options.patch_size),
      layer_(layer_config(options)) {
  std::int64_t end = 0;
  const auto add = [&](std::string name, std::vector<std::int64_t> shape) {
    WeightInfo info{std::move(name), std::move(shape), end, 1};
    for (const std::int64_t axis : info.shape) info.size *= axis;
    end += info.size;
    infos_.push_back(std::move(info));
    return infos_.back().offset;
  };
  linear_kernel_ = add("linear.kernel", {lookback_, horizon_});
  embedding_kernel_ = add("embedding.kernel", {patch_size_, units_});
  position_ = add("position", {tokens_, units_});
  attention_ = end;
  for (const WeightInfo& info : layer_.weight_infos()) add("attention." + info.name, info.shape);
  head_kernel_ = add("head.kernel", {tokens_, units_, horizon_});
  head_bias_ = add("head.bias", {horizon_});

  parameters_.assign(static_cast<std::size_t>(end), T(0));
  const double limit = std::sqrt(6.0 / static_cast<double>(patch_size_ + units_));  // Glorot's
  const std::uint64_t key = kernels::mix(options.seed, kEmbeddingStream);
  for (std::int64_t i = 0; i < patch_size_ * units_; ++i) {
    const double draw = kernels::uniform(kernels::mix(key, static_cast<std::uint64_t>(i)));
    parameters_[static_cast<std::size_t>(embedding_kernel_ + i)] =
        static_cast<T>(limit * (2 * draw - 1));
  }
  const std::span<const T> layer = layer_.parameters();
  std::copy(layer.begin(), layer.end(), parameters_.begin() + attention_);
}

template <typename T>
std::span<const T> ForecastModel<T>::weight(std::string_view name) const {
  for (const WeightInfo& info : infos_) {
    if (info.name != name) continue;
    return parameters().subspan(static_cast<std::size_t>(info.offset),
                                static_cast<std::size_t>(info.size));
  }
  fail_argument("ForecastModel::weight", "name", name, "a name in weight_infos()");
}

template <typename T>
void ForecastModel<T>::copy_to_layer() {
  layer_.set_parameters(parameters().subspan(static_cast<std::size_t>(attention_),
                                             static_cast<std::size_t>(layer_.count_params())));
}

template <typename T>
void ForecastModel<T>::update(const std::function<void(std::span<T>)>& edit) {
  try {
    edit(parameters_);
  } catch (...) {
    copy_to_layer();
    throw;
  }
  copy_to_layer();
}

template <typename T>
std::int64_t ForecastModel<T>::windows_in(std::span<const T> windows) const {
  return static_cast<std::int64_t>(windows.size()) / lookback_;
}

// Patch p of all windows at once: its values and its tokens lie a fixed distance apart.
template <typename T>
void ForecastModel<T>::embed(std::span<const T> windows, std::vector<T>& tokens) const {
  const std::int64_t count = windows_in(windows), width = tokens_ * units_;
  tokens.resize(static_cast<std::size_t>(count * width));
  fill_rows(count, width, parameters_.data() + position_, tokens.data());
  for (std::int64_t p = 0; p < tokens_; ++p) {
    const T* patches = windows.data() + first_patch_ + p * patch_size_;
    matmul_add(count, units_, patch_size_, patches, lookback_,
               parameters_.data() + embedding_kernel_, units_, tokens.data() + p * units_, width);
  }
}

template <typename T>
void ForecastModel<T>::forward(std::span<const T> windows, std::span<T> output,
                               ForecastActivations<T>& activations) const {
  const std::int64_t count = windows_in(windows), width = tokens_ * units_;
  embed(windows, activations.tokens);
  activations.read.resize(activations.tokens.size());
  layer_.forward(activations.tokens, activations.read, count, tokens_);

  fill_rows(count, horizon_, parameters_.data() + head_bias_, output.data());
  matmul_add(count, horizon_, lookback_, windows.data(), lookback_,
             parameters_.data() + linear_kernel_, horizon_, output.data(), horizon_);
  matmul_add(count, horizon_, width, activations.read.data(), width,
             parameters_.data() + head_kernel_, horizon_, output.data(), horizon_);
}

template <typename T>
void ForecastModel<T>::backward(std::span<const T> windows, std::span<const T> grad_output,
                                const ForecastActivations<T>& activations,
                                std::span<T> grad_parameters) const {
  const std::int64_t count = windows_in(windows), width = tokens_ * units_;
  T* const grads = grad_parameters.data();
  std::fill(grad_parameters.begin(), grad_parameters.end(), T(0));

  // output = head.bias + windows · linear.kernel + read · head.kernel
  add_rows(count, horizon_, grad_output.data(), horizon_, grads + head_bias_);
  matmul_transposed_add(lookback_, horizon_, count, windows.data(), lookback_, grad_output.data(),
                        horizon_, grads + linear_kernel_, horizon_);
  matmul_transposed_add(width, horizon_, count, activations.read.data(), width, grad_output.data(),
                        horizon_, grads + head_kernel_, horizon_);
  std::vector<T> head_transposed(static_cast<std::size_t>(horizon_ * width));
  kernels::transpose(width, horizon_, parameters_.data() + head_kernel_, horizon_, T(1),
                     head_transposed.data());
  std::vector<T> grad_read(activations.read.size(), T(0));
  matmul_add(count, width, horizon_, grad_output.data(), horizon_, head_transposed.data(), width,
             grad_read.data(), width);

  // read = layer(tokens)
  std::vector<T> grad_tokens(activations.tokens.size());
  layer_.backward(activations.tokens, grad_read, count, tokens_, grad_tokens,
                  grad_parameters.subspan(static_cast<std::size_t>(attention_),
                                          static_cast<std::size_t>(layer_.count_params())));

  // tokens = patches(windows) · embedding.kernel + position
  add_rows(count, width, grad_tokens.data(), width, grads + position_);
  for (std::int64_t p = 0; p < tokens_; ++p) {
    const T* patches = windows.data() + first_patch_ + p * patch_size_;
    matmul_transposed_add(patch_size_, units_, count, patches, lookback_,
                          grad_tokens.data() + p * units_, width, grads + embedding_kernel_,
                          units_);
  }
}

template <typename T>
void ForecastModel<T>::attention_scores(std::span<const T> windows, std::span<T> scores) const {
  std::vector<T> tokens;
  embed(windows, tokens);
  layer_.forward(tokens, tokens, windows_in(windows), tokens_, {}, {.values = scores});
}

template class ForecastModel<float>;
template class ForecastModel<double>;

}  // namespace memattn
