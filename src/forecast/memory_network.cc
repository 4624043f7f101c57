// The forecaster's network, with forward and backward side by side.
#include "forecast/memory_network.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "check.h"
#include "kernels/kernel_table.h"
#include "kernels/random.h"
#include "layer/weights.h"

namespace memattn {
namespace {

// Keys of the random streams that are derived from the seed.
constexpr std::uint64_t kInKernelStream = 0x696e, kDropoutStream = 0x64726f70;

// The key for the dropout of features; the key for memory layer i is i.
constexpr std::uint64_t kFeaturesPlace = 0x66656174;

constexpr double kNormEpsilon = 1e-5;

// Resizes a buffer and returns a span over all of it.
template <typename T>
std::span<T> sized(std::vector<T>& buffer, std::int64_t size) {
  buffer.resize(static_cast<std::size_t>(size));
  return buffer;
}

}  // namespace

template <typename T>
MemoryNetwork<T>::MemoryNetwork(const MemoryNetworkOptions& options)
    : options_(options), plain_(!options.pre_norm && options.dropout == 0) {
  std::int64_t end = 0;
  const auto add = [&](std::string name, std::vector<std::int64_t> shape) {
    WeightInfo info{std::move(name), std::move(shape), end, 1};
    for (const std::int64_t axis : info.shape) info.size *= axis;
    end += info.size;
    infos_.push_back(std::move(info));
    return infos_.back().offset;
  };
  const std::int64_t units = options.units;
  in_kernel_ = add("in.kernel", {options.features, units});
  in_bias_ = add("in.bias", {units});
  for (std::int64_t i = 0; i < options.layers; ++i) {
    const std::string number = to_text(i);
    norms_.push_back(end);
    if (options.pre_norm) {
      add("norm." + number + ".scale", {units});
      add("norm." + number + ".shift", {units});
    }
    layers_.emplace_back(layer_config(options, i, plain_));
    memories_.push_back(end);
    for (const WeightInfo& info : layers_.back().weight_infos()) {
      add(concat("memory.", number, ".", info.name), info.shape);
    }
  }
  head_kernel_ = add("head.kernel", {units, options.outputs});
  skip_kernel_ = add("skip.kernel", {options.skip_features, options.outputs});
  seasons_kernel_ = end;
  if (options.past_seasons.seasons > 0) {
    add("seasons.kernel", {options.past_seasons.seasons, options.outputs});
  }

  parameters_.assign(static_cast<std::size_t>(end), T(0));
  T* const w = parameters_.data();
  // LeCun's scale: elements of Z_0 have about the variance of a feature.
  const double limit = std::sqrt(3.0 / static_cast<double>(options.features));
  const std::uint64_t key = kernels::mix(options.seed, kInKernelStream);
  for (std::int64_t i = 0; i < options.features * units; ++i) {
    const double draw = kernels::uniform(kernels::mix(key, static_cast<std::uint64_t>(i)));
    w[in_kernel_ + i] = static_cast<T>(limit * (2 * draw - 1));
  }
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (options.pre_norm) std::fill_n(w + norms_[i], units, T(1));
    std::ranges::copy(layers_[i].parameters(), w + memories_[i]);
  }
}

template <typename T>
std::span<const T> MemoryNetwork<T>::weight(std::string_view name) const {
  for (const WeightInfo& info : infos_) {
    if (info.name != name) continue;
    return parameters().subspan(static_cast<std::size_t>(info.offset),
                                static_cast<std::size_t>(info.size));
  }
  fail_argument("MemoryNetwork::weight", "name", name, "a name in weight_infos()");
}

template <typename T>
void MemoryNetwork<T>::copy_to_layers() {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].set_parameters(
        parameters().subspan(static_cast<std::size_t>(memories_[i]),
                             static_cast<std::size_t>(layers_[i].count_params())));
  }
}

template <typename T>
void MemoryNetwork<T>::update(const std::function<void(std::span<T>)>& edit) {
  try {
    edit(parameters_);
  } catch (...) {
    copy_to_layers();
    throw;
  }
  copy_to_layers();
}

template <typename T>
std::int64_t MemoryNetwork<T>::windows_in(std::span<const T> features) const {
  return static_cast<std::int64_t>(features.size()) / options_.features;
}

