// The layer in C++ as a contestant of scripts/bench. It follows the commands documented in
// bench/peers/worker.py, and computes the float64 values that all contestants are compared with.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "fma_peak.h"
#include "memattn/memattn.h"

namespace {

using Clock = std::chrono::steady_clock;
using memattn::MemoryAugmentedAttention;

std::int64_t to_number(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw std::invalid_argument("found " + text + ", expected a whole number");
  }
  return number;
}

// Reads a file of little-endian float32, converted to T.
template <typename T>
std::vector<T> read_values(const std::string& path, std::size_t count) {
  std::vector<float> values(count);
  std::ifstream file(path, std::ios::binary);
  const auto bytes = static_cast<std::streamsize>(count * sizeof(float));
  if (!file.read(reinterpret_cast<char*>(values.data()), bytes)) {
    throw std::runtime_error(path + ": cannot read " + std::to_string(count) + " float32 values");
  }
  return std::vector<T>(values.begin(), values.end());
}

// bench/compare also builds libraries that have no precision.
template <typename Layer>
void set_precision(Layer& layer, const std::string& mode) {
  if (mode != "bfloat16") return;
  auto config = layer.config();
  if constexpr (requires { config.precision; }) {
    layer.set_precision(decltype(config.precision)::kBFloat16);
  } else {
    throw std::invalid_argument("this memattn has no bfloat16");
  }
}

template <typename T>
void append_values(std::ofstream& file, const std::vector<T>& values) {
  file.write(reinterpret_cast<const char*>(values.data()),
             static_cast<std::streamsize>(values.size() * sizeof(T)));
}

// A timed subject: one call and its results.
class Contestant {
 public:
  virtual ~Contestant() = default;
  virtual void call() = 0;
  virtual void write(std::ofstream&) const {}
};

template <typename T>
class Layer : public Contestant {
 public:
  // fields: task, form, folder, layer, B, T, U, S, H
  Layer(const std::string& mode, std::span<const std::string> fields)
      : step_(fields[0] == "step"),
        batch_(to_number(fields[4])),
        steps_(to_number(fields[5])),
        layer_(config(fields)) {
    set_precision(layer_, mode);
    const std::string& folder = fields[2];
    const auto size = static_cast<std::size_t>(batch_ * steps_ * layer_.config().units);
    const auto parameters = static_cast<std::size_t>(layer_.count_params());
    layer_.set_parameters(read_values<T>(folder + "/parameters.f32", parameters));
    x_ = read_values<T>(folder + "/x.f32", size);
    grad_y_ = read_values<T>(folder + "/grad_y.f32", size);
    y_.resize(size);
    grad_x_.resize(step_ ? size : 0);
    grad_parameters_.resize(step_ ? parameters : 0);
  }

  // A training step folds first, since its weights have just changed.
  void call() override {
    if (!step_) return layer_.forward(x_, {.batch = batch_, .steps = steps_}, y_);
    layer_.update([](std::span<T>) {});
    layer_.forward(x_, {.batch = batch_, .steps = steps_}, y_, {}, {}, &kept_);
    layer_.backward(x_, grad_y_, {.batch = batch_, .steps = steps_}, grad_x_, grad_parameters_, {},
                    &kept_);
  }

  void write(std::ofstream& file) const override {
    append_values(file, y_);
    append_values(file, grad_x_);
    append_values(file, grad_parameters_);
  }

 private:
  static memattn::MemoryAugmentedAttentionConfig config(std::span<const std::string> fields) {
    memattn::MemoryAugmentedAttentionConfig config;
    config.units = to_number(fields[6]);
    config.memory_size = to_number(fields[7]);
    config.num_heads = to_number(fields[8]);
    return config;
  }

  bool step_;
  std::int64_t batch_, steps_;
  MemoryAugmentedAttention<T> layer_;
  memattn::ScoresCache<T> kept_;
  std::vector<T> x_, grad_y_, y_, grad_x_, grad_parameters_;
};

#if __has_include("memattn/cross_attention.h")  // bench/compare builds older libraries, too
// The differences between the two layers of two inputs. Sizes are B, T1, T2, F1, F2, U, H.
template <typename Layer>
struct PairTraits;

