// The layer: Z = X + MultiHeadAttention(X, M, M) over a learned memory M. docs/math.md derives it.
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

// How many tokens a call has: `batch` sequences of `steps` steps each, both at least 0. Write
// {.batch = 32, .steps = 10}: swapped, the two would pass every check of sizes.
struct Tokens {
  std::int64_t batch = 0;  // B
  std::int64_t steps = 0;  // T

  bool operator==(const Tokens&) const = default;
};

// Which slots a token may read: keep[b, t, s] != 0 keeps. Each of the three sizes is 1, and then
// stands for all, or the full one; `keep` has batch * steps * slots values.
struct AttentionMask {
  std::span<const std::uint8_t> keep = {};
  std::int64_t batch = 1;
  std::int64_t steps = 1;
  std::int64_t slots = 1;
};

// What a single call may ask for. Masks are ANDed, as in Keras; an empty span is no mask. A masked
// slot has a score of 0, unless every slot is masked for a token: FullyMasked says what that token
// reads.
//
// A long input may be cut into several calls, by steps (a stream) or by sequences: every token gets
// the bits of one whole call when first_step and first_sequence say where the call's tokens stand
// in the whole, and each mask is cut alike. Only the causal mask and dropout read them.
struct CallOptions {
  AttentionMask attention_mask = {};              // broadcasts to (B, T, S)
  std::span<const std::uint8_t> query_mask = {};  // (B, T): a token of false keeps no slot
  std::span<const std::uint8_t> value_mask = {};  // (B, S): a slot of false is kept by no token
  bool use_causal_mask = false;     // step t of the call keeps slots 0..first_step + t
  bool training = false;            // true: dropout
  std::uint64_t dropout_step = 0;   // another number, another draw; backward: that of forward
  std::int64_t first_step = 0;      // of the call's first step, in its sequences; at least 0
  std::int64_t first_sequence = 0;  // of the call's first sequence, in the batch; at least 0
};

// Where forward puts the scores P (softmax over slots, before dropout).
template <typename T>
struct ScoresOutput {
  std::span<T> values = {};  // (B, H, T, S), or (B, T, S) averaged over heads; empty: not wanted
  bool average_heads = false;
};

// Two ways to the same result, equal to rounding. kAuto takes the one with less work a token:
// folded when 2 U S <= U D + D S + S Dv + Dv U.
enum class Route { kAuto, kFolded, kProjected };

using Path [[deprecated("renamed Route; removed in version 0.3")]] = Route;

// How a file holds the weights: as they are, or those of a float layer rounded to bfloat16, half
// the bytes, which load as float.
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
// Thread safety: any number of threads may call the const methods of one layer at once; a call that
// changes the layer needs it alone. forward takes no lock, and allocates only the first time a
// thread meets a layer of that size: its scratch (runtime.h) belongs to the calling thread. Results
// are the same bits at any number of threads and however the tokens are cut in calls (CallOptions);
// they may differ between instruction sets, to rounding.
//
// Ownership: the layer owns its weights; spans that it returns live as long as it does and show its
// weights as they change. Spans that it is given are used during the call only. A layer that was
// moved from may only be assigned to or destroyed.
//
// Memory: beside its P weights a layer keeps what forward and backward read of them. That is
// 4 H S U + H S (2 D + Dv + 1) values on the folded route, H S (3 D + Dv) on the projected one, and
// from the first update() on another P. In bfloat16 it keeps both: half as much again on the folded
// route, on the projected one H S Dv / 2 values more. kept_bytes() is the
// sum.
//
// Errors: std::invalid_argument on a wrong option, shape, name or overlap of buffers, before
// anything is written; std::bad_alloc when there is no memory. A change of the layer that throws
// leaves it as it was.
template <typename T>
class MEMATTN_EXPORT MemoryAugmentedAttention {
 public:
  // Draws the initial weights from config.seed.
  explicit MemoryAugmentedAttention(const MemoryAugmentedAttentionConfig& config);
  // Takes the weights, count_params() values in the order of weight_infos().
  MemoryAugmentedAttention(const MemoryAugmentedAttentionConfig& config,
                           std::span<const T> parameters);
  MemoryAugmentedAttention(const MemoryAugmentedAttention&);
  MemoryAugmentedAttention& operator=(const MemoryAugmentedAttention&);
  MemoryAugmentedAttention(MemoryAugmentedAttention&&) noexcept;
  MemoryAugmentedAttention& operator=(MemoryAugmentedAttention&&) noexcept;
  ~MemoryAugmentedAttention();

