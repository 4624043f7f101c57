// memattn._memattn.CrossAttentionFloat32 and so on: the layers of two inputs over prepared NumPy
// arrays. Shapes, defaults and conversions are the business of python/memattn/cross_attention.py
// and hierarchical_attention.py.
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "bindings.h"
#include "gil.h"
#include "layer/brief.h"
#include "layer/way_choice.h"
#include "layer_class.h"
#include "layer_handle.h"
#include "memattn/cross_attention.h"
#include "memattn/hierarchical_attention.h"
#include "span_of.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

template <typename T>
using Cross = LayerHandle<memattn::CrossAttention<T>>;
template <typename T>
using Hierarchical = LayerHandle<memattn::HierarchicalAttention<T>>;

template <typename T>
std::int64_t extent(const Array<const T, 3>& array, std::size_t axis) {
  return static_cast<std::int64_t>(array.shape(axis));
}

// --- CrossAttention -----------------------------------------------------------------------------

template <typename T>
memattn::CrossTokens cross_tokens(const Array<const T, 3>& x1, const Array<const T, 3>& x2) {
  return {.batch = extent(x1, 0), .steps1 = extent(x1, 1), .steps2 = extent(x2, 1)};
}

template <typename T>
void cross_forward(const Cross<T>& self, const Array<const T, 3>& x1, const Array<const T, 3>& x2,
                   const Array<T, 3>& y, const Scores<T>& scores, bool average_heads,
                   const Keep<3>& attention_mask, const Keep<2>& query_mask,
                   const Keep<2>& value_mask, bool use_causal_mask, bool training,
                   std::uint64_t dropout_step, std::int64_t first_step,
                   std::int64_t first_sequence) {
  const auto options = call_options(attention_mask, query_mask, value_mask, use_causal_mask,
                                    training, dropout_step, first_step, first_sequence);
  const auto output = scores_output("scores", scores, average_heads);
  const auto in1 = span_of("x1", x1), in2 = span_of("x2", x2);
  const auto out = span_of("y", y);
  const memattn::CrossTokens tokens = cross_tokens<T>(x1, x2);
  const memattn::SequenceRoute route = self.snapshot()->route(tokens, training);
  const bool brief = memattn::is_brief(self.config(), route, tokens);
  self.forward(brief, fold_bits(route), [&](const memattn::CrossAttention<T>& layer) {
    layer.forward(in1, in2, tokens, out, options, output);
  });
}

template <typename T>
void cross_backward(const Cross<T>& self, const Array<const T, 3>& x1, const Array<const T, 3>& x2,
                    const Array<const T, 3>& grad_y, const Array<T, 3>& grad_x1,
                    const Array<T, 3>& grad_x2, const Array<T, 1>& grad_parameters,
                    const Keep<3>& attention_mask, const Keep<2>& query_mask,
                    const Keep<2>& value_mask, bool use_causal_mask, bool training,
                    std::uint64_t dropout_step, std::int64_t first_step,
                    std::int64_t first_sequence) {
  const auto layer = self.snapshot();
  const auto options = call_options(attention_mask, query_mask, value_mask, use_causal_mask,
                                    training, dropout_step, first_step, first_sequence);
  const auto in1 = span_of("x1", x1), in2 = span_of("x2", x2);
  const auto gradient = span_of("grad_y", grad_y);
  const auto out1 = span_of("grad_x1", grad_x1), out2 = span_of("grad_x2", grad_x2);
  const auto flat = span_of("grad_parameters", grad_parameters);
  const memattn::CrossTokens tokens = cross_tokens<T>(x1, x2);
  const GilRelease release;
  layer->backward(in1, in2, gradient, tokens, out1, out2, flat, options);
}

