// The layer that lets one input read another: Z = MultiHeadAttention(S1, S2, S2), S1 and S2 being
// the two inputs, each through a Dense of its own. docs/siblings-math.md defines and derives it.
//
// Shapes: B batch, T1 and T2 steps of source 1 and 2, F1 and F2 their widths, U units, H num_heads,
// D key_dim, Dv value_dim; all arrays are C-contiguous, the last axis fastest.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "memattn/config.h"
#include "memattn/export.h"
#include "memattn/memory_augmented_attention.h"

namespace memattn {

// How many tokens a call has: `batch` sequences of steps1 steps of source 1, which read, and steps2
// of source 2, which are read; all at least 0.
struct CrossTokens {
  std::int64_t batch = 0;   // B
  std::int64_t steps1 = 0;  // T1
  std::int64_t steps2 = 0;  // T2

  bool operator==(const CrossTokens&) const = default;
};

// The ways to the same result, equal to rounding: which products of weights with weights are made
// beforehand. docs/siblings-math.md has what each costs. kAuto takes the cheapest for the sizes of
// each call; a call with CallOptions::training, and backward, count the fold, which each step of a
// training makes anew.
enum class SequenceRoute {
  kAuto,
  kAsWritten,         // nothing is folded
  kLeftRead,          // queries X1·A, keys X2; P·X2 and then C
  kRightRead,         // queries X1, keys X2·Aᵀ; P·X2 and then C
  kRightValue,        // queries X1, keys X2·Aᵀ; P·(X2·C)
  kRightValueDense2,  // the same with S2 for X2
  kLeftReadDense,     // kLeftRead with S1 and S2
  kLeftReadDense1,    // kLeftRead with S1 for X1
};

// The layer with its weights, for T = float or double. Weights, in this order: "source1.kernel"
// (F1, U), "source1.bias" (U), "source2.kernel" (F2, U), "source2.bias" (U), "query.kernel"
// (U, H, D), "query.bias" (H, D), "key.kernel", "key.bias", "value.kernel" (U, H, Dv), "value.bias"
// (H, Dv), "output.kernel" (H, Dv, U), "output.bias" (U).
//
//   memattn::CrossAttention<float> layer({.units = 64, .num_heads = 4});
//   layer.forward(x1, x2, {.batch = 32, .steps1 = 10, .steps2 = 24}, y);
//
// Of CallOptions the masks' slots are the steps of source 2: attention_mask broadcasts to
// (B, T1, T2), query_mask is (B, T1), value_mask (B, T2), and with use_causal_mask step t of source
// 1 reads steps 0..first_step + t of source 2. What a masked step holds, even NaN, reaches no
// result. A token with nothing to read gets output.bias, or with FullyMasked::kUniform 1/T2 of
// every step.
//
// Thread safety: any number of threads may call the const methods of one layer at once; a call that
// changes the layer needs it alone. The first call after a change of weights on a route that no
// call took since then folds, behind a lock; any other forward call takes no lock and allocates
// only when its thread has never needed as much scratch (runtime.h). On one route, results are the
// same bits at any number of threads and however the batch is cut in calls
// (CallOptions::first_sequence, first_step). With kAuto the steps of a call choose its route, and
// with training the batch does too: force one where parts of a whole must have its bits.
//
// Ownership: the layer owns its weights; spans that it returns live as long as it does and show its
// weights as they change. Spans that it is given are used during the call only. A layer that was
// moved from may only be assigned to or destroyed.
//
// Errors: std::invalid_argument on a wrong option, shape, name or overlap of buffers, before
// anything is written; std::bad_alloc when there is no memory, and then what a call writes is
// undefined. A change of the layer that throws leaves it as it was.
template <typename T>
class MEMATTN_EXPORT CrossAttention {
 public:
  // Draws the initial weights from config.seed.
  explicit CrossAttention(const CrossAttentionConfig& config);
  // Takes the weights, count_params() values in the order of weight_infos().
  CrossAttention(const CrossAttentionConfig& config, std::span<const T> parameters);
  CrossAttention(const CrossAttention&);
  CrossAttention& operator=(const CrossAttention&);
  CrossAttention(CrossAttention&&) noexcept;
  CrossAttention& operator=(CrossAttention&&) noexcept;
  ~CrossAttention();

  [[nodiscard]] const CrossAttentionConfig& config() const;

  // y (B, T1, U) from x1 (B, T1, F1) and x2 (B, T2, F2). x1 and x2 may be one array; y overlaps
  // nothing. Asking for scores, (B, H, T1, T2) or averaged over heads (B, T1, T2), does not change
  // y by a bit.
  void forward(std::span<const T> x1, std::span<const T> x2, CrossTokens tokens, std::span<T> y,
               const CallOptions& options = {}, const ScoresOutput<T>& scores = {}) const;

  // Gradients of a loss from grad_y = d loss / d y (B, T1, U), for the call forward(x1, x2, ...)
  // with the same options: grad_x1 and grad_x2, each of which may be empty when it is not wanted,
  // and grad_parameters (count_params()) in the order of weight_infos(). All are overwritten.
  // Nothing may overlap but x1 and x2. grad "key.bias" is exactly 0: the softmax cancels that bias.
  void backward(std::span<const T> x1, std::span<const T> x2, std::span<const T> grad_y,
                CrossTokens tokens, std::span<T> grad_x1, std::span<T> grad_x2,
                std::span<T> grad_parameters, const CallOptions& options = {}) const;

  // The route that a call of these sizes runs on.
  [[nodiscard]] SequenceRoute route(CrossTokens tokens, bool training = false) const;
  // Changes config().precision. Throws std::invalid_argument for kBFloat16 of a double layer.
  void set_precision(Precision precision);
  // Forces a route, or with kAuto, as at the start, leaves it to the rule. Copies keep it, files do
  // not.
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
  [[nodiscard]] static CrossAttention load(const std::filesystem::path& path);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

extern template class CrossAttention<float>;
extern template class CrossAttention<double>;

}  // namespace memattn