// Each decision depends only on the seed, the step and the position of the value.
template <typename T>
void MemoryNetwork<T>::drop(double rate, std::uint64_t place, std::int64_t step, std::int64_t width,
                            std::span<T> values) const {
  const kernels::Dropout dropout{rate,
                                 kernels::mix(kernels::mix(options_.seed, kDropoutStream), place),
                                 static_cast<std::uint64_t>(step)};
  const std::uint32_t threshold = dropout.threshold();
  const T scale = static_cast<T>(dropout.scale());
  for (std::int64_t n = 0; n < static_cast<std::int64_t>(values.size()) / width; ++n) {
    const std::uint64_t key =
        kernels::Dropout::row_key(dropout.call_key(), static_cast<std::uint64_t>(n));
    T* row = values.data() + n * width;
    for (std::int64_t u = 0; u < width; ++u) {
      row[u] = kernels::Dropout::keeps(key, u, threshold) ? row[u] * scale : T(0);
    }
  }
}

template <typename T>
void MemoryNetwork<T>::drop_read(std::int64_t layer, std::int64_t step, std::span<T> values) const {
  if (step < 0 || options_.dropout == 0) return;
  drop(options_.dropout, static_cast<std::uint64_t>(layer), step, options_.units, values);
}

template <typename T>
std::span<const T> MemoryNetwork<T>::dropped_features(
    const MemoryNetworkInputs<T>& inputs, std::int64_t step,
    MemoryNetworkActivations<T>& activations) const {
  if (step < 0 || options_.input_dropout == 0) return inputs.features;
  activations.features.assign(inputs.features.begin(), inputs.features.end());
  drop(options_.input_dropout, kFeaturesPlace, step, options_.features, activations.features);
  return activations.features;
}

// normed = (z - mean) / sqrt(variance + epsilon) * scale + shift, row by row.
template <typename T>
void MemoryNetwork<T>::normalize(std::int64_t layer,
                                 MemoryNetworkActivations<T>& activations) const {
  const std::int64_t units = options_.units;
  const auto i = static_cast<std::size_t>(layer);
  const std::vector<T>& tokens = activations.tokens[i];
  const std::int64_t count = static_cast<std::int64_t>(tokens.size()) / units;
  T* normed = sized(activations.normed[i], count * units).data();
  T* inverse = sized(activations.inverse[i], count).data();
  const T* scale = parameters_.data() + norms_[i];
  const T* shift = scale + units;
  for (std::int64_t n = 0; n < count; ++n) {
    const T* z = tokens.data() + n * units;
    T mean = 0, variance = 0;
    for (std::int64_t u = 0; u < units; ++u) mean += z[u];
    mean /= static_cast<T>(units);
    for (std::int64_t u = 0; u < units; ++u) variance += (z[u] - mean) * (z[u] - mean);
    variance /= static_cast<T>(units);
    inverse[n] = 1 / std::sqrt(variance + static_cast<T>(kNormEpsilon));
    for (std::int64_t u = 0; u < units; ++u) {
      normed[n * units + u] = (z[u] - mean) * inverse[n] * scale[u] + shift[u];
    }
  }
}

// Adds the gradient that comes through the norm, from grad_read at its output, to grad_tokens.
template <typename T>
void MemoryNetwork<T>::normalize_backward(std::int64_t layer,
                                          MemoryNetworkActivations<T>& activations,
                                          std::span<T> grad_parameters) const {
  const std::int64_t units = options_.units;
  const auto i = static_cast<std::size_t>(layer);
  const auto count = static_cast<std::int64_t>(activations.inverse[i].size());
  const T* scale = parameters_.data() + norms_[i];
  T* grad_scale = grad_parameters.data() + norms_[i];
  T* grad_shift = grad_scale + units;
  std::vector<T> unit(static_cast<std::size_t>(units));  // (z - mean) / deviation
  for (std::int64_t n = 0; n < count; ++n) {
    const T* z = activations.tokens[i].data() + n * units;
    const T* grad = activations.grad_read.data() + n * units;
    const T inverse = activations.inverse[i][static_cast<std::size_t>(n)];
    T mean = 0, sum = 0, product = 0;
    for (std::int64_t u = 0; u < units; ++u) mean += z[u];
    mean /= static_cast<T>(units);
    for (std::int64_t u = 0; u < units; ++u) {
      const T value = (z[u] - mean) * inverse, slope = grad[u] * scale[u];
      unit[static_cast<std::size_t>(u)] = value;
      grad_scale[u] += grad[u] * value;
      grad_shift[u] += grad[u];
      sum += slope;
      product += slope * value;
    }
    sum /= static_cast<T>(units);
    product /= static_cast<T>(units);
    T* out = activations.grad_tokens.data() + n * units;
    for (std::int64_t u = 0; u < units; ++u) {
      out[u] += inverse * (grad[u] * scale[u] - sum - unit[static_cast<std::size_t>(u)] * product);
    }
  }
}

