// The layer: Z = X + MultiHeadAttention(X, M, M) with a learned memory M. docs/math.md has the
// derivation.
//
// Shapes: B batch, T steps, U units, S memory_size, H num_heads, D key_dim, Dv value_dim; all
// arrays are C-contiguous, the last axis fastest.
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
#include "memattn/scores_cache.h"

namespace memattn {

// The tokens of a call: `batch` sequences of `steps` steps each, both at least 0. Write {.batch =
// 32, .steps = 10}, since size checks cannot detect that the two are swapped.
struct Tokens {
  std::int64_t batch = 0;  // B
  std::int64_t steps = 0;  // T

  bool operator==(const Tokens&) const = default;
};

// The slots that a token may attend to: those with keep[b, t, s] != 0. Each of the three sizes is
// 1, which broadcasts, or the full size; `keep` has batch * steps * slots values.
struct AttentionMask {
  std::span<const std::uint8_t> keep = {};
  std::int64_t batch = 1;
  std::int64_t steps = 1;
  std::int64_t slots = 1;
};

// The options of a single call. Masks are combined by AND, as in Keras; an empty span is no mask. A
// masked slot has a score of 0. FullyMasked defines the result of a token whose slots are all
// masked.
//
// A long input may be split into several calls, by steps (a stream) or by sequences. The results
// equal those of one call to the bit if first_step and first_sequence give the position of the
// call's tokens, and masks are split in the same way. Only the causal mask and dropout use these
// positions.
struct CallOptions {
  AttentionMask attention_mask = {};              // broadcasts to (B, T, S)
  std::span<const std::uint8_t> query_mask = {};  // (B, T): false: the token attends to no slot
  std::span<const std::uint8_t> value_mask = {};  // (B, S): false: no token attends to the slot
  bool use_causal_mask = false;                   // step t attends only to slots 0..first_step + t
  bool training = false;                          // true: dropout
  std::uint64_t dropout_step = 0;   // number of the draw; backward needs that of forward
  std::int64_t first_step = 0;      // of the call's first step, in its sequences; at least 0
  std::int64_t first_sequence = 0;  // of the call's first sequence, in the batch; at least 0
};

// The output for the scores P (softmax over slots, before dropout).
template <typename T>
struct ScoresOutput {
  std::span<T> values = {};  // (B, H, T, S), or (B, T, S) averaged over heads; empty: none
  bool average_heads = false;
};

// Two algorithms with the same result up to rounding. kAuto chooses the one with less work per
// token: folded if 2 U S <= U D + D S + S Dv + Dv U.
enum class Route { kAuto, kFolded, kProjected };

using Path [[deprecated("renamed Route; removed in version 0.3")]] = Route;

// The type of the weights in a file: the layer's own type, or bfloat16 for a float layer, which
// rounds them, halves the size and loads as float.
enum class StoredType { kOwn, kBFloat16 };

// A named part of the flat parameter buffer: "memory" (S, U), "query.kernel" (U, H, D),
// "query.bias" (H, D), "key.kernel" (U, H, D), "key.bias" (H, D), "value.kernel" (U, H, Dv),
// "value.bias" (H, Dv), "output.kernel" (H, Dv, U), "output.bias" (U).
struct WeightInfo {
  std::string name = {};
  std::vector<std::int64_t> shape = {};
  std::int64_t offset = 0;  // of its first value in the flat buffer
  std::int64_t size = 0;    // number of values
};

// The layer with its weights, for T = float or double.
//
//   memattn::MemoryAugmentedAttention<float> layer(
//       {.units = 64, .memory_size = 20, .num_heads = 4});
//   layer.forward(x, {.batch = 32, .steps = 10}, y);
//
// Thread safety: several threads may call the const methods of a layer at the same time; a call
// that changes the layer must not overlap with any other. forward takes no lock. It allocates only
// when a thread first needs that much scratch (runtime.h), which belongs to the thread. Results are
// equal to the bit for any number of threads and any split of the tokens into calls (CallOptions).
// Between instruction sets they may differ by rounding.
//
// Ownership: the layer owns its weights. Spans that it returns are valid during its lifetime and
// reflect changes of the weights. Spans that it takes are used only during the call. A moved-from
// layer may only be assigned to or destroyed.
//
// Memory: besides its P weights, a layer keeps products of them for forward and backward: 4 H S U +
// H S (2 D + Dv + 1) values on the folded route, H S (3 D + Dv) on the projected route, and another
// P from the first update() on. In bfloat16 it keeps both precisions: half as much again on the
// folded route, H S Dv / 2 values more on the projected route. kept_bytes() returns the sum.
//
// Errors: std::invalid_argument for an invalid option, shape, name or overlap of buffers, before
// anything is written; std::bad_alloc if memory runs out. A change that throws leaves the layer
// unchanged.
template <typename T>
class MEMATTN_EXPORT MemoryAugmentedAttention {
 public:
  // Draws the initial weights from config.seed.
  explicit MemoryAugmentedAttention(const MemoryAugmentedAttentionConfig& config);
  // Copies the weights, count_params() values in the order of weight_infos().
  MemoryAugmentedAttention(const MemoryAugmentedAttentionConfig& config,
                           std::span<const T> parameters);
  MemoryAugmentedAttention(const MemoryAugmentedAttention&);
  MemoryAugmentedAttention& operator=(const MemoryAugmentedAttention&);
  MemoryAugmentedAttention(MemoryAugmentedAttention&&) noexcept;
  MemoryAugmentedAttention& operator=(MemoryAugmentedAttention&&) noexcept;
  ~MemoryAugmentedAttention();