template <typename T>
void init_cross_of(nb::module_& m, const char* name) {
  layer_class<memattn::CrossAttention<T>>(m, name, &memattn::cross_attention_config_from_json)
      .def("forward", &cross_forward<T>, "x1"_a.noconvert(), "x2"_a.noconvert(), "y"_a.noconvert(),
           "scores"_a.noconvert().none(), "average_heads"_a, "attention_mask"_a.none(),
           "query_mask"_a.none(), "value_mask"_a.none(), "use_causal_mask"_a, "training"_a,
           "dropout_step"_a, "first_step"_a, "first_sequence"_a,
           "Writes y (B, T1, U) from x1 (B, T1, F1) and x2 (B, T2, F2) and, unless it is None,\n"
           "scores (B, H, T1, T2), or (B, T1, T2) with average_heads. Masks hold bytes, 1 keeps:\n"
           "attention_mask (B, T1, T2), each of its sizes 1 or full, query_mask (B, T1),\n"
           "value_mask (B, T2).")
      .def("backward", &cross_backward<T>, "x1"_a.noconvert(), "x2"_a.noconvert(),
           "grad_y"_a.noconvert(), "grad_x1"_a.noconvert(), "grad_x2"_a.noconvert(),
           "grad_parameters"_a.noconvert(), "attention_mask"_a.none(), "query_mask"_a.none(),
           "value_mask"_a.none(), "use_causal_mask"_a, "training"_a, "dropout_step"_a,
           "first_step"_a, "first_sequence"_a,
           "Writes grad_x1 (B, T1, F1), grad_x2 (B, T2, F2) and grad_parameters (P,), all weights\n"
           "in the order of weight_infos(), from x1, x2, grad_y (B, T1, U) and the options of the\n"
           "forward call.")
      .def(
          "route",
          [](const Cross<T>& self, std::int64_t batch, std::int64_t steps1, std::int64_t steps2,
             bool training) {
            return name_of(self.snapshot()->route(
                {.batch = batch, .steps1 = steps1, .steps2 = steps2}, training));
          },
          "batch"_a, "steps1"_a, "steps2"_a, "training"_a);
}

// --- HierarchicalAttention ----------------------------------------------------------------------

memattn::HierarchicalOptions hierarchical_options(
    const Keep<2>& short_mask, const Keep<2>& long_mask, const Keep<3>& attention_mask,
    bool use_causal_mask, bool training, std::uint64_t dropout_step, std::int64_t first_sequence) {
  return {.short_mask = keep_span("short_mask", short_mask),
          .long_mask = keep_span("long_mask", long_mask),
          .attention_mask = attention_mask_of(attention_mask),
          .use_causal_mask = use_causal_mask,
          .training = training,
          .dropout_step = dropout_step,
          .first_sequence = first_sequence};
}

template <typename T>
void hierarchical_forward(const Hierarchical<T>& self, const Array<const T, 3>& x_short,
                          const Array<const T, 3>& x_long, const Array<T, 3>& y,
                          const Scores<T>& short_scores, const Scores<T>& long_scores,
                          bool average_heads, const Keep<2>& short_mask, const Keep<2>& long_mask,
                          const Keep<3>& attention_mask, bool use_causal_mask, bool training,
                          std::uint64_t dropout_step, std::int64_t first_sequence) {
  const auto options = hierarchical_options(short_mask, long_mask, attention_mask, use_causal_mask,
                                            training, dropout_step, first_sequence);
  const memattn::HierarchicalScores<T> outputs{
      scores_output("short_scores", short_scores, average_heads),
      scores_output("long_scores", long_scores, average_heads)};
  const auto in_short = span_of("x_short", x_short), in_long = span_of("x_long", x_long);
  const auto out = span_of("y", y);
  const memattn::Tokens tokens{.batch = extent(x_short, 0), .steps = extent(x_short, 1)};
  const auto routes = self.snapshot()->route(tokens, training);
  const bool brief = memattn::is_brief(self.config(), routes, tokens);
  self.forward(brief, fold_bits(routes), [&](const memattn::HierarchicalAttention<T>& layer) {
    layer.forward(in_short, in_long, tokens, out, options, outputs);
  });
}

template <typename T>
void hierarchical_backward(const Hierarchical<T>& self, const Array<const T, 3>& x_short,
                           const Array<const T, 3>& x_long, const Array<const T, 3>& grad_y,
                           const Array<T, 3>& grad_short, const Array<T, 3>& grad_long,
                           const Array<T, 1>& grad_parameters, const Keep<2>& short_mask,
                           const Keep<2>& long_mask, const Keep<3>& attention_mask,
                           bool use_causal_mask, bool training, std::uint64_t dropout_step,
                           std::int64_t first_sequence) {
  const auto layer = self.snapshot();
  const auto options = hierarchical_options(short_mask, long_mask, attention_mask, use_causal_mask,
                                            training, dropout_step, first_sequence);
  const auto in_short = span_of("x_short", x_short), in_long = span_of("x_long", x_long);
  const auto gradient = span_of("grad_y", grad_y);
  const auto out_short = span_of("grad_short", grad_short);
  const auto out_long = span_of("grad_long", grad_long);
  const auto flat = span_of("grad_parameters", grad_parameters);
  const memattn::Tokens tokens{.batch = extent(x_short, 0), .steps = extent(x_short, 1)};
  const GilRelease release;
  layer->backward(in_short, in_long, gradient, tokens, out_short, out_long, flat, options);
}