template <typename T>
template <typename ReadLayer>
void MemoryNetwork<T>::run(const MemoryNetworkInputs<T>& inputs, std::span<T> output,
                           MemoryNetworkActivations<T>& activations, std::int64_t dropout_step,
                           ReadLayer read_layer) const {
  const std::int64_t count = windows_in(inputs.features);
  const auto layers = static_cast<std::size_t>(options_.layers);
  activations.tokens.resize(layers + 1);
  activations.normed.resize(layers);
  activations.inverse.resize(layers);
  start_tokens(inputs, activations, dropout_step);
  for (std::size_t i = 0; i < layers; ++i) {
    const std::span<const T> from = activations.tokens[i];
    const std::span<T> to = sized(activations.tokens[i + 1], count * options_.units);
    if (plain_) {
      read_layer(i, from, to);
      continue;
    }
    const auto layer = static_cast<std::int64_t>(i);
    if (options_.pre_norm) normalize(layer, activations);
    read_layer(i, options_.pre_norm ? std::span<const T>(activations.normed[i]) : from, to);
    drop_read(layer, dropout_step, to);
    for (std::size_t j = 0; j < to.size(); ++j) to[j] += from[j];
  }
  finish(inputs, activations.tokens[layers], output);
}

template <typename T>
void MemoryNetwork<T>::start_tokens(const MemoryNetworkInputs<T>& inputs,
                                    MemoryNetworkActivations<T>& activations,
                                    std::int64_t dropout_step) const {
  const std::int64_t count = windows_in(inputs.features), units = options_.units;
  const T* const w = parameters_.data();
  T* start = sized(activations.tokens[0], count * units).data();
  for (std::int64_t n = 0; n < count; ++n) std::copy_n(w + in_bias_, units, start + n * units);
  const std::span<const T> features = dropped_features(inputs, dropout_step, activations);
  kernels::chosen_kernels<T>().multiply(true, count, units, options_.features, features.data(),
                                        options_.features, 1, w + in_kernel_, units, start, units);
}

template <typename T>
void MemoryNetwork<T>::finish(const MemoryNetworkInputs<T>& inputs, std::span<const T> tokens,
                              std::span<T> output) const {
  const kernels::Kernels<T>& kernels = kernels::chosen_kernels<T>();
  const std::int64_t count = windows_in(inputs.features), units = options_.units,
                     outputs = options_.outputs;
  const T* const w = parameters_.data();
  kernels.multiply(false, count, outputs, units, tokens.data(), units, 1, w + head_kernel_, outputs,
                   output.data(), outputs);
  kernels.multiply(true, count, outputs, options_.skip_features, inputs.skip.data(),
                   options_.skip_features, 1, w + skip_kernel_, outputs, output.data(), outputs);
  options_.past_seasons.forward(count, outputs, inputs.seasons.data(), w + seasons_kernel_,
                                output.data());
}

template <typename T>
void MemoryNetwork<T>::forward(const MemoryNetworkInputs<T>& inputs, std::span<T> output,
                               MemoryNetworkActivations<T>& activations,
                               std::int64_t dropout_step) const {
  const std::int64_t count = windows_in(inputs.features);
  activations.scores.resize(layers_.size());
  run(inputs, output, activations, dropout_step,
      [&](std::size_t i, std::span<const T> from, std::span<T> to) {
        layers_[i].forward(from, {.batch = count, .steps = 1}, to, {}, {}, &activations.scores[i]);
      });
}

template <typename T>
void MemoryNetwork<T>::predict(const MemoryNetworkInputs<T>& inputs, std::span<T> output,
                               MemoryNetworkActivations<T>& activations,
                               const SlotLeftOut* left_out, std::span<T> scores) const {
  const std::int64_t count = windows_in(inputs.features), slots = options_.memory_size,
                     layers = options_.layers;
  std::vector<std::uint8_t> keep;
  std::vector<T> of_layer(scores.empty() ? 0 : static_cast<std::size_t>(count * slots));
  run(inputs, output, activations, -1,
      [&](std::size_t i, std::span<const T> from, std::span<T> to) {
        const auto layer = static_cast<std::int64_t>(i);
        CallOptions call;
        if (left_out && left_out->layer == layer) {
          keep.assign(static_cast<std::size_t>(slots), 1);
          keep[static_cast<std::size_t>(left_out->slot)] = 0;
          call.attention_mask = {.keep = keep, .slots = slots};
        }
        layers_[i].forward(from, {.batch = count, .steps = 1}, to, call,
                           {.values = of_layer, .average_heads = true});
        for (std::int64_t n = 0; n < count && !scores.empty(); ++n) {
          std::copy_n(of_layer.data() + n * slots, slots,
                      scores.data() + (n * layers + layer) * slots);
        }
      });
}

