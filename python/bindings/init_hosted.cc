// memattn._memattn.HostedFloat32 and HostedFloat64: the layer for a framework that owns the weights
// and all arrays, and hands in where they lie. That its addresses are those of contiguous arrays of
// the right type and shape is the business of python/memattn/torch/kernels.py.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "bindings.h"
#include "gil.h"
#include "layer/brief.h"
#include "layer/hosted.h"
#include "memattn/threads.h"
#include "span_of.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

using Address = std::uintptr_t;  // 0: no such array

template <typename Value>
std::span<Value> span_at(const char* argument, Address address, std::int64_t size) {
  check_aligned<Value>(argument, address);
  auto* values = reinterpret_cast<Value*>(address);
  return {values, values ? static_cast<std::size_t>(size) : 0};
}

// Without the GIL, unless what is to be done is brief: who gives it up for a moment may get it back
// only after 5 ms, as LayerHandle::forward (layer_handle.h) explains.
class Ungiled {
 public:
  explicit Ungiled(bool brief) {
    if (!brief) release_.emplace();
  }

 private:
  std::optional<GilRelease> release_;
};

// What forward and backward have in common.
struct Call {
  memattn::CallOptions options;
  int threads;
};

Call make_call(Address attention_mask, std::int64_t mask_batch, std::int64_t mask_steps,
               std::int64_t mask_slots, Address query_mask, std::int64_t queries,
               Address value_mask, std::int64_t values, bool use_causal_mask, bool training,
               std::uint64_t dropout_step, std::int64_t first_step, std::int64_t first_sequence,
               int threads) {
  Call call{{}, threads};
  const auto mask_at = [](const char* argument, Address address, std::int64_t size) {
    return span_at<const std::uint8_t>(argument, address, size);
  };
  call.options.attention_mask = {
      mask_at("attention_mask", attention_mask, mask_batch * mask_steps * mask_slots), mask_batch,
      mask_steps, mask_slots};
  call.options.query_mask = mask_at("query_mask", query_mask, queries);
  call.options.value_mask = mask_at("value_mask", value_mask, values);
  call.options.use_causal_mask = use_causal_mask;
  call.options.training = training;
  call.options.dropout_step = dropout_step;
  call.options.first_step = first_step;
  call.options.first_sequence = first_sequence;
  return call;
}

// Python has a fold in a capsule and not as an object of nanobind's: PyTorch lets the nodes of a
// graph that is alive when the interpreter ends go without their Python parts, and nanobind would
// report each as a leak.
template <typename T>
constexpr const char* kFoldName =
    std::is_same_v<T, float> ? "memattn.FoldedFloat32" : "memattn.FoldedFloat64";

template <typename T>
memattn::HostedCall<T>& fold_in(const nb::capsule& capsule) {
  void* folded = PyCapsule_GetPointer(capsule.ptr(), kFoldName<T>);
  if (!folded) nb::raise_python_error();
  return *static_cast<memattn::HostedCall<T>*>(folded);
}

template <typename T>
nb::capsule fold(memattn::HostedLayer<T>& self, const std::vector<Address>& weights, int threads) {
  std::vector<const T*> places;
  for (const Address weight : weights) {
    check_aligned<T>("weights", weight);
    places.push_back(reinterpret_cast<const T*>(weight));
  }
  std::unique_ptr<memattn::HostedCall<T>> folded;
  {
    constexpr std::int64_t kBriefValues = 1 << 18;  // 1 MiB of floats to compare; not measured
    const Ungiled ungiled(self.count_params() <= kBriefValues);
    folded = self.current(places);
  }
  if (!folded) {
    const GilRelease release;
    const memattn::ThreadLimit limit(threads);
    folded = self.renew(places);
  }
  nb::capsule capsule(folded.get(), kFoldName<T>, [](void* data) noexcept {
    delete static_cast<memattn::HostedCall<T>*>(data);
  });
  static_cast<void>(folded.release());
  return capsule;
}

