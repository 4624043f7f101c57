// The layer in which one input attends to another: Z = MultiHeadAttention(S1, S2, S2), where S1 and
// S2 are the two inputs after a Dense layer each. docs/siblings-math.md has the definition and
// derivation.
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

// The tokens of a call: `batch` sequences of steps1 steps of source 1 (queries) and steps2 steps of
// source 2 (keys and values); all at least 0.
struct CrossTokens {
  std::int64_t batch = 0;   // B
  std::int64_t steps1 = 0;  // T1
  std::int64_t steps2 = 0;  // T2

  bool operator==(const CrossTokens&) const = default;
};

// Algorithms with the same result up to rounding, which differ in the products of weights that are
// computed beforehand (folded). docs/siblings-math.md has their costs. kAuto chooses the cheapest
// for the sizes of each call. Calls with CallOptions::training, and backward, include the cost of
// folding, which every training step repeats.
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

// The layer with its weights, for T = float or double. The weights, in this order, are
// "source1.kernel" (F1, U), "source1.bias" (U), "source2.kernel" (F2, U), "source2.bias" (U),
// "query.kernel" (U, H, D), "query.bias" (H, D), "key.kernel", "key.bias", "value.kernel" (U, H,
// Dv), "value.bias" (H, Dv), "output.kernel" (H, Dv, U), "output.bias" (U).
//
//   memattn::CrossAttention<float> layer({.units = 64, .num_heads = 4});
//   layer.forward(x1, x2, {.batch = 32, .steps1 = 10, .steps2 = 24}, y);
//
// In CallOptions, the slots of masks are the steps of source 2: attention_mask broadcasts to (B,
// T1, T2), query_mask is (B, T1), value_mask is (B, T2). With use_causal_mask, step t of source 1
// attends only to steps 0..first_step + t of source 2. The values of masked steps, even NaN, do not
// affect the result. A token whose steps are all masked gets output.bias, or with
// FullyMasked::kUniform equal weights 1/T2 for all steps.
//
// Thread safety: several threads may call the const methods of a layer at the same time; a call
// that changes the layer must not overlap with any other. The first call on a route after a change
// of weights folds, behind a lock. Any other forward call takes no lock, and allocates only if its
// thread needs more scratch than before (runtime.h). On one route, results are equal to the bit for
// any number of threads and any split of the batch into calls (CallOptions::first_sequence,
// first_step). With kAuto, the number of steps determines the route, and in training also the
// batch: force a route if the parts of a split call must equal the whole to the bit.
//
// Ownership: the layer owns its weights. Spans that it returns are valid during its lifetime and
// reflect changes of the weights. Spans that it takes are used only during the call. A moved-from
// layer may only be assigned to or destroyed.
//
// Errors: std::invalid_argument for an invalid option, shape, name or overlap of buffers, before
// anything is written; std::bad_alloc if memory runs out, and the output of the call is then
// undefined. A change that throws leaves the layer unchanged.
template <typename T>
class MEMATTN_EXPORT CrossAttention {
 public:
  // Draws the initial weights from config.seed.
  explicit CrossAttention(const CrossAttentionConfig& config);
  // Copies the weights, count_params() values in the order of weight_infos().
  CrossAttention(const CrossAttentionConfig& config, std::span<const T> parameters);
  CrossAttention(const CrossAttention&);
  CrossAttention& operator=(const CrossAttention&);
  CrossAttention(CrossAttention&&) noexcept;
  CrossAttention& operator=(CrossAttention&&) noexcept;
  ~CrossAttention();

  [[nodiscard]] const CrossAttentionConfig& config() const;

  // Computes y (B, T1, U) from x1 (B, T1, F1) and x2 (B, T2, F2). x1 and x2 may be the same array;
  // y must not overlap with them. Requesting scores, (B, H, T1, T2) or averaged over heads (B, T1,
  // T2), does not change y.
  void forward(std::span<const T> x1, std::span<const T> x2, CrossTokens tokens, std::span<T> y,
               const CallOptions& options = {}, const ScoresOutput<T>& scores = {}) const;

  // Computes the gradients of a loss from grad_y = d loss / d y (B, T1, U), for the call
  // forward(x1, x2, ...) with the same options: grad_x1 and grad_x2, each of which may be empty to
  // skip it, and grad_parameters (count_params()) in the order of weight_infos(). All are
  // overwritten. Only x1 and x2 may overlap. The gradient of "key.bias" is exactly 0, since the
  // softmax cancels this bias.
  void backward(std::span<const T> x1, std::span<const T> x2, std::span<const T> grad_y,
                CrossTokens tokens, std::span<T> grad_x1, std::span<T> grad_x2,
                std::span<T> grad_parameters, const CallOptions& options = {}) const;

  // Returns the route of a call of these sizes.
  [[nodiscard]] SequenceRoute route(CrossTokens tokens, bool training = false) const;
  // Changes config().precision. Throws std::invalid_argument for kBFloat16 in a double layer.
  void set_precision(Precision precision);
  // Forces a route, or restores the default, kAuto. Copies keep the setting, files do not.
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
  [[nodiscard]] static CrossAttention load(const std::filesystem::path& path);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

extern template class CrossAttention<float>;
extern template class CrossAttention<double>;

}  // namespace memattn
