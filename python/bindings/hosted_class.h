// What the classes of hosted layers have in common in Python: they take their arrays by address,
// and keep the fold of weights that a framework owns.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <typeinfo>
#include <vector>

#include "gil.h"
#include "layer/brief.h"
#include "layer/hosted.h"
#include "layer_class.h"
#include "memattn/threads.h"
#include "span_of.h"

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

// What forward and backward have in common, for every layer.
struct HostedOptions {
  memattn::CallOptions call;
  int threads;

  // A hierarchical layer has the masks of its two inputs in place of query and value mask.
  memattn::HierarchicalOptions hierarchical() const {
    return {.short_mask = call.query_mask,
            .long_mask = call.value_mask,
            .attention_mask = call.attention_mask,
            .use_causal_mask = call.use_causal_mask,
            .training = call.training,
            .dropout_step = call.dropout_step,
            .first_sequence = call.first_sequence};
  }
};

// Python has a fold in a capsule and not as an object of nanobind's: PyTorch lets the nodes of a
// graph that is alive when the interpreter ends go without their Python parts, and nanobind would
// report each as a leak. The capsule's name tells the folds of one class from those of another.
template <typename Layer>
memattn::HostedCall<Layer>& fold_in(const nanobind::capsule& capsule) {
  using Call = memattn::HostedCall<Layer>;
  void* folded = PyCapsule_GetPointer(capsule.ptr(), typeid(Call).name());
  if (!folded) nanobind::raise_python_error();
  return *static_cast<Call*>(folded);
}

template <typename Layer>
nanobind::capsule fold(memattn::HostedLayer<Layer>& self, const std::vector<Address>& weights,
                       int threads) {
  using Call = memattn::HostedCall<Layer>;
  using T = memattn::ValueOf<Layer>;
  std::vector<const T*> places;
  for (const Address weight : weights) {
    check_aligned<T>("weights", weight);
    places.push_back(reinterpret_cast<const T*>(weight));
  }
  std::unique_ptr<Call> folded;
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
  nanobind::capsule capsule(folded.get(), typeid(Call).name(),
                            [](void* data) noexcept { delete static_cast<Call*>(data); });
  static_cast<void>(folded.release());
  return capsule;
}

// Defines the class of a hosted layer, whose config from_json reads, with all but its calls.
template <typename Layer>
nanobind::class_<memattn::HostedLayer<Layer>> hosted_class(
    nanobind::module_& m, const std::string& name,
    memattn::ConfigOf<Layer> (*from_json)(std::string_view)) {
  using nanobind::literals::operator""_a;
  using Hosted = memattn::HostedLayer<Layer>;
  nanobind::class_<Hosted> type(m, name.c_str());
  type.def(
          "__init__",
          [from_json](Hosted* self, const std::string& config, const std::string& route) {
            new (self) Hosted(from_json(config), route_named<memattn::RouteOf<Layer>>(route));
          },
          "config"_a, "route"_a = "auto")
      .def("fold", &fold<Layer>, "weights"_a, "threads"_a,
           "The weights at these addresses, one for each weight and in the order of a file, "
           "folded:\n"
           "made anew when a value has changed.")
      .def_prop_ro("folds", &Hosted::folds);
  return type;
}