  [[nodiscard]] const MemoryAugmentedAttentionConfig& config() const;

  // Computes y (B, T, U) from x (B, T, U). y may be x itself; any other overlap of buffers is
  // refused. Requesting scores does not change y. B and T may be 0. With `kept`, the scores are
  // also kept for backward, which may take memory (scores_cache.h).
  void forward(std::span<const T> x, Tokens tokens, std::span<T> y, const CallOptions& options = {},
               const ScoresOutput<T>& scores = {}, ScoresCache<T>* kept = nullptr) const;

  // Computes the gradients of a loss from grad_y = d loss / d y (B, T, U), for the call forward(x,
  // ...) with the same options: grad_x (B, T, U), or empty to skip it, and grad_parameters
  // (count_params()) in the order of weight_infos(). Both are overwritten. No buffers may overlap.
  // The gradient of "key.bias" is exactly 0, since the softmax cancels this bias. `kept` must come
  // from that forward call with the same x and options; other sizes or weights are an error.
  void backward(std::span<const T> x, std::span<const T> grad_y, Tokens tokens, std::span<T> grad_x,
                std::span<T> grad_parameters, const CallOptions& options = {},
                const ScoresCache<T>* kept = nullptr) const;

  // Returns the bytes that the layer owns: weights and their products, without the scratch of
  // threads.
  [[nodiscard]] std::int64_t kept_bytes() const;

  // Changes config().precision. Throws std::invalid_argument for kBFloat16 in a double layer.
  void set_precision(Precision precision);

  // Returns the route in use: kFolded or kProjected.
  [[nodiscard]] Route route() const;
  // Forces a route, or restores the default, kAuto. Copies keep the setting, files do not.
  void set_route(Route route);
  [[nodiscard]] Route forced_route() const;

  [[deprecated("pass Tokens before y; removed in version 0.3")]] void forward(
      std::span<const T> x, std::span<T> y, std::int64_t batch, std::int64_t steps,
      const CallOptions& options = {}, const ScoresOutput<T>& scores = {},
      ScoresCache<T>* kept = nullptr) const {
    forward(x, Tokens{batch, steps}, y, options, scores, kept);
  }
  [[deprecated("pass Tokens; removed in version 0.3")]] void backward(
      std::span<const T> x, std::span<const T> grad_y, std::int64_t batch, std::int64_t steps,
      std::span<T> grad_x, std::span<T> grad_parameters, const CallOptions& options = {},
      const ScoresCache<T>* kept = nullptr) const {
    backward(x, grad_y, Tokens{batch, steps}, grad_x, grad_parameters, options, kept);
  }
  [[deprecated("renamed route; removed in version 0.3")]] Route path() const { return route(); }
  [[deprecated("renamed set_route; removed in version 0.3")]] void set_path(Route route) {
    set_route(route);
  }
  [[deprecated("renamed forced_route; removed in version 0.3")]] Route forced_path() const {
    return forced_route();
  }

  // All weights as one flat buffer, in the order of Keras.
  [[nodiscard]] std::span<const T> parameters() const;
  [[nodiscard]] std::int64_t count_params() const;
  [[nodiscard]] const std::vector<WeightInfo>& weight_infos() const;
  // One weight by name.
  [[nodiscard]] std::span<const T> weight(std::string_view name) const;

  // Three functions change weights. Each folds once, at its end. The values may be spans of the
  // layer's own weights.
  void set_parameters(std::span<const T> parameters);
  void set_weight(std::string_view name, std::span<const T> values);
  // `edit` changes the flat buffer in place. If it throws, its changes are undone.
  void update(const std::function<void(std::span<T> parameters)>& edit);

  // Returns a text table of the options, the weights with their shapes and sizes, and the route.
  [[nodiscard]] std::string summary() const;

  // Writes and reads one safetensors file, docs/format.md. save replaces the file atomically and
  // durably. Both throw std::system_error if the system refuses; load throws FormatError for a file
  // that holds no such layer, or one of the other type.
  void save(const std::filesystem::path& path, StoredType stored = StoredType::kOwn) const;
  [[nodiscard]] static MemoryAugmentedAttention load(const std::filesystem::path& path);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Returns the type of the weights in a file that save wrote, "float32" or "float64", to choose the
// class that loads it. Checks the whole header without reading weights. Throws the errors of load.
// For a file that may hold another layer, use layer_file_info (layer_file.h).
[[nodiscard]] MEMATTN_EXPORT std::string layer_file_dtype(const std::filesystem::path& path);

extern template class MemoryAugmentedAttention<float>;
extern template class MemoryAugmentedAttention<double>;

}  // namespace memattn
