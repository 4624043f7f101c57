// memattn._memattn.HostedFloat32, HostedCrossAttentionFloat32 and so on: the layers for a framework
// that owns the weights and all arrays, and hands in where they lie. That its addresses are those
// of contiguous arrays of the right type and shape is the business of
// python/memattn/torch/kernels.py.
#include <cstdint>
#include <string>

#include "bindings.h"
#include "gil.h"
#include "hosted_class.h"
#include "memattn/threads.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

HostedOptions make_options(Address attention_mask, std::int64_t mask_batch, std::int64_t mask_steps,
                           std::int64_t mask_slots, Address query_mask, std::int64_t queries,
                           Address value_mask, std::int64_t values, bool use_causal_mask,
                           bool training, std::uint64_t dropout_step, std::int64_t first_step,
                           std::int64_t first_sequence, int threads) {
  HostedOptions options{{}, threads};
  const auto mask_at = [](const char* argument, Address address, std::int64_t size) {
    return span_at<const std::uint8_t>(argument, address, size);
  };
  options.call.attention_mask = {
      mask_at("attention_mask", attention_mask, mask_batch * mask_steps * mask_slots), mask_batch,
      mask_steps, mask_slots};
  options.call.query_mask = mask_at("query_mask", query_mask, queries);
  options.call.value_mask = mask_at("value_mask", value_mask, values);
  options.call.use_causal_mask = use_causal_mask;
  options.call.training = training;
  options.call.dropout_step = dropout_step;
  options.call.first_step = first_step;
  options.call.first_sequence = first_sequence;
  return options;
}

// --- MemoryAugmentedAttention -------------------------------------------------------------------

template <typename T>
void memory_forward(const nb::capsule& folded, const HostedOptions& options, std::int64_t batch,
                    std::int64_t steps, Address x, Address y, Address scores, bool average_heads,
                    bool keep) {
  auto& self = fold_in<memattn::MemoryAugmentedAttention<T>>(folded);
  const memattn::MemoryAugmentedAttentionConfig& config = self.layer().config();
  const std::int64_t size = batch * steps * config.units;
  const std::int64_t rows = batch * steps * (average_heads ? 1 : config.num_heads);
  const Ungiled ungiled(memattn::is_brief(config, batch * steps));
  const memattn::ThreadLimit limit(options.threads);
  self.layer().forward(span_at<const T>("x", x, size), {.batch = batch, .steps = steps},
                       span_at<T>("y", y, size), options.call,
                       {span_at<T>("scores", scores, rows * config.memory_size), average_heads},
                       keep ? self.cache() : nullptr);
}

template <typename T>
void memory_backward(const nb::capsule& folded, const HostedOptions& options, std::int64_t batch,
                     std::int64_t steps, Address x, Address grad_y, Address grad_x,
                     Address grad_parameters) {
  const auto& self = fold_in<memattn::MemoryAugmentedAttention<T>>(folded);
  const memattn::MemoryAugmentedAttention<T>& layer = self.layer();
  const std::int64_t size = batch * steps * layer.config().units;
  const GilRelease release;
  const memattn::ThreadLimit limit(options.threads);
  layer.backward(span_at<const T>("x", x, size), span_at<const T>("grad_y", grad_y, size),
                 {.batch = batch, .steps = steps}, span_at<T>("grad_x", grad_x, size),
                 span_at<T>("grad_parameters", grad_parameters, layer.count_params()), options.call,
                 self.kept());
}

template <typename T>
void init_memory_of(nb::module_& m, const std::string& name) {
  hosted_class<memattn::MemoryAugmentedAttention<T>>(m, name, &memattn::config_from_json)
      .def_static("forward", &memory_forward<T>, "folded"_a, "options"_a, "batch"_a, "steps"_a,
                  "x"_a, "y"_a, "scores"_a, "average_heads"_a, "keep"_a,
                  "Writes y (B, T, U) from x (B, T, U) and, unless its address is 0, scores\n"
                  "(B, H, T, S), or (B, T, S) with average_heads. With keep, `folded` holds the\n"
                  "scores for backward. All addresses are those of contiguous arrays.")
      .def_static(
          "backward", &memory_backward<T>, "folded"_a, "options"_a, "batch"_a, "steps"_a, "x"_a,
          "grad_y"_a, "grad_x"_a, "grad_parameters"_a,
          "Writes grad_x (B, T, U), unless its address is 0, and grad_parameters (P,), all\n"
          "weights in the order of a file, from x and grad_y (B, T, U).");
}

// --- CrossAttention -----------------------------------------------------------------------------

