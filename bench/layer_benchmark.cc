// Times forward and backward of the layer, folded and projected, at three shapes from the field,
// one thread each. Counters: tokens/s, and multiply-adds/s by the cost table of docs/math.md.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "memattn/memattn.h"

namespace {

using memattn::MemoryAugmentedAttention;
using memattn::Path;

struct Shape {
  const char* name;
  std::int64_t batch, steps, units, memory_size, num_heads;  // B, T, U, S, H
};

constexpr Shape kShapes[] = {
    {"docs", 32, 10, 64, 20, 4},
    {"guide", 4, 15, 64, 30, 4},
    {"xtft", 32, 10, 32, 100, 4},
};

template <typename T>
MemoryAugmentedAttention<T> make_layer(const Shape& shape, Path path) {
  memattn::Config config;
  config.units = shape.units;
  config.memory_size = shape.memory_size;
  config.num_heads = shape.num_heads;
  MemoryAugmentedAttention<T> layer(config);
  layer.set_path(path);
  return layer;
}

// Standard normal values (B, T, U).
template <typename T>
std::vector<T> make_tokens(const Shape& shape, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<T> normal;
  std::vector<T> tokens(static_cast<std::size_t>(shape.batch * shape.steps * shape.units));
  for (T& value : tokens) value = normal(random);
  return tokens;
}

// Multiply-adds a token of one forward call, D = Dv = U.
double forward_work(const Shape& shape, Path path) {
  const std::int64_t read = 2 * shape.num_heads * shape.units * shape.memory_size;
  const std::int64_t project = 2 * shape.num_heads * shape.units * shape.units;
  return static_cast<double>(path == Path::kFolded ? read : read + project);
}

void count(benchmark::State& state, const Shape& shape, double work_per_token) {
  const auto tokens = static_cast<double>(shape.batch * shape.steps);
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["tokens"] = benchmark::Counter(tokens, rate);
  if (work_per_token > 0) {
    state.counters["multiply_adds"] = benchmark::Counter(tokens * work_per_token, rate);
  }
}

template <typename T>
void forward(benchmark::State& state, const Shape& shape, Path path) {
  const auto layer = make_layer<T>(shape, path);
  const std::vector<T> x = make_tokens<T>(shape, 1);
  std::vector<T> y(x.size());
  for (auto _ : state) {
    layer.forward(x, y, shape.batch, shape.steps);
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  }
  count(state, shape, forward_work(shape, path));
}

// The whole backward pass: gradients of x and of every weight, unfolding included.
template <typename T>
void backward(benchmark::State& state, const Shape& shape, Path path) {
  const auto layer = make_layer<T>(shape, path);
  const std::vector<T> x = make_tokens<T>(shape, 1);
  const std::vector<T> grad_y = make_tokens<T>(shape, 2);
  std::vector<T> grad_x(x.size());
  std::vector<T> grad_parameters(static_cast<std::size_t>(layer.count_params()));
  for (auto _ : state) {
    layer.backward(x, grad_y, shape.batch, shape.steps, grad_x, grad_parameters);
    benchmark::DoNotOptimize(grad_x.data());
    benchmark::DoNotOptimize(grad_parameters.data());
    benchmark::ClobberMemory();
  }
  count(state, shape, 0);
}

// What a change of weights costs before the next call: one fold.
template <typename T>
void fold(benchmark::State& state, const Shape& shape, Path path) {
  auto layer = make_layer<T>(shape, path);
  for (auto _ : state) {
    layer.update([](std::span<T> parameters) { benchmark::DoNotOptimize(parameters.data()); });
  }
}

template <typename T>
void register_all(const std::string& type) {
  for (const Shape& shape : kShapes) {
    for (const Path path : {Path::kFolded, Path::kProjected}) {
      const std::string suffix = std::string("/") + shape.name + "/" + type + "/" +
                                 (path == Path::kFolded ? "folded" : "projected");
      benchmark::RegisterBenchmark(("forward" + suffix).c_str(), forward<T>, shape, path);
      benchmark::RegisterBenchmark(("backward" + suffix).c_str(), backward<T>, shape, path);
      benchmark::RegisterBenchmark(("fold" + suffix).c_str(), fold<T>, shape, path);
    }
  }
}

const bool registered = [] {
  register_all<float>("float32");
  register_all<double>("float64");
  return true;
}();

}  // namespace