template <typename T>
struct PairTraits<memattn::CrossAttention<T>> {
  using Value = T;
  using Options = memattn::CallOptions;
  static memattn::CrossAttentionConfig config(std::span<const std::int64_t> sizes) {
    return {.units = sizes[5],
            .num_heads = sizes[6],
            .source1_units = sizes[3],
            .source2_units = sizes[4]};
  }
  static memattn::CrossTokens tokens(std::span<const std::int64_t> sizes) {
    return {.batch = sizes[0], .steps1 = sizes[1], .steps2 = sizes[2]};
  }
};

template <typename T>
struct PairTraits<memattn::HierarchicalAttention<T>> {
  using Value = T;
  using Options = memattn::HierarchicalOptions;
  static memattn::HierarchicalAttentionConfig config(std::span<const std::int64_t> sizes) {
    return {
        .units = sizes[5], .num_heads = sizes[6], .short_units = sizes[3], .long_units = sizes[4]};
  }
  static memattn::Tokens tokens(std::span<const std::int64_t> sizes) {
    return {.batch = sizes[0], .steps = sizes[1]};
  }
};

template <typename Layer>
class PairLayer : public Contestant {
 public:
  // fields: task, form, folder, layer, and the sizes
  PairLayer(const std::string& mode, std::span<const std::string> fields)
      : step_(fields[0] == "step"), sizes_(numbers(fields.subspan(4))), layer_(config(sizes_)) {
    set_precision(layer_, mode);
    const std::string& folder = fields[2];
    const auto parameters = static_cast<std::size_t>(layer_.count_params());
    const auto size = [&](std::size_t steps, std::size_t width) {
      return static_cast<std::size_t>(sizes_[0] * sizes_[steps] * sizes_[width]);
    };
    layer_.set_parameters(read_values<T>(folder + "/parameters.f32", parameters));
    x1_ = read_values<T>(folder + "/x1.f32", size(1, 3));
    x2_ = read_values<T>(folder + "/x2.f32", size(2, 4));
    grad_y_ = read_values<T>(folder + "/grad_y.f32", size(1, 5));
    y_.resize(grad_y_.size());
    if (!step_) return;
    grad_x1_.resize(x1_.size());
    grad_x2_.resize(x2_.size());
    grad_parameters_.resize(parameters);
  }

  // A training step folds first, since its weights have just changed, on the route for training.
  void call() override {
    const auto tokens = Traits::tokens(sizes_);
    if (!step_) return layer_.forward(x1_, x2_, tokens, y_);
    typename Traits::Options options;
    options.training = true;
    layer_.update([](std::span<T>) {});
    layer_.forward(x1_, x2_, tokens, y_, options);
    layer_.backward(x1_, x2_, grad_y_, tokens, grad_x1_, grad_x2_, grad_parameters_, options);
  }

  void write(std::ofstream& file) const override {
    for (const std::vector<T>* part : {&y_, &grad_x1_, &grad_x2_, &grad_parameters_}) {
      append_values(file, *part);
    }
  }

 private:
  using Traits = PairTraits<Layer>;
  using T = typename Traits::Value;

  static std::vector<std::int64_t> numbers(std::span<const std::string> fields) {
    if (fields.size() != 7) throw std::invalid_argument("expected the sizes B T1 T2 F1 F2 U H");
    std::vector<std::int64_t> found;
    for (const std::string& field : fields) found.push_back(to_number(field));
    return found;
  }
  static auto config(std::span<const std::int64_t> sizes) { return Traits::config(sizes); }

  bool step_;
  std::vector<std::int64_t> sizes_;
  Layer layer_;
  std::vector<T> x1_, x2_, grad_y_, y_, grad_x1_, grad_x2_, grad_parameters_;
};

#endif

// fields: task, form, folder, layer, and the sizes
template <typename T>
std::unique_ptr<Contestant> make_layer(const std::string& mode,
                                       std::span<const std::string> fields) {
  const std::string& layer = fields[3];
  if (layer == "memory") return std::make_unique<Layer<T>>(mode, fields);
#if __has_include("memattn/cross_attention.h")
  if (layer == "cross") {
    return std::make_unique<PairLayer<memattn::CrossAttention<T>>>(mode, fields);
  }
  if (layer == "hierarchical") {
    return std::make_unique<PairLayer<memattn::HierarchicalAttention<T>>>(mode, fields);
  }
#endif
  throw std::invalid_argument("found layer " + layer + ", expected memory, cross or hierarchical");
}

