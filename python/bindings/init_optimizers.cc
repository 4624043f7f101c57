// memattn._memattn.OptimizerFloat32 and OptimizerFloat64: one step of an optimizer over the weights
// of a layer, for python/memattn/optimizers.py.
#include <nanobind/ndarray.h>

#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "bindings.h"
#include "layer_handle.h"
#include "memattn/optimizers.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

template <typename T>
struct AnyOptimizer {
  std::unique_ptr<memattn::Optimizer<T>> optimizer;
};

template <typename T>
void init_optimizer_of(nb::module_& m, const char* name) {
  using Any = AnyOptimizer<T>;
  using Flat = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
  nb::class_<Any>(m, name)
      .def_static(
          "sgd",
          [](double learning_rate, double momentum, bool nesterov) {
            return Any{std::make_unique<memattn::Sgd<T>>(memattn::SgdOptions{
                .learning_rate = learning_rate, .momentum = momentum, .nesterov = nesterov})};
          },
          "learning_rate"_a, "momentum"_a, "nesterov"_a)
      .def_static(
          "adam",
          [](double learning_rate, double beta_1, double beta_2, double epsilon,
             double weight_decay) {
            return Any{std::make_unique<memattn::Adam<T>>(
                memattn::AdamOptions{.learning_rate = learning_rate,
                                     .beta_1 = beta_1,
                                     .beta_2 = beta_2,
                                     .epsilon = epsilon,
                                     .weight_decay = weight_decay})};
          },
          "learning_rate"_a, "beta_1"_a, "beta_2"_a, "epsilon"_a, "weight_decay"_a)
      .def(
          "step",
          [](Any& self, LayerHandle<T>& layer, const Flat& gradients) {
            layer.writable().update([&](std::span<T> parameters) {
              self.optimizer->step(parameters, {gradients.data(), gradients.size()});
            });
          },
          "layer"_a, "gradients"_a.noconvert())
      .def(
          "set_learning_rate",
          [](Any& self, double learning_rate) { self.optimizer->set_learning_rate(learning_rate); },
          "learning_rate"_a)
      .def("iterations", [](const Any& self) { return self.optimizer->iterations(); });
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
}
