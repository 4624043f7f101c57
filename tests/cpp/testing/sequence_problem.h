// A call of CrossAttention or HierarchicalAttention with its inputs, and the expected results from
// the reference: values, scores, and gradients by the complex step.
#pragma once

#include <algorithm>
#include <array>
#include <complex>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/reference.h"
#include "layer/checks.h"
#include "layer/weights.h"
#include "memattn/memory_augmented_attention.h"
#include "testing/arrays.h"

namespace memattn::testing {

// One attention of a layer, in the form that sequence_forward takes.
template <typename Scalar>
struct SequencePart {
  kernels::SequenceDims dims;
  kernels::SequenceWeights<const Scalar> weights;
};

// Returns the attentions of a layer, whose outputs it adds, over the flat buffer of its weights.
template <typename Scalar>
std::vector<SequencePart<Scalar>> sequence_parts(const CrossAttentionConfig& config,
                                                 const Scalar* parameters) {
  const std::vector<WeightInfo> infos = weight_infos(config);
  return {{sequence_dims_of(config), sequence_weights(infos, parameters)}};
}
template <typename Scalar>
std::vector<SequencePart<Scalar>> sequence_parts(const HierarchicalAttentionConfig& config,
                                                 const Scalar* parameters) {
  const std::vector<WeightInfo> infos = weight_infos(config);
  const auto dims = sequence_dims_of(config);
  const auto weights = hierarchical_weights(infos, parameters);
  return {{dims[0], weights[0]}, {dims[1], weights[1]}};
}

// Returns the widths of the two inputs.
inline std::array<std::int64_t, 2> input_units(const CrossAttentionConfig& config) {
  return {config.resolved_source1_units(), config.resolved_source2_units()};
}
inline std::array<std::int64_t, 2> input_units(const HierarchicalAttentionConfig& config) {
  return {config.resolved_short_units(), config.resolved_long_units()};
}

// Returns weights without zeros, including biases, so that every term matters. The values fit in
// float32, so that both types start from the same ones.
template <typename Config>
std::vector<double> random_sequence_weights(const Config& config, std::uint64_t seed) {
  std::vector<double> all;
  std::uint64_t stream = 100 * seed;
  for (const WeightInfo& info : weight_infos(config)) {
    const auto size = static_cast<double>(info.size), units = static_cast<double>(config.units);
    const bool to_units = info.shape.size() == 2 || info.name.ends_with("output.kernel");
    const double fan_in = info.name.ends_with(".bias") ? 10 : to_units ? size / units : units;
    for (const float value : normal_array<float>(info.size, ++stream, 1 / std::sqrt(fan_in))) {
      all.push_back(static_cast<double>(value));
    }
  }
  return all;
}

template <typename Config>
struct SequenceProblem {
  // In self-attention each input reads itself, and both have T1 = T2 steps.
  static constexpr bool kSelf = std::is_same_v<Config, HierarchicalAttentionConfig>;

  Config config;
  std::int64_t batch = 2, steps1 = 3, steps2 = kSelf ? 3 : 4;
  // Masks; empty for none. mask1 (B, T1) and mask2 (B, T2) are the masks of the two inputs:
  // query_mask and value_mask, or short_mask and long_mask.
  std::vector<std::uint8_t> attention_mask, mask1, mask2;
  std::array<std::int64_t, 3> attention_shape = {};  // broadcasts to (B, T1, T2)
  // The other options of the call; its masks are ignored.
  CallOptions options;
  std::vector<double> weights, x1, x2, g;

  // Draws the values that are not set; call it after setting the fields above.
  void draw(std::uint64_t seed) {
    const auto [units1, units2] = input_units(config);
    weights = random_sequence_weights(config, seed);
    x1 = converted<double>(normal_array<float>(batch * steps1 * units1, seed + 1));
    x2 = converted<double>(normal_array<float>(batch * steps2 * units2, seed + 2));
    g = converted<double>(normal_array<float>(batch * steps1 * config.units, seed + 3));
  }
  void mask_attention(std::int64_t b, std::int64_t t, std::int64_t s, std::uint64_t seed) {
    attention_mask = random_mask(b * t * s, seed);
    attention_shape = {b, t, s};
  }
  void mask_first(std::uint64_t seed) { mask1 = random_mask(batch * steps1, seed); }
  void mask_second(std::uint64_t seed) { mask2 = random_mask(batch * steps2, seed); }