template <typename T>
void MemoryNetwork<T>::predict_with_reads_of(const MemoryNetworkInputs<T>& donors,
                                             const MemoryNetworkInputs<T>& inputs,
                                             std::span<T> output,
                                             MemoryNetworkActivations<T>& activations) const {
  predict(donors, output, activations);
  const std::vector<T>& first = activations.tokens.front();
  const std::vector<T>& last = activations.tokens.back();
  const std::span<T> read = sized(activations.read, static_cast<std::int64_t>(first.size()));
  for (std::size_t j = 0; j < read.size(); ++j) read[j] = last[j] - first[j];
  start_tokens(inputs, activations, -1);
  std::vector<T>& tokens = activations.tokens.front();
  for (std::size_t j = 0; j < read.size(); ++j) tokens[j] += read[j];
  finish(inputs, tokens, output);
}

template <typename T>
void MemoryNetwork<T>::backward(const MemoryNetworkInputs<T>& inputs,
                                std::span<const T> grad_output,
                                MemoryNetworkActivations<T>& activations,
                                std::span<T> grad_parameters, std::int64_t dropout_step) const {
  const kernels::Kernels<T>& kernels = kernels::chosen_kernels<T>();
  const std::int64_t count = windows_in(inputs.features), units = options_.units,
                     outputs = options_.outputs;
  const std::int64_t width = options_.features, skip_width = options_.skip_features;
  T* const grads = grad_parameters.data();
  const auto layers = static_cast<std::size_t>(options_.layers);

  // output = Z_last · head.kernel + skip · skip.kernel + seasons * seasons.kernel
  options_.past_seasons.backward(count, outputs, inputs.seasons.data(), grad_output.data(),
                                 grads + seasons_kernel_);
  kernels.multiply(false, skip_width, outputs, count, inputs.skip.data(), 1, skip_width,
                   grad_output.data(), outputs, grads + skip_kernel_, outputs);
  kernels.multiply(false, units, outputs, count, activations.tokens[layers].data(), 1, units,
                   grad_output.data(), outputs, grads + head_kernel_, outputs);
  const std::span<T> head = sized(activations.head_transposed, outputs * units);
  kernels.transpose(units, outputs, parameters_.data() + head_kernel_, outputs, head.data(), units);
  const std::span<T> grad_tokens = sized(activations.grad_tokens, count * units);
  kernels.multiply(false, count, units, outputs, grad_output.data(), outputs, 1, head.data(), units,
                   grad_tokens.data(), units);

  for (std::size_t i = layers; i-- > 0;) {
    const std::span<T> grad_layer =
        grad_parameters.subspan(static_cast<std::size_t>(memories_[i]),
                                static_cast<std::size_t>(layers_[i].count_params()));
    const std::span<T> grad_read = sized(activations.grad_read, count * units);
    if (plain_) {
      // Z_{i+1} = layer(Z_i)
      layers_[i].backward(activations.tokens[i], activations.grad_tokens,
                          {.batch = count, .steps = 1}, grad_read, grad_layer, {},
                          &activations.scores[i]);
      std::swap(activations.grad_tokens, activations.grad_read);
      continue;
    }
    // Z_{i+1} = Z_i + drop(layer(norm(Z_i)))
    const auto layer = static_cast<std::int64_t>(i);
    activations.read = activations.grad_tokens;
    drop_read(layer, dropout_step, activations.read);
    const std::vector<T>& read_from =
        options_.pre_norm ? activations.normed[i] : activations.tokens[i];
    layers_[i].backward(read_from, activations.read, {.batch = count, .steps = 1}, grad_read,
                        grad_layer, {}, &activations.scores[i]);
    if (options_.pre_norm) {
      std::fill_n(grads + norms_[i], 2 * units, T(0));
      normalize_backward(layer, activations, grad_parameters);
    } else {
      for (std::size_t j = 0; j < grad_read.size(); ++j) activations.grad_tokens[j] += grad_read[j];
    }
  }

  // Z_0 = dropout(features) · in.kernel + in.bias
  const bool dropped = dropout_step >= 0 && options_.input_dropout > 0;
  const T* const features = dropped ? activations.features.data() : inputs.features.data();
  std::fill_n(grads + in_bias_, units, T(0));
  kernels.add_rows(count, units, activations.grad_tokens.data(), grads + in_bias_);
  kernels.multiply(false, width, units, count, features, 1, width, activations.grad_tokens.data(),
                   units, grads + in_kernel_, units);
}

template class MemoryNetwork<float>;
template class MemoryNetwork<double>;

}  // namespace memattn
