// What the classes of all layers have in common in Python: weights, config, route, and what a call
// takes.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "gil.h"
#include "layer_handle.h"
#include "memattn/cross_attention.h"
#include "memattn/memory_augmented_attention.h"
#include "span_of.h"

template <typename T, std::size_t kDims>
using Array =
    nanobind::ndarray<T, nanobind::ndim<kDims>, nanobind::c_contig, nanobind::device::cpu>;
template <std::size_t kDims>
using Keep = std::optional<Array<const std::uint8_t, kDims>>;
// Of any number of axes, or None.
template <typename T>
using Scores = std::optional<nanobind::ndarray<T, nanobind::c_contig, nanobind::device::cpu>>;

inline std::span<const std::uint8_t> keep_span(const char* argument, const Keep<2>& keep) {
  return keep ? span_of(argument, *keep) : std::span<const std::uint8_t>();
}

inline memattn::AttentionMask attention_mask_of(const Keep<3>& keep) {
  if (!keep) return {};
  return {span_of("attention_mask", *keep), static_cast<std::int64_t>(keep->shape(0)),
          static_cast<std::int64_t>(keep->shape(1)), static_cast<std::int64_t>(keep->shape(2))};
}

inline memattn::CallOptions call_options(const Keep<3>& attention_mask, const Keep<2>& query_mask,
                                         const Keep<2>& value_mask, bool use_causal_mask,
                                         bool training, std::uint64_t dropout_step,
                                         std::int64_t first_step, std::int64_t first_sequence) {
  return {.attention_mask = attention_mask_of(attention_mask),
          .query_mask = keep_span("query_mask", query_mask),
          .value_mask = keep_span("value_mask", value_mask),
          .use_causal_mask = use_causal_mask,
          .training = training,
          .dropout_step = dropout_step,
          .first_step = first_step,
          .first_sequence = first_sequence};
}

template <typename T>
memattn::ScoresOutput<T> scores_output(const char* argument, const Scores<T>& scores,
                                       bool average_heads) {
  if (!scores) return {};
  return {span_of(argument, *scores), average_heads};
}

// The names of routes in Python, in the order of the enumeration.
inline constexpr std::array<std::string_view, 3> kRouteNames = {"auto", "folded", "projected"};
inline constexpr std::array<std::string_view, 8> kSequenceRouteNames = {
    "auto",        "as_written",         "left_read",       "right_read",
    "right_value", "right_value_dense2", "left_read_dense", "left_read_dense1"};
constexpr const auto& route_names(memattn::Route) { return kRouteNames; }
constexpr const auto& route_names(memattn::SequenceRoute) { return kSequenceRouteNames; }

template <typename Route>
std::string name_of(Route route) {
  return std::string(route_names(route)[static_cast<std::size_t>(route)]);
}

// kAuto for a name that is none: python/memattn has checked it.
template <typename Route>
Route route_named(std::string_view name) {
  const auto& names = route_names(Route::kAuto);
  const auto place = std::ranges::find(names, name);
  return place == names.end() ? Route::kAuto : static_cast<Route>(place - names.begin());
}

// A bit for the fold of a route, and those of the routes of two sides.
inline std::uint32_t fold_bits(memattn::SequenceRoute route) {
  return std::uint32_t{1} << static_cast<unsigned>(route);
}
inline std::uint32_t fold_bits(const std::array<memattn::SequenceRoute, 2>& routes) {
  return fold_bits(routes[0]) | fold_bits(routes[1]) << 16;
}

// The type of a layer's weights.
template <typename Layer>
struct ValueOf;
template <template <typename> typename Layer, typename T>
struct ValueOf<Layer<T>> {
  using Type = T;
};

// (name, shape, offset, size) of each weight.
template <typename Layer>
nanobind::list weight_infos(const LayerHandle<Layer>& self) {
  nanobind::list infos;
  for (const memattn::WeightInfo& info : self.snapshot()->weight_infos()) {
    infos.append(nanobind::make_tuple(info.name, nanobind::tuple(nanobind::cast(info.shape)),
                                      info.offset, info.size));
  }
  return infos;
}

// Defines the class of a layer, whose config from_json reads, with all but its calls.
template <typename Layer, typename Config>
nanobind::class_<LayerHandle<Layer>> layer_class(nanobind::module_& m, const char* name,
                                                 Config (*from_json)(std::string_view)) {
  using nanobind::literals::operator""_a;
  using Handle = LayerHandle<Layer>;
  using T = typename ValueOf<Layer>::Type;
  nanobind::class_<Handle> type(m, name);
  type.def(
          "__init__",
          [from_json](Handle* self, const std::string& config) {
            new (self) Handle(Layer(from_json(config)));
          },
          "config"_a)
      .def_static(
          "check_config", [from_json](const std::string& config) { from_json(config); }, "config"_a,
          "Raises ValueError, naming the first option of the JSON that is wrong.")
      .def(
          "read_parameters",
          [](const Handle& self, const Array<T, 1>& out) {
            const auto layer = self.snapshot();
            if (out.size() != layer->parameters().size()) {
              throw std::invalid_argument(
                  "read_parameters: out: found another size, expected "
                  "count_params()");
            }
            std::ranges::copy(layer->parameters(), span_of("out", out).data());
          },
          "out"_a.noconvert())
      .def(
          "set_parameters",
          [](Handle& self, const Array<const T, 1>& parameters) {
            self.writable().set_parameters(span_of("parameters", parameters));
          },
          "parameters"_a.noconvert())
      .def("weight_infos", &weight_infos<Layer>)
      .def("config_json", [](const Handle& self) { return memattn::to_json(self.config()); })
      .def("summary", [](const Handle& self) { return self.snapshot()->summary(); })
      .def("kept_bytes", [](const Handle& self) { return self.snapshot()->kept_bytes(); })
      .def("forced_route",
           [](const Handle& self) { return name_of(self.snapshot()->forced_route()); })
      .def(
          "set_route",
          [](Handle& self, const std::string& route) {
            using Route = decltype(self.snapshot()->forced_route());
            self.writable().set_route(route_named<Route>(route));
          },
          "route"_a)
      .def_static(
          "load", [](const std::filesystem::path& path) { return Handle(Layer::load(path)); },
          "path"_a)
      .def(
          "save",
          [](const Handle& self, const std::filesystem::path& path, bool half) {
            const auto layer = self.snapshot();
            const GilRelease release;
            layer->save(path, half ? memattn::StoredType::kBFloat16 : memattn::StoredType::kOwn);
          },
          "path"_a, "half"_a);
  type.def("precision",
           [](const Handle& self) {
             return self.config().precision == memattn::Precision::kBFloat16 ? "bfloat16"
                                                                             : "float32";
           })
      .def(
          "set_precision",
          [](Handle& self, const std::string& precision) {
            self.writable().set_precision(precision == "bfloat16" ? memattn::Precision::kBFloat16
                                                                  : memattn::Precision::kFloat32);
          },
          "precision"_a);
  return type;
}