  // Returns the options of the layer's attention number `part`, with views of the masks above.
  CallOptions options_of(std::size_t part) const {
    CallOptions all = options;
    const auto [b, t, s] = attention_shape;
    all.attention_mask =
        attention_mask.empty() ? AttentionMask{} : AttentionMask{attention_mask, b, t, s};
    all.query_mask = kSelf && part == 1 ? mask2 : mask1;
    all.value_mask = kSelf && part == 0 ? mask1 : mask2;
    return all;
  }
  kernels::Call call_of(std::size_t part) const {
    // For the checks, the second input is a memory of T2 slots.
    const MemoryAugmentedAttentionConfig slots{.units = config.units,
                                               .memory_size = steps2,
                                               .num_heads = config.num_heads,
                                               .dropout = config.dropout,
                                               .fully_masked = config.fully_masked,
                                               .seed = config.seed};
    return checked_call("reference", slots, {batch, steps1}, options_of(part));
  }

  struct Values {
    std::vector<double> y;
    std::vector<std::vector<double>> scores;  // of each attention, (B, H, T1, T2)
  };
  Values reference() const {
    Values values{std::vector<double>(static_cast<std::size_t>(batch * steps1 * config.units)), {}};
    run(Inputs<double>{weights, x1, x2}, values.y, &values.scores);
    return values;
  }

  struct Gradients {
    std::vector<double> weights, x1, x2;
  };
  // Returns d sum(y * g) by every weight and every input: Im f(v + i h) / h, exact to rounding.
  Gradients complex_step() const {
    ComplexInputs inputs(*this);
    const auto derivatives = [&](std::vector<std::complex<double>>& values) {
      std::vector<double> result;
      for (std::complex<double>& value : values) {
        value += std::complex<double>(0, kStep);
        result.push_back(derivative(inputs));
        value = value.real();
      }
      return result;
    };
    Gradients gradients;
    gradients.weights = derivatives(inputs.weights);
    gradients.x1 = derivatives(inputs.x1);
    gradients.x2 = derivatives(inputs.x2);
    return gradients;
  }

  // Returns the derivative of sum(y * g) along a direction in the weights, from `offset` on.
  double along_weights(std::span<const double> direction, std::size_t offset) const {
    ComplexInputs inputs(*this);
    return along(inputs, std::span(inputs.weights).subspan(offset), direction);
  }
  // The same along a direction in x1 or x2.
  double along_x1(std::span<const double> direction) const {
    ComplexInputs inputs(*this);
    return along(inputs, inputs.x1, direction);
  }
  double along_x2(std::span<const double> direction) const {
    ComplexInputs inputs(*this);
    return along(inputs, inputs.x2, direction);
  }

 private:
  static constexpr double kStep = 1e-200;

  template <typename Scalar>
  struct Inputs {
    std::vector<Scalar> weights, x1, x2;
  };
  struct ComplexInputs : Inputs<std::complex<double>> {
    explicit ComplexInputs(const SequenceProblem& problem)
        : Inputs<std::complex<double>>{converted<std::complex<double>>(problem.weights),
                                       converted<std::complex<double>>(problem.x1),
                                       converted<std::complex<double>>(problem.x2)} {}
  };

  double along(const ComplexInputs& inputs, std::span<std::complex<double>> values,
               std::span<const double> direction) const {
    for (std::size_t i = 0; i < direction.size(); ++i) {
      values[i] += std::complex<double>(0, kStep * direction[i]);
    }
    return derivative(inputs);
  }

  // Returns d sum(y * g) along the imaginary parts of the inputs, which are multiples of kStep.
  double derivative(const ComplexInputs& inputs) const {
    std::vector<std::complex<double>> y(g.size());
    run(inputs, y);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += y[i].imag() / kStep * g[i];
    return sum;
  }

  template <typename Scalar>
  void run(const Inputs<Scalar>& inputs, std::vector<Scalar>& y,
           std::vector<std::vector<Scalar>>* scores = nullptr) const {
    const auto parts = sequence_parts(config, inputs.weights.data());
    std::vector<Scalar> part_y(y.size());
    std::ranges::fill(y, Scalar(0));
    for (std::size_t i = 0; i < parts.size(); ++i) {
      Scalar* part_scores = nullptr;
      if (scores) {
        const std::int64_t size = batch * config.num_heads * steps1 * steps2;
        part_scores = scores->emplace_back(static_cast<std::size_t>(size)).data();
      }
      const Scalar* const first = kSelf && i == 1 ? inputs.x2.data() : inputs.x1.data();
      const Scalar* const second = kSelf && i == 0 ? inputs.x1.data() : inputs.x2.data();
      kernels::reference::sequence_forward(parts[i].dims, parts[i].weights, call_of(i), steps2,
                                           first, second, part_y.data(), part_scores);
      for (std::size_t j = 0; j < y.size(); ++j) y[j] += part_y[j];
    }
  }
};

}  // namespace memattn::testing
