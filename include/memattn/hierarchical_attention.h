// The sum of two independent self-attentions over a short-term and a long-term input: Z =
// Att_short(X_short) + Att_long(X_long), each with its own Dense layer, heads and output.
// docs/siblings-math.md has the definition and derivation.
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

// The options of a single call. Masks are combined by AND; an empty span is no mask. A masked step
// neither attends nor is attended to on its side, whose result for it is the output bias.
struct HierarchicalOptions {
  std::span<const std::uint8_t> short_mask = {};  // (B, T), of the short-term input
  std::span<const std::uint8_t> long_mask = {};   // (B, T), of the long-term input
  AttentionMask attention_mask = {};              // broadcasts to (B, T, T), for both sides
  bool use_causal_mask = false;                   // step t reads steps 0..t
  bool training = false;                          // true: dropout
  std::uint64_t dropout_step = 0;   // number of the draw; backward needs that of forward
  std::int64_t first_sequence = 0;  // of the call's first sequence, in the batch; at least 0
};

// The outputs for the scores of both sides; either may be empty.
template <typename T>
struct HierarchicalScores {
  ScoresOutput<T> short_scores = {};  // (B, H, T, T), or averaged over heads (B, T, T)
  ScoresOutput<T> long_scores = {};
};

// The layer with its weights, for T = float or double. The weights, in this order, are
// "short.dense.kernel" (Fs, U), "short.dense.bias" (U), "long.dense.kernel" (Fl, U),
// "long.dense.bias", then "short.query.kernel" (U, H, D), "short.query.bias" and so on as in
// CrossAttention to "short.output.bias", then "long.query.kernel" to "long.output.bias".
//
//   memattn::HierarchicalAttention<float> layer({.units = 64, .num_heads = 4});
//   layer.forward(x_short, x_long, {.batch = 32, .steps = 10}, y);
//
// Thread safety, ownership, errors and reproducibility are those of CrossAttention.
template <typename T>
class MEMATTN_EXPORT HierarchicalAttention {
 public:
  // Draws the initial weights from config.seed.
  explicit HierarchicalAttention(const HierarchicalAttentionConfig& config);
  // Copies the weights, count_params() values in the order of weight_infos().
  HierarchicalAttention(const HierarchicalAttentionConfig& config, std::span<const T> parameters);
  HierarchicalAttention(const HierarchicalAttention&);
  HierarchicalAttention& operator=(const HierarchicalAttention&);
  HierarchicalAttention(HierarchicalAttention&&) noexcept;
  HierarchicalAttention& operator=(HierarchicalAttention&&) noexcept;
  ~HierarchicalAttention();

  [[nodiscard]] const HierarchicalAttentionConfig& config() const;

  // Computes y (B, T, U) from x_short (B, T, Fs) and x_long (B, T, Fl), which may be the same
  // array; y must not overlap with them. Requesting scores does not change y.
  void forward(std::span<const T> x_short, std::span<const T> x_long, Tokens tokens, std::span<T> y,
               const HierarchicalOptions& options = {},
               const HierarchicalScores<T>& scores = {}) const;

  // Computes the gradients of a loss from grad_y = d loss / d y (B, T, U), for the call
  // forward(...) with the same options: grad_short and grad_long, each of which may be empty to
  // skip it, and grad_parameters (count_params()) in the order of weight_infos(). All are
  // overwritten. Only x_short and x_long may overlap.
  void backward(std::span<const T> x_short, std::span<const T> x_long, std::span<const T> grad_y,
                Tokens tokens, std::span<T> grad_short, std::span<T> grad_long,
                std::span<T> grad_parameters, const HierarchicalOptions& options = {}) const;

  // Returns the routes of the short-term and the long-term side for a call of these sizes.
  [[nodiscard]] std::array<SequenceRoute, 2> route(Tokens tokens, bool training = false) const;
  // Changes config().precision. Throws std::invalid_argument for kBFloat16 in a double layer.
  void set_precision(Precision precision);
  // Forces a route for both sides, or restores the default, kAuto. Copies keep the setting, files
  // do not.
  void set_route(SequenceRoute route);
  [[nodiscard]] SequenceRoute forced_route() const;

  // Returns the bytes that the layer owns: weights, and the folded weights of the routes in use.
  [[nodiscard]] std::int64_t kept_bytes() const;

  // All weights as one flat buffer.
  [[nodiscard]] std::span<const T> parameters() const;
  [[nodiscard]] std::int64_t count_params() const;
  [[nodiscard]] const std::vector<WeightInfo>& weight_infos() const;
  // One weight by name.
  [[nodiscard]] std::span<const T> weight(std::string_view name) const;

  // Three functions change weights. The values may be spans of the layer's own weights.
  void set_parameters(std::span<const T> parameters);
  void set_weight(std::string_view name, std::span<const T> values);
  // `edit` changes the flat buffer in place. If it throws, its changes are undone.
  void update(const std::function<void(std::span<T> parameters)>& edit);

  // Returns a text table of the options and of the weights with their shapes and sizes.
  [[nodiscard]] std::string summary() const;

  // Writes and reads one safetensors file, docs/format.md. save replaces the file atomically and
  // durably. Both throw std::system_error if the system refuses; load throws FormatError for a file
  // that holds no such layer, or one of the other type.
  void save(const std::filesystem::path& path, StoredType stored = StoredType::kOwn) const;
  [[nodiscard]] static HierarchicalAttention load(const std::filesystem::path& path);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

extern template class HierarchicalAttention<float>;
extern template class HierarchicalAttention<double>;

}  // namespace memattn
