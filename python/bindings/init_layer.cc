// memattn._memattn.LayerFloat32 and LayerFloat64: the layer over prepared NumPy arrays. Shapes,
// defaults and conversions are the business of python/memattn/layer.py.
#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "bindings.h"
#include "gil.h"
#include "layer/brief.h"
#include "layer_class.h"
#include "layer_handle.h"
#include "memattn/layer_file.h"
#include "span_of.h"
#include "tokens_view.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

template <typename T>
using Handle = LayerHandle<memattn::MemoryAugmentedAttention<T>>;

// Calls compute(layer) for a forward pass over so many tokens.
template <typename T, typename Compute>
void run_forward(const Handle<T>& self, std::int64_t tokens, Compute compute) {
  self.forward(memattn::is_brief(self.config(), tokens), 0, compute);
}

template <typename T>
void forward(const Handle<T>& self, const Array<const T, 3>& x, const Array<T, 3>& y,
             const Scores<T>& scores, bool average_heads, const Keep<3>& attention_mask,
             const Keep<2>& query_mask, const Keep<2>& value_mask, bool use_causal_mask,
             bool training, std::uint64_t dropout_step, std::int64_t first_step,
             std::int64_t first_sequence) {
  const auto options = call_options(attention_mask, query_mask, value_mask, use_causal_mask,
                                    training, dropout_step, first_step, first_sequence);
  const auto output = scores_output("scores", scores, average_heads);
  const auto in = span_of("x", x);
  const auto out = span_of("y", y);
  const auto batch = static_cast<std::int64_t>(x.shape(0));
  const auto steps = static_cast<std::int64_t>(x.shape(1));
  run_forward(self, batch * steps, [&](const memattn::MemoryAugmentedAttention<T>& layer) {
    layer.forward(in, {.batch = batch, .steps = steps}, out, options, output);
  });
}

// What forward_plain takes from NumPy. Made at its first call, since importing this module must not
// load NumPy, and never destroyed, since the interpreter ends before the process does.
struct NumPy {
  nb::object ndarray = nb::module_::import_("numpy").attr("ndarray");
  nb::object empty_like = nb::module_::import_("numpy").attr("empty_like");
};
const NumPy& numpy() {
  // A pointer, read and written under the GIL: a static object's guard could wait for a thread that
  // waits for the GIL.
  static const NumPy* made = nullptr;
  if (made == nullptr) made = new NumPy;
  return *made;
}

// The call without options on arrays that need no conversion. Returns `out`, or where that is None
// a new array; or None, and has written nothing, when x or `out` is anything but such an array.
template <typename T>
nb::object forward_plain(const Handle<T>& self, nb::handle x, nb::handle out) {
  const std::int64_t units = self.config().units;
  const nb::handle ndarray = numpy().ndarray;
  const TokensView<T> input(x, ndarray, units);
  if (!input.fits()) return nb::none();
  // NumPy asks for the like of it in Python.
  const nb::object result = out.is_none()
                                ? call_python([&]() -> nb::object { return numpy().empty_like(x); })
                                : nb::borrow(out);
  const TokensView<T> output(result, ndarray, units);
  if (!output.fits() || !output.writable() || output.batch() != input.batch() ||
      output.steps() != input.steps()) {
    return nb::none();
  }
  const std::int64_t batch = input.batch(), steps = input.steps();
  run_forward(self, batch * steps, [&](const memattn::MemoryAugmentedAttention<T>& layer) {
    layer.forward(input.values(), {.batch = batch, .steps = steps}, output.values());
  });
  return result;
}

template <typename T>
void backward(const Handle<T>& self, const Array<const T, 3>& x, const Array<const T, 3>& grad_y,
              const Array<T, 3>& grad_x, const Array<T, 1>& grad_parameters,
              const Keep<3>& attention_mask, const Keep<2>& query_mask, const Keep<2>& value_mask,
              bool use_causal_mask, bool training, std::uint64_t dropout_step,
              std::int64_t first_step, std::int64_t first_sequence) {
  const auto layer = self.snapshot();
  const auto options = call_options(attention_mask, query_mask, value_mask, use_causal_mask,
                                    training, dropout_step, first_step, first_sequence);
  const auto in = span_of("x", x), gradient = span_of("grad_y", grad_y);
  const auto out = span_of("grad_x", grad_x);
  const auto flat = span_of("grad_parameters", grad_parameters);
  const GilRelease release;
  layer->backward(in, gradient,
                  {.batch = static_cast<std::int64_t>(x.shape(0)),
                   .steps = static_cast<std::int64_t>(x.shape(1))},
                  out, flat, options);
}

template <typename T>
void init_layer_of(nb::module_& m, const char* name) {
  layer_class<memattn::MemoryAugmentedAttention<T>>(m, name, &memattn::config_from_json)
      .def("forward", &forward<T>, "x"_a.noconvert(), "y"_a.noconvert(),
           "scores"_a.noconvert().none(), "average_heads"_a, "attention_mask"_a.none(),
           "query_mask"_a.none(), "value_mask"_a.none(), "use_causal_mask"_a, "training"_a,
           "dropout_step"_a, "first_step"_a, "first_sequence"_a,
           "Writes y (B, T, U) from x (B, T, U) and, unless it is None, scores (B, H, T, S), or\n"
           "(B, T, S) with average_heads. Masks hold bytes, 1 keeps: attention_mask (B, T, S), "
           "each\n"
           "of its sizes 1 or full, query_mask (B, T), value_mask (B, S).")
      .def("forward_plain", &forward_plain<T>, "x"_a.none(), "out"_a.none(),
           "Returns out (B, T, U), or a new array, for x (B, T, U) without masks and options; "
           "None,\n"
           "and has written nothing, where one of the two is not ready for the kernels.")
      .def("backward", &backward<T>, "x"_a.noconvert(), "grad_y"_a.noconvert(),
           "grad_x"_a.noconvert(), "grad_parameters"_a.noconvert(), "attention_mask"_a.none(),
           "query_mask"_a.none(), "value_mask"_a.none(), "use_causal_mask"_a, "training"_a,
           "dropout_step"_a, "first_step"_a, "first_sequence"_a,
           "Writes grad_x (B, T, U) and grad_parameters (P,), all weights in the order of\n"
           "weight_infos(), from x and grad_y (B, T, U) and the options of the forward call.")
      .def("route", [](const Handle<T>& self) { return name_of(self.snapshot()->route()); });
}

}  // namespace

void init_layer(nb::module_& m) {
  init_layer_of<float>(m, "LayerFloat32");
  init_layer_of<double>(m, "LayerFloat64");
  m.def(
      "layer_file_info",
      [](const std::filesystem::path& path) {
        const memattn::LayerFileInfo info = memattn::layer_file_info(path);
        return nb::typed<nb::tuple, nb::str, nb::str>(nb::make_tuple(info.layer, info.dtype));
      },
      "path"_a, "The name of the layer that a file holds, and the dtype of its weights.");
  m.def(
      "config_warnings",
      [](const std::string& config) { return memattn::config_from_json(config).warnings(); },
      "config"_a);
}
