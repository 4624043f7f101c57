// The sum of two self-attentions that do not see each other, over a short-term and a long-term
// input: Z = Att_short(X_short) + Att_long(X_long), each with a Dense, heads and an output of its
// own. docs/siblings-math.md defines and derives it.
//
// Shapes: B batch, T steps, Fs and Fl the widths of the inputs, U units, H num_heads, D key_dim, Dv
// value_dim; all arrays are C-contiguous, the last axis fastest.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "memattn/config.h"
#include "memattn/cross_attention.h"
#include "memattn/export.h"
#include "memattn/memory_augmented_attention.h"

namespace memattn {

// What a single call may ask for. Masks are ANDed; an empty span is no mask. A masked step neither
// reads nor is read on its side: there its row is that side's output bias.
struct HierarchicalOptions {
  std::span<const std::uint8_t> short_mask = {};  // (B, T), of the short-term input
  std::span<const std::uint8_t> long_mask = {};   // (B, T), of the long-term input
  AttentionMask attention_mask = {};              // broadcasts to (B, T, T), for both sides
  bool use_causal_mask = false;                   // step t reads steps 0..t
  bool training = false;                          // true: dropout
  std::uint64_t dropout_step = 0;   // another number, another draw; backward: that of forward
  std::int64_t first_sequence = 0;  // of the call's first sequence, in the batch; at least 0
};

// Where forward puts the scores of both sides; either may be left out.
template <typename T>
struct HierarchicalScores {
  ScoresOutput<T> short_scores = {};  // (B, H, T, T), or averaged over heads (B, T, T)
  ScoresOutput<T> long_scores = {};
};

// The layer with its weights, for T = float or double. Weights, in this order: "short.dense.kernel"
// (Fs, U), "short.dense.bias" (U), "long.dense.kernel" (Fl, U), "long.dense.bias", then
// "short.query.kernel" (U, H, D), "short.query.bias" and so on as in CrossAttention to
// "short.output.bias", then "long.query.kernel" to "long.output.bias".
//
//   memattn::HierarchicalAttention<float> layer({.units = 64, .num_heads = 4});
//   layer.forward(x_short, x_long, {.batch = 32, .steps = 10}, y);
//
// Thread safety, ownership, errors and bits: as CrossAttention.
template <typename T>
class MEMATTN_EXPORT HierarchicalAttention {
 public:
  // Draws the initial weights from config.seed.
  explicit HierarchicalAttention(const HierarchicalAttentionConfig& config);
  // Takes the weights, count_params() values in the order of weight_infos().
  HierarchicalAttention(const HierarchicalAttentionConfig& config, std::span<const T> parameters);
  HierarchicalAttention(const HierarchicalAttention&);
  HierarchicalAttention& operator=(const HierarchicalAttention&);
  HierarchicalAttention(HierarchicalAttention&&) noexcept;
  HierarchicalAttention& operator=(HierarchicalAttention&&) noexcept;
  ~HierarchicalAttention();

  [[nodiscard]] const HierarchicalAttentionConfig& config() const;

  // y (B, T, U) from x_short (B, T, Fs) and x_long (B, T, Fl), which may be one array; y overlaps
  // nothing. Asking for scores does not change y by a bit.
  void forward(std::span<const T> x_short, std::span<const T> x_long, Tokens tokens, std::span<T> y,
               const HierarchicalOptions& options = {},
               const HierarchicalScores<T>& scores = {}) const;

  // Gradients of a loss from grad_y = d loss / d y (B, T, U), for the call forward(...) with the
  // same options: grad_short and grad_long, each of which may be empty when it is not wanted, and
  // grad_parameters (count_params()) in the order of weight_infos(). All are overwritten. Nothing
  // may overlap but x_short and x_long.
  void backward(std::span<const T> x_short, std::span<const T> x_long, std::span<const T> grad_y,
                Tokens tokens, std::span<T> grad_short, std::span<T> grad_long,
                std::span<T> grad_parameters, const HierarchicalOptions& options = {}) const;

  // The routes of the short-term and the long-term side for a call of these sizes.
  [[nodiscard]] std::array<SequenceRoute, 2> route(Tokens tokens, bool training = false) const;
  // Changes config().precision. Throws std::invalid_argument for kBFloat16 of a double layer.
  void set_precision(Precision precision);
  // Forces both sides to a route, or with kAuto, as at the start, leaves it to the rule. Copies
  // keep it, files do not.
  void set_route(SequenceRoute route);
  [[nodiscard]] SequenceRoute forced_route() const;

  // Bytes that the layer owns: weights and the folds of the routes that ran.
  [[nodiscard]] std::int64_t kept_bytes() const;

  // All weights as one flat buffer.
  [[nodiscard]] std::span<const T> parameters() const;
  [[nodiscard]] std::int64_t count_params() const;
  [[nodiscard]] const std::vector<WeightInfo>& weight_infos() const;
  // One weight by name.
  [[nodiscard]] std::span<const T> weight(std::string_view name) const;

  // The three ways to change weights. The values may be the layer's own, all or a part of them.
  void set_parameters(std::span<const T> parameters);
  void set_weight(std::string_view name, std::span<const T> values);
  // `edit` changes the flat buffer in place. If it throws, its changes are undone.
  void update(const std::function<void(std::span<T> parameters)>& edit);

  // A table of the weights with shapes and counts, for people.
  [[nodiscard]] std::string summary() const;

  // One safetensors file, docs/format.md. save replaces the file atomically and durably.
  // save throws std::system_error; load that, or FormatError for a file that is not one of ours or
  // holds another layer or the other type.
  void save(const std::filesystem::path& path, StoredType stored = StoredType::kOwn) const;
  [[nodiscard]] static HierarchicalAttention load(const std::filesystem::path& path);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

extern template class HierarchicalAttention<float>;
extern template class HierarchicalAttention<double>;

}  // namespace memattn