template <typename T>
void init_hierarchical_of(nb::module_& m, const char* name) {
  layer_class<memattn::HierarchicalAttention<T>>(m, name,
                                                 &memattn::hierarchical_attention_config_from_json)
      .def("forward", &hierarchical_forward<T>, "x_short"_a.noconvert(), "x_long"_a.noconvert(),
           "y"_a.noconvert(), "short_scores"_a.noconvert().none(),
           "long_scores"_a.noconvert().none(), "average_heads"_a, "short_mask"_a.none(),
           "long_mask"_a.none(), "attention_mask"_a.none(), "use_causal_mask"_a, "training"_a,
           "dropout_step"_a, "first_sequence"_a,
           "Writes y (B, T, U) from x_short (B, T, Fs) and x_long (B, T, Fl) and, unless they are\n"
           "None, the scores of both sides (B, H, T, T), or (B, T, T) with average_heads. Masks\n"
           "hold bytes, 1 keeps: short_mask and long_mask (B, T), attention_mask (B, T, T), each\n"
           "of its sizes 1 or full.")
      .def(
          "backward", &hierarchical_backward<T>, "x_short"_a.noconvert(), "x_long"_a.noconvert(),
          "grad_y"_a.noconvert(), "grad_short"_a.noconvert(), "grad_long"_a.noconvert(),
          "grad_parameters"_a.noconvert(), "short_mask"_a.none(), "long_mask"_a.none(),
          "attention_mask"_a.none(), "use_causal_mask"_a, "training"_a, "dropout_step"_a,
          "first_sequence"_a,
          "Writes grad_short (B, T, Fs), grad_long (B, T, Fl) and grad_parameters (P,), all\n"
          "weights in the order of weight_infos(), from x_short, x_long, grad_y (B, T, U) and the\n"
          "options of the forward call.")
      .def(
          "route",
          [](const Hierarchical<T>& self, std::int64_t batch, std::int64_t steps, bool training) {
            const auto [of_short, of_long] =
                self.snapshot()->route({.batch = batch, .steps = steps}, training);
            return nb::typed<nb::tuple, nb::str, nb::str>(
                nb::make_tuple(name_of(of_short), name_of(of_long)));
          },
          "batch"_a, "steps"_a, "training"_a);
}

}  // namespace

void init_pair_layers(nb::module_& m) {
  init_cross_of<float>(m, "CrossAttentionFloat32");
  init_cross_of<double>(m, "CrossAttentionFloat64");
  init_hierarchical_of<float>(m, "HierarchicalAttentionFloat32");
  init_hierarchical_of<double>(m, "HierarchicalAttentionFloat64");
  m.def(
      "cheapest_pair_route",
      [](std::int64_t units, std::int64_t source1_units, std::int64_t source2_units,
         std::int64_t num_heads, std::int64_t key_dim, std::int64_t value_dim, bool one_source,
         std::int64_t batch, std::int64_t steps1, std::int64_t steps2, bool training) {
        const memattn::kernels::SequenceDims dims{units,   source1_units, source2_units, num_heads,
                                                  key_dim, value_dim,     one_source};
        return name_of(memattn::cheapest_route(dims, batch, steps1, steps2, training));
      },
      nb::kw_only(), "units"_a, "source1_units"_a, "source2_units"_a, "num_heads"_a, "key_dim"_a,
      "value_dim"_a, "one_source"_a, "batch"_a, "steps1"_a, "steps2"_a, "training"_a,
      "The route of the least cost (docs/siblings-math.md) of one attention between two inputs,\n"
      "for hosts that compute in operators of their own. one_source says that both inputs are one\n"
      "and the same, through one Dense.");
}