template <typename T>
void cross_forward(const nb::capsule& folded, const HostedOptions& options, std::int64_t batch,
                   std::int64_t steps1, std::int64_t steps2, Address x1, Address x2, Address y,
                   Address scores, bool average_heads) {
  auto& self = fold_in<memattn::CrossAttention<T>>(folded);
  const memattn::CrossAttentionConfig& config = self.layer().config();
  const memattn::CrossTokens tokens{.batch = batch, .steps1 = steps1, .steps2 = steps2};
  const std::int64_t queries = batch * steps1;
  const std::int64_t rows = queries * (average_heads ? 1 : config.num_heads);
  const memattn::SequenceRoute route = self.layer().route(tokens, options.call.training);
  const std::uint32_t folds = fold_bits(route);
  const Ungiled ungiled(self.has_folds(folds) && memattn::is_brief(config, route, tokens));
  const memattn::ThreadLimit limit(options.threads);
  self.layer().forward(span_at<const T>("x1", x1, queries * config.resolved_source1_units()),
                       span_at<const T>("x2", x2, batch * steps2 * config.resolved_source2_units()),
                       tokens, span_at<T>("y", y, queries * config.units), options.call,
                       {span_at<T>("scores", scores, rows * steps2), average_heads});
  self.note_folds(folds);
}

template <typename T>
void cross_backward(const nb::capsule& folded, const HostedOptions& options, std::int64_t batch,
                    std::int64_t steps1, std::int64_t steps2, Address x1, Address x2,
                    Address grad_y, Address grad_x1, Address grad_x2, Address grad_parameters) {
  const auto& layer = fold_in<memattn::CrossAttention<T>>(folded).layer();
  const memattn::CrossAttentionConfig& config = layer.config();
  const std::int64_t size1 = batch * steps1 * config.resolved_source1_units();
  const std::int64_t size2 = batch * steps2 * config.resolved_source2_units();
  const GilRelease release;
  const memattn::ThreadLimit limit(options.threads);
  layer.backward(span_at<const T>("x1", x1, size1), span_at<const T>("x2", x2, size2),
                 span_at<const T>("grad_y", grad_y, batch * steps1 * config.units),
                 {.batch = batch, .steps1 = steps1, .steps2 = steps2},
                 span_at<T>("grad_x1", grad_x1, size1), span_at<T>("grad_x2", grad_x2, size2),
                 span_at<T>("grad_parameters", grad_parameters, layer.count_params()),
                 options.call);
}

template <typename T>
void init_cross_of(nb::module_& m, const std::string& name) {
  hosted_class<memattn::CrossAttention<T>>(m, name, &memattn::cross_attention_config_from_json)
      .def_static("forward", &cross_forward<T>, "folded"_a, "options"_a, "batch"_a, "steps1"_a,
                  "steps2"_a, "x1"_a, "x2"_a, "y"_a, "scores"_a, "average_heads"_a,
                  "Writes y (B, T1, U) from x1 (B, T1, F1) and x2 (B, T2, F2) and, unless its\n"
                  "address is 0, scores (B, H, T1, T2), or (B, T1, T2) with average_heads. All\n"
                  "addresses are those of contiguous arrays.")
      .def_static(
          "backward", &cross_backward<T>, "folded"_a, "options"_a, "batch"_a, "steps1"_a,
          "steps2"_a, "x1"_a, "x2"_a, "grad_y"_a, "grad_x1"_a, "grad_x2"_a, "grad_parameters"_a,
          "Writes grad_x1 (B, T1, F1) and grad_x2 (B, T2, F2), unless their addresses are 0, and\n"
          "grad_parameters (P,), all weights in the order of a file, from x1, x2 and grad_y\n"
          "(B, T1, U).");
}

// --- HierarchicalAttention ----------------------------------------------------------------------

template <typename T>
void hierarchical_forward(const nb::capsule& folded, const HostedOptions& options,
                          std::int64_t batch, std::int64_t steps, Address x_short, Address x_long,
                          Address y, Address short_scores, Address long_scores,
                          bool average_heads) {
  auto& self = fold_in<memattn::HierarchicalAttention<T>>(folded);
  const memattn::HierarchicalAttentionConfig& config = self.layer().config();
  const memattn::Tokens tokens{.batch = batch, .steps = steps};
  const std::int64_t scores = batch * (average_heads ? 1 : config.num_heads) * steps * steps;
  const auto routes = self.layer().route(tokens, options.call.training);
  const std::uint32_t folds = fold_bits(routes);
  const Ungiled ungiled(self.has_folds(folds) && memattn::is_brief(config, routes, tokens));
  const memattn::ThreadLimit limit(options.threads);
  self.layer().forward(
      span_at<const T>("x_short", x_short, batch * steps * config.resolved_short_units()),
      span_at<const T>("x_long", x_long, batch * steps * config.resolved_long_units()), tokens,
      span_at<T>("y", y, batch * steps * config.units), options.hierarchical(),
      {.short_scores = {span_at<T>("short_scores", short_scores, scores), average_heads},
       .long_scores = {span_at<T>("long_scores", long_scores, scores), average_heads}});
  self.note_folds(folds);
}