template <typename T>
void forward(const nb::capsule& folded, const Call& call, std::int64_t batch, std::int64_t steps,
             Address x, Address y, Address scores, bool average_heads, bool keep) {
  memattn::HostedCall<T>& self = fold_in<T>(folded);
  const memattn::MemoryAugmentedAttentionConfig& config = self.layer().config();
  const std::int64_t size = batch * steps * config.units;
  const std::int64_t rows = batch * steps * (average_heads ? 1 : config.num_heads);
  const Ungiled ungiled(memattn::is_brief(config, batch * steps));
  const memattn::ThreadLimit limit(call.threads);
  self.forward(span_at<const T>("x", x, size), {.batch = batch, .steps = steps},
               span_at<T>("y", y, size), call.options,
               {span_at<T>("scores", scores, rows * config.memory_size), average_heads}, keep);
}

template <typename T>
void backward(const nb::capsule& folded, const Call& call, std::int64_t batch, std::int64_t steps,
              Address x, Address grad_y, Address grad_x, Address grad_parameters) {
  const memattn::HostedCall<T>& self = fold_in<T>(folded);
  const std::int64_t size = batch * steps * self.layer().config().units;
  const GilRelease release;
  const memattn::ThreadLimit limit(call.threads);
  self.backward(span_at<const T>("x", x, size), span_at<const T>("grad_y", grad_y, size),
                {.batch = batch, .steps = steps}, span_at<T>("grad_x", grad_x, size),
                span_at<T>("grad_parameters", grad_parameters, self.layer().count_params()),
                call.options);
}

template <typename T>
void init_hosted_of(nb::module_& m, const std::string& type) {
  using Hosted = memattn::HostedLayer<T>;
  nb::class_<Hosted>(m, ("Hosted" + type).c_str())
      .def(
          "__init__",
          [](Hosted* self, const std::string& config) {
            new (self) Hosted(memattn::config_from_json(config));
          },
          "config"_a)
      .def("fold", &fold<T>, "weights"_a, "threads"_a,
           "The weights at these addresses, one for each weight and in the order of a file, "
           "folded:\n"
           "made anew when a value has changed.")
      .def_static("forward", &forward<T>, "folded"_a, "call"_a, "batch"_a, "steps"_a, "x"_a, "y"_a,
                  "scores"_a, "average_heads"_a, "keep"_a,
                  "Writes y (B, T, U) from x (B, T, U) and, unless its address is 0, scores\n"
                  "(B, H, T, S), or (B, T, S) with average_heads. With keep, `folded` holds the\n"
                  "scores for backward. All addresses are those of contiguous arrays.")
      .def_static(
          "backward", &backward<T>, "folded"_a, "call"_a, "batch"_a, "steps"_a, "x"_a, "grad_y"_a,
          "grad_x"_a, "grad_parameters"_a,
          "Writes grad_x (B, T, U), unless its address is 0, and grad_parameters (P,), all\n"
          "weights in the order of a file, from x and grad_y (B, T, U).")
      .def_prop_ro("folds", &Hosted::folds);
}

}  // namespace

void init_hosted(nb::module_& m) {
  nb::class_<Call>(m, "HostedCall");
  m.def(
      "hosted_call", &make_call, "attention_mask"_a, "mask_batch"_a, "mask_steps"_a, "mask_slots"_a,
      "query_mask"_a, "queries"_a, "value_mask"_a, "values"_a, "use_causal_mask"_a, "training"_a,
      "dropout_step"_a, "first_step"_a, "first_sequence"_a, "threads"_a,
      "Options of a call, for forward and backward.\n\n"
      "Masks are addresses of bytes, 1 keeps, or 0 for none: attention_mask (mask_batch,\n"
      "mask_steps, mask_slots), each 1 or B, T, S; query_mask (B, T), `queries` bytes; value_mask\n"
      "(B, S), `values` bytes. They must stay there until the calls have returned.");
  init_hosted_of<float>(m, "Float32");
  init_hosted_of<double>(m, "Float64");
}
