// memattn._memattn.HostedFloat32 and HostedFloat64: the layer for a framework that owns the weights
// and all arrays, and hands in where they lie. That its addresses are those of contiguous arrays of
// the right type and shape is the business of python/memattn/torch/kernels.py.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "bindings.h"
#include "memattn/memory_augmented_attention.h"
#include "memattn/threads.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

using Address = std::uintptr_t;  // 0: no such array

template <typename Value>
std::span<Value> span_at(Address address, std::int64_t size) {
  auto* values = reinterpret_cast<Value*>(address);
  return {values, values ? static_cast<std::size_t>(size) : 0};
}

template <typename T>
using Layer = memattn::MemoryAugmentedAttention<T>;

// Without the GIL, unless what is to be done is brief: who gives it up for a moment may get it back
// only after 5 ms, as LayerHandle::forward (layer_handle.h) explains.
class Ungiled {
 public:
  explicit Ungiled(bool brief) {
    if (!brief) release_.emplace();
  }

 private:
  std::optional<nb::gil_scoped_release> release_;
};

// Scores that forward calls keep for their backward calls. Room that a call has done with is there
// for the next one. To be used with the GIL.
template <typename T>
class ScoresPool {
 public:
  std::unique_ptr<memattn::ScoresCache<T>> take() {
    if (spare_) return std::move(spare_);
    return std::make_unique<memattn::ScoresCache<T>>();
  }
  void give_back(std::unique_ptr<memattn::ScoresCache<T>> cache) { spare_ = std::move(cache); }

 private:
  std::unique_ptr<memattn::ScoresCache<T>> spare_;
};

// What forward and backward have in common.
struct Call {
  memattn::CallOptions options;
  int threads;
};

Call make_call(Address attention_mask, std::int64_t mask_batch, std::int64_t mask_steps,
               std::int64_t mask_slots, Address query_mask, std::int64_t queries,
               Address value_mask, std::int64_t values, bool use_causal_mask, bool training,
               std::uint64_t dropout_step, int threads) {
  Call call{{}, threads};
  call.options.attention_mask = {
      span_at<const std::uint8_t>(attention_mask, mask_batch * mask_steps * mask_slots), mask_batch,
      mask_steps, mask_slots};
  call.options.query_mask = span_at<const std::uint8_t>(query_mask, queries);
  call.options.value_mask = span_at<const std::uint8_t>(value_mask, values);
  call.options.use_causal_mask = use_causal_mask;
  call.options.training = training;
  call.options.dropout_step = dropout_step;
  return call;
}

// The weights of one moment, folded, for a forward call and the backward call that belongs to it.
// Python has it in a capsule and not as an object of nanobind's: PyTorch lets the nodes of a graph
// that is alive when the interpreter ends go without their Python parts, and nanobind would
// report each as a leak.
template <typename T>
class Folded {
 public:
  Folded(std::shared_ptr<const Layer<T>> layer, std::shared_ptr<ScoresPool<T>> pool)
      : layer_(std::move(layer)), pool_(std::move(pool)) {}
  Folded(const Folded&) = delete;
  Folded& operator=(const Folded&) = delete;
  ~Folded() {
    if (kept_) pool_->give_back(std::move(kept_));
  }

  static constexpr const char* kName =
      std::is_same_v<T, float> ? "memattn.FoldedFloat32" : "memattn.FoldedFloat64";
  static Folded& in(const nb::capsule& capsule) {
    void* folded = PyCapsule_GetPointer(capsule.ptr(), kName);
    if (!folded) nb::raise_python_error();
    return *static_cast<Folded*>(folded);
  }

  void forward(const Call& call, std::int64_t batch, std::int64_t steps, Address x, Address y,
               Address scores, bool average_heads, bool keep) {
    const memattn::MemoryAugmentedAttentionConfig& config = layer_->config();
    const std::int64_t size = batch * steps * config.units;
    const std::int64_t rows = batch * steps * (average_heads ? 1 : config.num_heads);
    if (keep && !kept_) kept_ = pool_->take();
    constexpr double kBriefOperations = 500'000;
    const double operations = 4.0 * static_cast<double>(size) *
                              static_cast<double>(config.num_heads * config.memory_size);
    const Ungiled ungiled(operations <= kBriefOperations);
    const memattn::ThreadLimit limit(call.threads);
    layer_->forward(span_at<const T>(x, size), span_at<T>(y, size), batch, steps, call.options,
                    {span_at<T>(scores, rows * config.memory_size), average_heads},
                    keep ? kept_.get() : nullptr);
  }

  void backward(const Call& call, std::int64_t batch, std::int64_t steps, Address x, Address grad_y,
                Address grad_x, Address grad_parameters) const {
    const std::int64_t size = batch * steps * layer_->config().units;
    const nb::gil_scoped_release release;
    const memattn::ThreadLimit limit(call.threads);
    layer_->backward(span_at<const T>(x, size), span_at<const T>(grad_y, size), batch, steps,
                     span_at<T>(grad_x, size), span_at<T>(grad_parameters, layer_->count_params()),
                     call.options, kept_.get());
  }

 private:
  std::shared_ptr<const Layer<T>> layer_;
  std::shared_ptr<ScoresPool<T>> pool_;
  std::unique_ptr<memattn::ScoresCache<T>> kept_;
};

