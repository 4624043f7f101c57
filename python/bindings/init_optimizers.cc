// memattn._memattn.OptimizerFloat32 and OptimizerFloat64: an optimizer of any kind over the weights
// of a layer, for python/memattn/optimizers.py.
#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "bindings.h"
#include "gil.h"
#include "layer_handle.h"
#include "memattn/cross_attention.h"
#include "memattn/hierarchical_attention.h"
#include "memattn/memory_augmented_attention.h"
#include "memattn/optimizers.h"
#include "new_array.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

template <typename T>
struct AnyOptimizer {
  std::variant<memattn::Sgd<T>, memattn::Adam<T>, memattn::AdamW<T>> kind;

  memattn::Optimizer<T>& base() {
    return std::visit([](auto& optimizer) -> memattn::Optimizer<T>& { return optimizer; }, kind);
  }
  const memattn::Optimizer<T>& base() const {
    return std::visit(
        [](const auto& optimizer) -> const memattn::Optimizer<T>& { return optimizer; }, kind);
  }
};

nb::dict as_dict(const memattn::SgdOptions& options) {
  nb::dict result;
  result["momentum"] = options.momentum;
  result["nesterov"] = options.nesterov;
  return result;
}

// AdamOptions or AdamWOptions.
template <typename Options>
nb::dict as_dict(const Options& options) {
  nb::dict result;
  result["beta_1"] = options.beta_1;
  result["beta_2"] = options.beta_2;
  result["epsilon"] = options.epsilon;
  result["weight_decay"] = options.weight_decay;
  return result;
}

template <typename T, template <typename> typename Kind, typename Options>
AnyOptimizer<T> make_adam(double learning_rate, double beta_1, double beta_2, double epsilon,
                          double weight_decay) {
  return {Kind<T>(Options{.learning_rate = learning_rate,
                          .beta_1 = beta_1,
                          .beta_2 = beta_2,
                          .epsilon = epsilon,
                          .weight_decay = weight_decay})};
}

// learning_rate, iterations, parameters, and the moments under their names.
template <typename T>
nb::dict state_of(const AnyOptimizer<T>& self) {
  const memattn::OptimizerState<T> state = self.base().state();
  nb::dict result;
  result["learning_rate"] = state.learning_rate;
  result["iterations"] = state.iterations;
  result["parameters"] = state.parameters;
  for (const auto& [name, values] : state.moments) {
    auto [array, view] = make_array<T>({values.size()});
    std::ranges::copy(values, view.begin());
    result[name.c_str()] = std::move(array);
  }
  return result;
}

// A step of layers of one class; the weights of all are one flat buffer.
template <typename T, typename Layer>
void step(AnyOptimizer<T>& self, LayerHandle<Layer>& layer,
          const nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>& gradients) {
  layer.writable().update([&](std::span<T> parameters) {
    self.base().step(parameters, {gradients.data(), gradients.size()});
  });
}

template <typename T>
void init_optimizer_of(nb::module_& m, const char* name) {
  using Any = AnyOptimizer<T>;
  using Flat = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
  using Moment = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
  using Path = std::filesystem::path;
  nb::class_<Any>(m, name)
      .def_static(
          "sgd",
          [](double learning_rate, double momentum, bool nesterov) {
            return Any{memattn::Sgd<T>(
                {.learning_rate = learning_rate, .momentum = momentum, .nesterov = nesterov})};
          },
          "learning_rate"_a, "momentum"_a, "nesterov"_a)
      .def_static("adam", &make_adam<T, memattn::Adam, memattn::AdamOptions>, "learning_rate"_a,
                  "beta_1"_a, "beta_2"_a, "epsilon"_a, "weight_decay"_a)
      .def_static("adamw", &make_adam<T, memattn::AdamW, memattn::AdamWOptions>, "learning_rate"_a,
                  "beta_1"_a, "beta_2"_a, "epsilon"_a, "weight_decay"_a)
      .def_static(
          "load_sgd", [](const Path& path) { return Any{memattn::Sgd<T>::load(path)}; }, "path"_a)
      .def_static(
          "load_adam", [](const Path& path) { return Any{memattn::Adam<T>::load(path)}; }, "path"_a)
      .def_static(
          "load_adamw", [](const Path& path) { return Any{memattn::AdamW<T>::load(path)}; },
          "path"_a)
      .def("step", &step<T, memattn::MemoryAugmentedAttention<T>>, "layer"_a,
           "gradients"_a.noconvert())
      .def("step", &step<T, memattn::CrossAttention<T>>, "layer"_a, "gradients"_a.noconvert())
      .def("step", &step<T, memattn::HierarchicalAttention<T>>, "layer"_a,
           "gradients"_a.noconvert())
      .def(
          "set_learning_rate",
          [](Any& self, double learning_rate) { self.base().set_learning_rate(learning_rate); },
          "learning_rate"_a)
      .def("learning_rate", [](const Any& self) { return self.base().learning_rate(); })
      .def("iterations", [](const Any& self) { return self.base().iterations(); })
      .def("options",
           [](const Any& self) {
             return std::visit([](const auto& kind) { return as_dict(kind.options()); }, self.kind);
           })
      .def("state", &state_of<T>)
      .def(
          "restore",
          [](Any& self, double learning_rate, std::int64_t iterations, std::int64_t parameters,
             const std::map<std::string, Moment>& moments) {
            memattn::OptimizerState<T> state{learning_rate, iterations, parameters};
            for (const auto& [moment, values] : moments) {
              state.moments[moment].assign(values.data(), values.data() + values.size());
            }
            self.base().restore(std::move(state));
          },
          "learning_rate"_a, "iterations"_a, "parameters"_a, "moments"_a)
      .def(
          "save",
          [](const Any& self, const Path& path) {
            const Any copy = self;  // another thread may take a step meanwhile
            const GilRelease release;
            copy.base().save(path);
          },
          "path"_a);
  m.def(
      "clip_by_global_norm",
      [](const Flat& gradients, double max_norm) {
        return static_cast<double>(memattn::clip_by_global_norm(
            std::span<T>(gradients.data(), gradients.size()), max_norm));
      },
      "gradients"_a.noconvert(), "max_norm"_a);
}

}  // namespace

void init_optimizers(nb::module_& m) {
  init_optimizer_of<float>(m, "OptimizerFloat32");
  init_optimizer_of<double>(m, "OptimizerFloat64");
  m.def("optimizer_file_dtype", &memattn::optimizer_file_dtype, "path"_a);
}
