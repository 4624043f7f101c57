// Times forward, backward and a training step of CrossAttention and HierarchicalAttention in
// float32, on the route that the rule chooses ("auto") and on each of the seven. Part of
// layer_benchmark.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "memattn/memattn.h"

namespace {

using memattn::CallOptions;
using memattn::CrossAttention;
using memattn::HierarchicalAttention;
using memattn::HierarchicalOptions;
using memattn::SequenceRoute;

struct Shape {
  const char* name;
  std::int64_t batch, steps1, steps2, source1_units, source2_units, units, num_heads;
};

constexpr Shape kCrossShapes[] = {
    {"docs", 32, 10, 10, 64, 64, 64, 4},     {"big", 8, 96, 96, 128, 128, 128, 8},
    {"long", 4, 512, 512, 128, 128, 128, 8}, {"last_query", 1, 1, 96, 64, 64, 64, 4},
    {"xtft", 32, 10, 10, 4, 64, 32, 4},      {"last_queries", 32, 1, 24, 32, 32, 32, 4},
    {"day", 32, 24, 24, 32, 32, 32, 4},
};
// Here source 1 and 2 are the short-term and the long-term input, both with steps1 steps.
constexpr Shape kHierarchicalShapes[] = {
    {"xtft", 32, 10, 10, 4, 2, 32, 4},
    {"docs", 32, 10, 10, 64, 64, 64, 4},
};
constexpr std::array kRouteNames = {
    "auto",        "as_written",         "left_read",       "right_read",
    "right_value", "right_value_dense2", "left_read_dense", "left_read_dense1"};

// Returns standard normal values.
std::vector<float> draw(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

// A layer with the buffers of a call.
class CrossCall {
 public:
  CrossCall(const Shape& shape, SequenceRoute route)
      : tokens_{shape.batch, shape.steps1, shape.steps2},
        layer_({.units = shape.units,
                .num_heads = shape.num_heads,
                .source1_units = shape.source1_units,
                .source2_units = shape.source2_units}),
        scores_(
            static_cast<std::size_t>(shape.batch * shape.num_heads * shape.steps1 * shape.steps2)),
        x1_(draw(shape.batch * shape.steps1 * shape.source1_units, 1)),
        x2_(draw(shape.batch * shape.steps2 * shape.source2_units, 2)),
        grad_y_(draw(shape.batch * shape.steps1 * shape.units, 3)),
        y_(grad_y_.size()),
        grad_x1_(x1_.size()),
        grad_x2_(x2_.size()),
        grad_parameters_(static_cast<std::size_t>(layer_.count_params())) {
    layer_.set_route(route);
  }

  void forward(bool training, bool with_scores) {
    CallOptions options;
    options.training = training;
    memattn::ScoresOutput<float> output;
    if (with_scores) output.values = scores_;
    layer_.forward(x1_, x2_, tokens_, y_, options, output);
  }
  void backward() {
    CallOptions options;
    options.training = true;
    layer_.backward(x1_, x2_, grad_y_, tokens_, grad_x1_, grad_x2_, grad_parameters_, options);
  }
  void change_weights() {
    layer_.update([](std::span<float> values) { benchmark::DoNotOptimize(values.data()); });
  }

 private:
  memattn::CrossTokens tokens_;
  CrossAttention<float> layer_;
  std::vector<float> scores_, x1_, x2_, grad_y_, y_, grad_x1_, grad_x2_, grad_parameters_;
};

class HierarchicalCall {
 public:
  HierarchicalCall(const Shape& shape, SequenceRoute route)
      : tokens_{shape.batch, shape.steps1},
        layer_({.units = shape.units,
                .num_heads = shape.num_heads,
                .short_units = shape.source1_units,
                .long_units = shape.source2_units}),
        short_scores_(
            static_cast<std::size_t>(shape.batch * shape.num_heads * shape.steps1 * shape.steps1)),
        long_scores_(short_scores_.size()),
        short_(draw(shape.batch * shape.steps1 * shape.source1_units, 1)),
        long_(draw(shape.batch * shape.steps1 * shape.source2_units, 2)),
        grad_y_(draw(shape.batch * shape.steps1 * shape.units, 3)),
        y_(grad_y_.size()),
        grad_short_(short_.size()),
        grad_long_(long_.size()),
        grad_parameters_(static_cast<std::size_t>(layer_.count_params())) {
    layer_.set_route(route);
  }

  void forward(bool training, bool with_scores) {
    HierarchicalOptions options;
    options.training = training;
    memattn::HierarchicalScores<float> output;
    if (with_scores) {
      output.short_scores.values = short_scores_;
      output.long_scores.values = long_scores_;
    }
    layer_.forward(short_, long_, tokens_, y_, options, output);
  }
  void backward() {
    HierarchicalOptions options;
    options.training = true;
    layer_.backward(short_, long_, grad_y_, tokens_, grad_short_, grad_long_, grad_parameters_,
                    options);
  }
  void change_weights() {
    layer_.update([](std::span<float> values) { benchmark::DoNotOptimize(values.data()); });
  }

 private:
  memattn::Tokens tokens_;
  HierarchicalAttention<float> layer_;
  std::vector<float> short_scores_, long_scores_, short_, long_, grad_y_, y_, grad_short_,
      grad_long_, grad_parameters_;
};

template <typename LayerCall>
void forward(benchmark::State& state, const Shape& shape, SequenceRoute route, bool with_scores) {
  LayerCall call(shape, route);
  for (auto _ : state) {
    call.forward(false, with_scores);
    benchmark::ClobberMemory();
  }
}

template <typename LayerCall>
void backward(benchmark::State& state, const Shape& shape, SequenceRoute route) {
  LayerCall call(shape, route);
  for (auto _ : state) {
    call.backward();
    benchmark::ClobberMemory();
  }
}

// A training step: fold, forward and backward.
template <typename LayerCall>
void step(benchmark::State& state, const Shape& shape, SequenceRoute route) {
  LayerCall call(shape, route);
  for (auto _ : state) {
    call.change_weights();
    call.forward(true, false);
    call.backward();
    benchmark::ClobberMemory();
  }
}

template <typename LayerCall>
void register_shapes(const std::string& layer, std::span<const Shape> shapes) {
  for (const Shape& shape : shapes) {
    for (std::size_t i = 0; i < kRouteNames.size(); ++i) {
      const auto route = static_cast<SequenceRoute>(i);
      const std::string suffix = "/" + layer + "/" + shape.name + "/float32/" + kRouteNames[i];
      const auto add = [&suffix](const char* name, auto body, auto... arguments) {
        benchmark::RegisterBenchmark((name + suffix).c_str(), body, arguments...);
      };
      add("forward", forward<LayerCall>, shape, route, false);
      add("forward_scores", forward<LayerCall>, shape, route, true);
      add("backward", backward<LayerCall>, shape, route);
      add("step", step<LayerCall>, shape, route);
    }
  }
}

[[maybe_unused]] const bool registered = [] {
  register_shapes<CrossCall>("cross", kCrossShapes);
  register_shapes<HierarchicalCall>("hierarchical", kHierarchicalShapes);
  return true;
}();

}  // namespace
