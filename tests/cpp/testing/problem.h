// A layer call with its inputs, and the expected results from the reference: values, scores, and
// gradients by the complex step.
#pragma once

#include <complex>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/reference.h"
#include "layer/checks.h"
#include "layer/weights.h"
#include "memattn/memory_augmented_attention.h"
#include "testing/arrays.h"

namespace memattn::testing {

// Returns weights without zeros, including biases and memory, so that every term matters. The
// values fit in float32, so that both types start from the same ones.
inline std::vector<double> random_weights(const MemoryAugmentedAttentionConfig& config,
                                          std::uint64_t seed) {
  std::vector<double> all;
  std::uint64_t stream = 100 * seed;
  for (const WeightInfo& info : weight_infos(config)) {
    const double fan_in = info.name == "memory"          ? 1
                          : info.name.ends_with(".bias") ? 10
                          : info.name == "output.kernel"
                              ? static_cast<double>(info.size) / static_cast<double>(config.units)
                              : static_cast<double>(config.units);
    for (const float value : normal_array<float>(info.size, ++stream, 1 / std::sqrt(fan_in))) {
      all.push_back(static_cast<double>(value));
    }
  }
  return all;
}

struct Problem {
  MemoryAugmentedAttentionConfig config;
  std::int64_t batch = 2, steps = 3;
  CallOptions options;  // its masks are views of the vectors below
  std::vector<std::uint8_t> attention_mask, query_mask, value_mask;
  std::vector<double> weights, x, g;

  // Draws the values that are not set; call it after setting the fields above.
  void draw(std::uint64_t seed) {
    weights = random_weights(config, seed);
    x = converted<double>(normal_array<float>(batch * steps * config.units, seed + 1));
    g = converted<double>(normal_array<float>(batch * steps * config.units, seed + 2));
  }
  void mask_attention(std::int64_t b, std::int64_t t, std::int64_t s, std::uint64_t seed) {
    attention_mask = random_mask(b * t * s, seed);
    options.attention_mask = {attention_mask, b, t, s};
  }
  void mask_queries(std::uint64_t seed) {
    options.query_mask = query_mask = random_mask(batch * steps, seed);
  }
  void mask_values(std::uint64_t seed) {
    options.value_mask = value_mask = random_mask(batch * config.memory_size, seed);
  }
  std::int64_t scores_size() const { return batch * config.num_heads * steps * config.memory_size; }

  struct Values {
    std::vector<double> y, scores;
  };
  Values reference() const {
    Values values{std::vector<double>(x.size()),
                  std::vector<double>(static_cast<std::size_t>(scores_size()))};
    run_reference(weights, x, values.y, values.scores.data());
    return values;
  }

  struct Gradients {
    std::vector<double> x, weights;
  };
  // Returns d sum(y * g) by x and every weight: Im f(v + i h) / h, exact to rounding for h =
  // 1e-200.
  Gradients complex_step() const {
    constexpr double kStep = 1e-200;
    auto w = converted<std::complex<double>>(weights);
    auto input = converted<std::complex<double>>(x);
    std::vector<std::complex<double>> y(x.size());
    const auto derivatives = [&](std::vector<std::complex<double>>& values) {
      std::vector<double> result;
      for (std::complex<double>& value : values) {
        value += std::complex<double>(0, kStep);
        run_reference(w, input, y, static_cast<std::complex<double>*>(nullptr));
        value = value.real();
        double sum = 0;
        for (std::size_t i = 0; i < y.size(); ++i) sum += y[i].imag() / kStep * g[i];
        result.push_back(sum);
      }
      return result;
    };
    Gradients gradients;
    gradients.x = derivatives(input);
    gradients.weights = derivatives(w);
    return gradients;
  }

  // Returns the derivative of sum(y * g) along a direction in x, or in the weights from `offset`
  // on.
  double complex_step_along(const std::vector<double>& direction, std::size_t offset,
                            bool of_x) const {
    constexpr double kStep = 1e-200;
    auto w = converted<std::complex<double>>(weights);
    auto input = converted<std::complex<double>>(x);
    std::vector<std::complex<double>> y(x.size());
    for (std::size_t i = 0; i < direction.size(); ++i) {
      (of_x ? input : w)[offset + i] += std::complex<double>(0, kStep * direction[i]);
    }
    run_reference(w, input, y, static_cast<std::complex<double>*>(nullptr));
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += y[i].imag() / kStep * g[i];
    return sum;
  }

 private:
  template <typename Scalar>
  void run_reference(const std::vector<Scalar>& w, const std::vector<Scalar>& input,
                     std::vector<Scalar>& y, Scalar* scores) const {
    const std::vector<WeightInfo> infos = weight_infos(config);
    const auto pointers = weight_pointers(infos, w.data());
    kernels::reference::forward(dims_of(config), pointers,
                                checked_call("reference", config, {batch, steps}, options),
                                input.data(), y.data(), scores);
  }
};

}  // namespace memattn::testing