// The weights as they are now and their fold, made again when a value has changed since the last
// call and only then. The values themselves are compared, since nobody else can tell: PyTorch's
// version counters miss a write through .data, a NumPy view or shared memory. At the documented
// example's shape that takes a sixth of the time of a fold.
template <typename T>
class Hosted {
 public:
  explicit Hosted(const std::string& config) : config_(memattn::config_from_json(config)) {}

  nb::capsule fold(const std::vector<Address>& weights, int threads) {
    auto folded = std::make_unique<Folded<T>>(layer(weights, threads), pool_);
    nb::capsule capsule(folded.get(), Folded<T>::kName,
                        [](void* data) noexcept { delete static_cast<Folded<T>*>(data); });
    static_cast<void>(folded.release());
    return capsule;
  }

  std::int64_t folds() const { return folds_; }

 private:
  // To be called with the GIL, which guards latest_; what takes time happens without it.
  std::shared_ptr<const Layer<T>> layer(const std::vector<Address>& weights, int threads) {
    const std::shared_ptr<Layer<T>> latest = latest_;
    bool current = false;
    if (latest) {
      constexpr std::int64_t kBriefValues = 1 << 18;
      const Ungiled ungiled(latest->count_params() <= kBriefValues);
      current = holds(*latest, weights);
    }
    if (current) return latest;
    // Written over, if neither another thread nor a backward call that is to come needs it.
    const bool idle = latest && latest == latest_ && latest.use_count() == 2;
    if (idle) latest_.reset();
    std::shared_ptr<Layer<T>> renewed;
    {
      const nb::gil_scoped_release release;
      const memattn::ThreadLimit limit(threads);
      renewed = idle     ? latest
                : latest ? std::make_shared<Layer<T>>(*latest)
                         : std::make_shared<Layer<T>>(config_);
      renewed->update([&](std::span<T> parameters) {
        for_each(*renewed, weights, [&](std::size_t offset, std::span<const T> values) {
          std::ranges::copy(values, parameters.begin() + static_cast<std::ptrdiff_t>(offset));
          return true;
        });
      });
    }
    latest_ = renewed;
    ++folds_;
    return renewed;
  }

  // Calls visit(offset, values) for each weight until it returns false; whether it never did.
  template <typename Visit>
  static bool for_each(const Layer<T>& layer, const std::vector<Address>& weights, Visit visit) {
    const auto& infos = layer.weight_infos();
    if (weights.size() != infos.size()) {
      throw std::invalid_argument("Hosted.fold: weights: found " + std::to_string(weights.size()) +
                                  " addresses, expected " + std::to_string(infos.size()));
    }
    for (std::size_t i = 0; i < infos.size(); ++i) {
      const auto offset = static_cast<std::size_t>(infos[i].offset);
      if (!visit(offset, span_at<const T>(weights[i], infos[i].size))) return false;
    }
    return true;
  }

  // Bits and not values: a NaN is equal to itself, and 0 is not -0.
  static bool holds(const Layer<T>& layer, const std::vector<Address>& weights) {
    return for_each(layer, weights, [&](std::size_t offset, std::span<const T> values) {
      return std::memcmp(layer.parameters().data() + offset, values.data(), values.size_bytes()) ==
             0;
    });
  }

  memattn::MemoryAugmentedAttentionConfig config_;
  std::int64_t folds_ = 0;  // made so far
  std::shared_ptr<Layer<T>> latest_;
  std::shared_ptr<ScoresPool<T>> pool_ = std::make_shared<ScoresPool<T>>();
};

template <typename T>
void init_hosted_of(nb::module_& m, const std::string& type) {
  nb::class_<Hosted<T>>(m, ("Hosted" + type).c_str())
      .def(nb::init<const std::string&>(), "config"_a)
      .def("fold", &Hosted<T>::fold, "weights"_a, "threads"_a)
      .def_static(
          "forward",
          [](const nb::capsule& folded, const Call& call, std::int64_t batch, std::int64_t steps,
             Address x, Address y, Address scores, bool average_heads, bool keep) {
            Folded<T>::in(folded).forward(call, batch, steps, x, y, scores, average_heads, keep);
          },
          "folded"_a, "call"_a, "batch"_a, "steps"_a, "x"_a, "y"_a, "scores"_a, "average_heads"_a,
          "keep"_a)
      .def_static(
          "backward",
          [](const nb::capsule& folded, const Call& call, std::int64_t batch, std::int64_t steps,
             Address x, Address grad_y, Address grad_x, Address grad_parameters) {
            Folded<T>::in(folded).backward(call, batch, steps, x, grad_y, grad_x, grad_parameters);
          },
          "folded"_a, "call"_a, "batch"_a, "steps"_a, "x"_a, "grad_y"_a, "grad_x"_a,
          "grad_parameters"_a)
      .def_prop_ro("folds", &Hosted<T>::folds);
}

}  // namespace

void init_hosted(nb::module_& m) {
  nb::class_<Call>(m, "HostedCall");
  m.def("hosted_call", &make_call, "attention_mask"_a, "mask_batch"_a, "mask_steps"_a,
        "mask_slots"_a, "query_mask"_a, "queries"_a, "value_mask"_a, "values"_a,
        "use_causal_mask"_a, "training"_a, "dropout_step"_a, "threads"_a);
  init_hosted_of<float>(m, "Float32");
  init_hosted_of<double>(m, "Float64");
}