class Peak : public Contestant {
 public:
  Peak() { call(); }
  void call() override { flops_ = chains_.run(); }
  std::int64_t flops() const { return flops_; }

 private:
  bench::FmaChains chains_{bench::default_fma_target()};
  std::int64_t flops_ = 0;
};

std::int64_t nanoseconds(Clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

class Worker {
 public:
  // Returns the answer to one line; the caller also sends exceptions as answers.
  std::string answer(const std::vector<std::string>& fields) {
    const std::string& verb = fields.at(0);
    if (verb == "hello") return hello();
    if (verb == "load" && fields.size() >= 12) return load(fields);
    if (verb == "run" && fields.size() == 3) return run(find(fields[1]), fields[2]);
    if (verb == "time" && fields.size() == 4) {
      return time(find(fields[1]), to_number(fields[2]), to_number(fields[3]));
    }
    if (verb == "latency" && fields.size() == 3) {
      return latency(find(fields[1]), to_number(fields[2]));
    }
    if (verb == "unload" && fields.size() == 2) {
      contestants_.erase(fields[1]);
      return "";
    }
    throw std::invalid_argument("found " + verb + " with " + std::to_string(fields.size() - 1) +
                                " arguments, expected a command of bench/peers/worker.py");
  }

 private:
  static std::string hello() {
    std::string targets;
    for (const std::string& target : bench::fma_targets()) targets += " " + target;
    return "{\"memattn\": \"" MEMATTN_VERSION "\", \"compiler\": \"" COMPILER
           "\", \"instruction sets\": \"" +
           targets.substr(1) + "\", \"measured\": \"" + bench::default_fma_target() + "\"}";
  }

  Contestant& find(const std::string& id) {
    const auto found = contestants_.find(id);
    if (found == contestants_.end()) throw std::invalid_argument("no contestant " + id);
    return *found->second;
  }

  // load ID MODE TASK FORM FOLDER LAYER SIZES...
  std::string load(const std::vector<std::string>& fields) {
    const std::span<const std::string> rest(fields.begin() + 3, fields.end());
    if (fields[2] == "peak") {
      auto peak = std::make_unique<Peak>();
      const std::int64_t flops = peak->flops();
      contestants_[fields[1]] = std::move(peak);
      return std::to_string(flops);
    }
    if (fields[2] == "float64") {
      contestants_[fields[1]] = make_layer<double>(fields[2], rest);
    } else {
      contestants_[fields[1]] = make_layer<float>(fields[2], rest);
    }
    return "";
  }

  static std::string run(Contestant& contestant, const std::string& path) {
    contestant.call();
    std::ofstream file(path, std::ios::binary);
    contestant.write(file);
    if (!file.flush()) throw std::runtime_error(path + ": cannot be written");
    return "";
  }

  static std::string time(Contestant& contestant, std::int64_t calls, std::int64_t warm_up) {
    for (std::int64_t i = 0; i < warm_up; ++i) contestant.call();
    const Clock::time_point begin = Clock::now();
    for (std::int64_t i = 0; i < calls; ++i) contestant.call();
    return std::to_string(nanoseconds(Clock::now() - begin));
  }

  // Times each call separately: returns the median, the 99th and 99.9th percentiles and the
  // maximum, in ns.
  static std::string latency(Contestant& contestant, std::int64_t calls) {
    if (calls < 1) throw std::invalid_argument("latency: calls must be at least 1");
    std::vector<std::int64_t> times(static_cast<std::size_t>(calls));
    for (std::int64_t& one : times) {
      const Clock::time_point begin = Clock::now();
      contestant.call();
      one = nanoseconds(Clock::now() - begin);
    }
    std::sort(times.begin(), times.end());
    const auto quantile = [&](std::int64_t thousandths) {
      return std::to_string(times[static_cast<std::size_t>((calls - 1) * thousandths / 1000)]);
    };
    return quantile(500) + " " + quantile(990) + " " + quantile(999) + " " + quantile(1000);
  }

  std::map<std::string, std::unique_ptr<Contestant>> contestants_;
};

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> fields(1);
  for (const char c : line) {
    if (c == '\t') {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

}  // namespace

int main() {
  Worker worker;
  for (std::string line; std::getline(std::cin, line);) {
    try {
      const std::string answer = worker.answer(split(line));
      std::cout << "ok " << answer << std::endl;
    } catch (const std::exception& error) {
      std::cout << "error " << error.what() << std::endl;
    }
  }
}