  [[nodiscard]] const MemoryAugmentedAttentionConfig& config() const;

  // y (B, T, U) from x (B, T, U). y may be x itself; any other overlap of buffers is refused.
  // Asking for scores does not change y by a bit. B = 0 and T = 0 are fine. With `kept` the scores
  // are also kept for backward, which may take memory (scores_cache.h).
  void forward(std::span<const T> x, Tokens tokens, std::span<T> y, const CallOptions& options = {},
               const ScoresOutput<T>& scores = {}, ScoresCache<T>* kept = nullptr) const;

  // Gradients of a loss from grad_y = d loss / d y (B, T, U), for the call forward(x, ...) with the
  // same options: grad_x (B, T, U), or empty when it is not wanted, and grad_parameters
  // (count_params()) in the order of weight_infos(). Both are overwritten. Nothing may overlap.
  // grad "key.bias" is exactly 0: the softmax cancels that bias. `kept` is what that forward call
  // kept; x and options must be the same, and it is an error if batch, steps or weights are not.
  void backward(std::span<const T> x, std::span<const T> grad_y, Tokens tokens, std::span<T> grad_x,
                std::span<T> grad_parameters, const CallOptions& options = {},
                const ScoresCache<T>* kept = nullptr) const;

  // Bytes that the layer owns: weights and what is made of them. Scratch is the calling thread's.
  [[nodiscard]] std::int64_t kept_bytes() const;

  // Changes config().precision. Throws std::invalid_argument for kBFloat16 of a double layer.
  void set_precision(Precision precision);

  // The route that runs: kFolded or kProjected.
  [[nodiscard]] Route route() const;
  // Forces a route, or with kAuto, as at the start, leaves it to the rule. Copies keep it, files do
  // not.
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

  // All weights as one flat buffer, in Keras' order.
  [[nodiscard]] std::span<const T> parameters() const;
  [[nodiscard]] std::int64_t count_params() const;
  [[nodiscard]] const std::vector<WeightInfo>& weight_infos() const;
  // One weight by name.
  [[nodiscard]] std::span<const T> weight(std::string_view name) const;

  // The three ways to change weights. Each folds once, at its end. The values may be the layer's
  // own, all or a part of them.
  void set_parameters(std::span<const T> parameters);
  void set_weight(std::string_view name, std::span<const T> values);
  // `edit` changes the flat buffer in place. If it throws, its changes are undone.
  void update(const std::function<void(std::span<T> parameters)>& edit);

  // A table of the weights with shapes and counts, and what runs, for people.
  [[nodiscard]] std::string summary() const;

  // One safetensors file, docs/format.md. save replaces the file atomically and durably.
  // save throws std::system_error; load that, or FormatError for a file that is not one of ours or
  // holds the other type.
  void save(const std::filesystem::path& path, StoredType stored = StoredType::kOwn) const;
  [[nodiscard]] static MemoryAugmentedAttention load(const std::filesystem::path& path);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The type of the weights in a file that save wrote, "float32" or "float64", to choose the class
// that loads it. Checks the whole header as load does, and reads no weight. Throws as load does.
// For a file that may hold another layer: layer_file_info (layer_file.h).
[[nodiscard]] MEMATTN_EXPORT std::string layer_file_dtype(const std::filesystem::path& path);

extern template class MemoryAugmentedAttention<float>;
extern template class MemoryAugmentedAttention<double>;

}  // namespace memattn
