// Times forward, backward and fold of the layer on both routes, at the shapes of bench/shapes.py,
// on one thread, and measures the FMA peak. Counters: tokens/s, multiply-adds/s by the cost table
// of docs/math.md, and the share of the FMA peak for float32 on the folded route.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "fma_peak.h"
#include "memattn/memattn.h"

namespace {

using memattn::MemoryAugmentedAttention;
using memattn::Route;

struct Shape {
  const char* name;
  std::int64_t batch, steps, units, memory_size, num_heads;  // B, T, U, S, H
};

constexpr Shape kShapes[] = {
    {"token", 1, 1, 64, 20, 4},   {"docs", 32, 10, 64, 20, 4},  {"guide", 4, 15, 64, 30, 4},
    {"xtft", 32, 10, 32, 100, 4}, {"big", 64, 96, 128, 128, 8}, {"wide", 8, 256, 512, 256, 8},
};

// Requests of a forward call besides its output.
enum class Extra { kNone, kMasks, kScores, kDropout };

template <typename T>
MemoryAugmentedAttention<T> make_layer(const Shape& shape, Route route, double dropout = 0) {
  memattn::MemoryAugmentedAttentionConfig config;
  config.units = shape.units;
  config.memory_size = shape.memory_size;
  config.num_heads = shape.num_heads;
  config.dropout = dropout;
  MemoryAugmentedAttention<T> layer(config);
  layer.set_route(route);
  return layer;
}

// Returns standard normal values (B, T, U).
template <typename T>
std::vector<T> make_tokens(const Shape& shape, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<T> normal;
  std::vector<T> tokens(static_cast<std::size_t>(shape.batch * shape.steps * shape.units));
  for (T& value : tokens) value = normal(random);
  return tokens;
}

// Returns a mask (B, T, S) that keeps three in four.
std::vector<std::uint8_t> make_mask(const Shape& shape) {
  std::mt19937 random(3);
  std::vector<std::uint8_t> keep(
      static_cast<std::size_t>(shape.batch * shape.steps * shape.memory_size));
  for (std::uint8_t& value : keep) value = random() % 4 != 0;
  return keep;
}

// Returns the multiply-adds per token of a forward call, with D = Dv = U.
double forward_work(const Shape& shape, Route route) {
  const std::int64_t read = 2 * shape.num_heads * shape.units * shape.memory_size;
  const std::int64_t project = 2 * shape.num_heads * shape.units * shape.units;
  return static_cast<double>(route == Route::kFolded ? read : read + project);
}

// Returns the peak in flop/s, measured at the first call.
double peak() {
  static const double flops = bench::fma_peak(bench::default_fma_target());
  return flops;
}

void count(benchmark::State& state, const Shape& shape, double work_per_token,
           std::optional<double> peak_flops = {}) {
  const auto tokens = static_cast<double>(shape.batch * shape.steps);
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["tokens"] = benchmark::Counter(tokens, rate);
  if (work_per_token > 0) {
    state.counters["multiply_adds"] = benchmark::Counter(tokens * work_per_token, rate);
  }
  if (peak_flops) {
    const double share = 2 * tokens * work_per_token / *peak_flops;
    state.counters["share_of_peak"] = benchmark::Counter(share, rate);
  }
}

template <typename T>
void forward(benchmark::State& state, const Shape& shape, Route route, Extra extra) {
  const auto layer = make_layer<T>(shape, route, extra == Extra::kDropout ? 0.1 : 0);
  const std::vector<T> x = make_tokens<T>(shape, 1);
  std::vector<T> y(x.size());
  std::vector<std::uint8_t> keep;
  std::vector<T> scores_values;
  memattn::CallOptions options;
  memattn::ScoresOutput<T> scores;
  if (extra == Extra::kMasks) {
    keep = make_mask(shape);
    options.attention_mask = {keep, shape.batch, shape.steps, shape.memory_size};
  }
  if (extra == Extra::kScores) {
    scores_values.resize(x.size() / static_cast<std::size_t>(shape.units) *
                         static_cast<std::size_t>(shape.num_heads * shape.memory_size));
    scores.values = scores_values;
  }
  options.training = extra == Extra::kDropout;
  for (auto _ : state) {
    layer.forward(x, {.batch = shape.batch, .steps = shape.steps}, y, options, scores);
    benchmark::DoNotOptimize(y.data());
    benchmark::DoNotOptimize(scores_values.data());
    benchmark::ClobberMemory();
  }
  const bool has_peak = sizeof(T) == sizeof(float) && route == Route::kFolded;
  count(state, shape, forward_work(shape, route),
        has_peak ? std::optional<double>(peak()) : std::nullopt);
}

// The whole backward pass: gradients of x and of every weight, including unfolding, either with the
// scores that forward kept or with scores computed again.
template <typename T>
void backward(benchmark::State& state, const Shape& shape, Route route, bool keeps) {
  const auto layer = make_layer<T>(shape, route);
  const std::vector<T> x = make_tokens<T>(shape, 1);
  const std::vector<T> grad_y = make_tokens<T>(shape, 2);
  std::vector<T> y(x.size()), grad_x(x.size());
  std::vector<T> grad_parameters(static_cast<std::size_t>(layer.count_params()));
  memattn::ScoresCache<T> kept;
  if (keeps) layer.forward(x, {.batch = shape.batch, .steps = shape.steps}, y, {}, {}, &kept);
  for (auto _ : state) {
    layer.backward(x, grad_y, {.batch = shape.batch, .steps = shape.steps}, grad_x, grad_parameters,
                   {}, &kept);
    benchmark::DoNotOptimize(grad_x.data());
    benchmark::DoNotOptimize(grad_parameters.data());
    benchmark::ClobberMemory();
  }
  count(state, shape, 0);
}

// A training step: fold, forward and backward.
template <typename T>
void step(benchmark::State& state, const Shape& shape, Route route) {
  auto layer = make_layer<T>(shape, route);
  const std::vector<T> x = make_tokens<T>(shape, 1);
  const std::vector<T> grad_y = make_tokens<T>(shape, 2);
  std::vector<T> y(x.size()), grad_x(x.size());
  std::vector<T> grad_parameters(static_cast<std::size_t>(layer.count_params()));
  memattn::ScoresCache<T> kept;
  for (auto _ : state) {
    layer.update([](std::span<T> parameters) { benchmark::DoNotOptimize(parameters.data()); });
    layer.forward(x, {.batch = shape.batch, .steps = shape.steps}, y, {}, {}, &kept);
    layer.backward(x, grad_y, {.batch = shape.batch, .steps = shape.steps}, grad_x, grad_parameters,
                   {}, &kept);
    benchmark::DoNotOptimize(grad_parameters.data());
    benchmark::ClobberMemory();
  }
  count(state, shape, 0);
}

// The cost of a change of weights before the next call: one fold.
template <typename T>
void fold(benchmark::State& state, const Shape& shape, Route route) {
  auto layer = make_layer<T>(shape, route);
  for (auto _ : state) {
    layer.update([](std::span<T> parameters) { benchmark::DoNotOptimize(parameters.data()); });
  }
}

void fma(benchmark::State& state, const std::string& target) {
  const bench::FmaChains chains(target);
  std::int64_t flops = 0;
  for (auto _ : state) flops += chains.run();
  state.counters["flops"] =
      benchmark::Counter(static_cast<double>(flops), benchmark::Counter::kIsRate);
}

template <typename T>
void register_all(const std::string& type) {
  for (const Shape& shape : kShapes) {
    for (const Route route : {Route::kFolded, Route::kProjected}) {
      const std::string suffix = std::string("/") + shape.name + "/" + type + "/" +
                                 (route == Route::kFolded ? "folded" : "projected");
      const auto add_forward = [&](const char* name, Extra extra) {
        benchmark::RegisterBenchmark((name + suffix).c_str(), forward<T>, shape, route, extra);
      };
      add_forward("forward", Extra::kNone);
      add_forward("forward_masks", Extra::kMasks);
      add_forward("forward_scores", Extra::kScores);
      add_forward("forward_dropout", Extra::kDropout);
      benchmark::RegisterBenchmark(("backward" + suffix).c_str(), backward<T>, shape, route, false);
      benchmark::RegisterBenchmark(("backward_kept" + suffix).c_str(), backward<T>, shape, route,
                                   true);
      benchmark::RegisterBenchmark(("step" + suffix).c_str(), step<T>, shape, route);
      benchmark::RegisterBenchmark(("fold" + suffix).c_str(), fold<T>, shape, route);
    }
  }
}

const bool registered = [] {
  for (const std::string& target : bench::fma_targets()) {
    benchmark::RegisterBenchmark(("fma_peak/" + target).c_str(), fma, target);
  }
  register_all<float>("float32");
  register_all<double>("float64");
  return true;
}();

}  // namespace