template <typename T>
void hierarchical_backward(const nb::capsule& folded, const HostedOptions& options,
                           std::int64_t batch, std::int64_t steps, Address x_short, Address x_long,
                           Address grad_y, Address grad_short, Address grad_long,
                           Address grad_parameters) {
  const auto& layer = fold_in<memattn::HierarchicalAttention<T>>(folded).layer();
  const memattn::HierarchicalAttentionConfig& config = layer.config();
  const std::int64_t short_size = batch * steps * config.resolved_short_units();
  const std::int64_t long_size = batch * steps * config.resolved_long_units();
  const GilRelease release;
  const memattn::ThreadLimit limit(options.threads);
  layer.backward(span_at<const T>("x_short", x_short, short_size),
                 span_at<const T>("x_long", x_long, long_size),
                 span_at<const T>("grad_y", grad_y, batch * steps * config.units),
                 {.batch = batch, .steps = steps}, span_at<T>("grad_short", grad_short, short_size),
                 span_at<T>("grad_long", grad_long, long_size),
                 span_at<T>("grad_parameters", grad_parameters, layer.count_params()),
                 options.hierarchical());
}

template <typename T>
void init_hierarchical_of(nb::module_& m, const std::string& name) {
  hosted_class<memattn::HierarchicalAttention<T>>(m, name,
                                                  &memattn::hierarchical_attention_config_from_json)
      .def_static(
          "forward", &hierarchical_forward<T>, "folded"_a, "options"_a, "batch"_a, "steps"_a,
          "x_short"_a, "x_long"_a, "y"_a, "short_scores"_a, "long_scores"_a, "average_heads"_a,
          "Writes y (B, T, U) from x_short (B, T, Fs) and x_long (B, T, Fl) and, unless\n"
          "their addresses are 0, the scores of both sides (B, H, T, T), or (B, T, T) with\n"
          "average_heads. All addresses are those of contiguous arrays.")
      .def_static(
          "backward", &hierarchical_backward<T>, "folded"_a, "options"_a, "batch"_a, "steps"_a,
          "x_short"_a, "x_long"_a, "grad_y"_a, "grad_short"_a, "grad_long"_a, "grad_parameters"_a,
          "Writes grad_short (B, T, Fs) and grad_long (B, T, Fl), unless their addresses are 0,\n"
          "and grad_parameters (P,), all weights in the order of a file, from x_short, x_long and\n"
          "grad_y (B, T, U).");
}

bool hold_bfloat16(const std::vector<Address>& floats, const std::vector<Address>& halves,
                   const std::vector<std::int64_t>& sizes) {
  if (floats.size() != sizes.size() || halves.size() != sizes.size()) return false;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (!memattn::holds_bfloat16(span_at<const float>("floats", floats[i], sizes[i]),
                                 span_at<const std::uint16_t>("halves", halves[i], sizes[i]))) {
      return false;
    }
  }
  return true;
}

}  // namespace

void init_hosted(nb::module_& m) {
  m.def("hold_bfloat16", &hold_bfloat16, "floats"_a, "halves"_a, "sizes"_a,
        "Whether float32 arrays at these addresses, of these sizes, are the bfloat16 numbers at\n"
        "the others, bit by bit.");
  nb::class_<HostedOptions>(m, "HostedOptions");
  m.def(
      "hosted_options", &make_options, "attention_mask"_a, "mask_batch"_a, "mask_steps"_a,
      "mask_slots"_a, "query_mask"_a, "queries"_a, "value_mask"_a, "values"_a, "use_causal_mask"_a,
      "training"_a, "dropout_step"_a, "first_step"_a, "first_sequence"_a, "threads"_a,
      "Options of a call, for forward and backward.\n\n"
      "Masks are addresses of bytes, 1 keeps, or 0 for none: attention_mask (mask_batch,\n"
      "mask_steps, mask_slots), each 1 or B, T, S; query_mask (B, T), `queries` bytes; value_mask\n"
      "(B, S), `values` bytes. S is the number of slots or of steps of the second input. For\n"
      "HierarchicalAttention the masks of its inputs stand in the places of query_mask and\n"
      "value_mask. They must stay there until the calls have returned.");
  init_memory_of<float>(m, "HostedFloat32");
  init_memory_of<double>(m, "HostedFloat64");
  init_cross_of<float>(m, "HostedCrossAttentionFloat32");
  init_cross_of<double>(m, "HostedCrossAttentionFloat64");
  init_hierarchical_of<float>(m, "HostedHierarchicalAttentionFloat32");
  init_hierarchical_of<double>(m, "HostedHierarchicalAttentionFloat64");
}
