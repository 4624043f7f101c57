// Trains the layer with Adam on a toy target: a token of class k, one-hot with noise, must become
// the pattern of its class. No bias or residual can do that, so the memory must hold the patterns.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <random>
#include <span>
#include <vector>

#include "memattn/memattn.h"

namespace {

int run() {
  memattn::MemoryAugmentedAttentionConfig config;
  config.units = 8;
  config.memory_size = 8;
  config.num_heads = 1;
  config.seed = 1;
  memattn::MemoryAugmentedAttention<float> layer(config);
  memattn::Adam<float> optimizer({.learning_rate = 0.01});

  const std::int64_t batch = 16, steps = 8, tokens = batch * steps;
  const auto units = static_cast<std::size_t>(config.units);
  std::mt19937 random(1);
  std::vector<float> x(static_cast<std::size_t>(tokens) * units);  // (B, T, U)
  std::vector<float> target(x.size());                             // (B, T, U)
  for (std::size_t token = 0; token < static_cast<std::size_t>(tokens); ++token) {
    const std::size_t kind = random() % units;
    for (std::size_t unit = 0; unit < units; ++unit) {
      const float noise = static_cast<float>(random() % 1000) / 5000.0f;
      x[token * units + unit] = noise + (unit == kind ? 1.0f : 0.0f);
      target[token * units + unit] = (unit * kind) % 3 == 0 ? 1.0f : -1.0f;
    }
  }

  std::vector<float> y(x.size());
  std::vector<float> grad_y(x.size());
  std::vector<float> grad_parameters(static_cast<std::size_t>(layer.count_params()));
  double first_loss = 0, loss = 0;
  for (int step = 0; step <= 300; ++step) {
    layer.forward(x, {.batch = batch, .steps = steps}, y);
    loss = 0;  // the mean squared error; grad_y is its derivative
    for (std::size_t i = 0; i < y.size(); ++i) {
      const float error = y[i] - target[i];
      loss += static_cast<double>(error * error) / static_cast<double>(y.size());
      grad_y[i] = 2.0f * error / static_cast<float>(y.size());
    }
    if (step == 0) first_loss = loss;
    if (step % 50 == 0) std::printf("step %3d  loss %.4f\n", step, loss);

    layer.backward(x, grad_y, {.batch = batch, .steps = steps}, {}, grad_parameters);
    memattn::clip_by_global_norm(grad_parameters, 1.0);
    layer.update([&](std::span<float> parameters) { optimizer.step(parameters, grad_parameters); });
  }
  return std::isfinite(loss) && loss < 0.2 * first_loss ? 0 : 1;
}

}  // namespace

int main() {
  try {
    return run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
