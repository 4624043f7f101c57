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

// Which slots a token may read: keep[b, t, s] != 0 keeps. Each of the three sizes is 1, and then
// stands for all, or the full one; `keep` has batch * steps * slots values.
struct AttentionMask {
  std::span<const std::uint8_t> keep = {};
  std::int64_t batch = 1;
  std::int64_t steps = 1;
  std::int64_t slots = 1;
};

// What a single call may ask for. Masks are ANDed, as in Keras; an empty span is no mask.
struct CallOptions {
  AttentionMask attention_mask = {};              // broadcasts to (B, T, S)
  std::span<const std::uint8_t> query_mask = {};  // (B, T): false reads nothing
  std::span<const std::uint8_t> value_mask = {};  // (B, S): false is never read
  bool use_causal_mask = false;                   // step t reads slots 0..t
  bool training = false;                          // true: dropout
  std::uint64_t dropout_step = 0;  // another number, another draw; backward: that of forward
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
// Thread safety: any number of threads may call the const methods of one layer at once; a call that
// changes the layer needs it alone. forward takes no lock, and allocates only the first time a
// thread meets a layer of that size: the scratch, a few tokens deep for each thread that takes part
// (threads.h), belongs to the calling thread. Results are the same bits at any number of threads
// and however the tokens are cut in calls; they may differ between instruction sets, to rounding.
//
// Ownership: the layer owns its weights; spans that it returns live as long as it does and show its
// weights as they change. Spans that it is given are used during the call only.
//
// Everything here throws std::invalid_argument on a wrong option, shape, name or overlap of
// buffers, before anything is written.
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

  const MemoryAugmentedAttentionConfig& config() const;

  // y (B, T, U) from x (B, T, U). y may be x itself; any other overlap of buffers is refused.
  // Asking for scores does not change y by a bit. B = 0 and T = 0 are fine. With `kept` the scores
  // are also kept for backward, which may take memory (scores_cache.h).
  void forward(std::span<const T> x, std::span<T> y, std::int64_t batch, std::int64_t steps,
               const CallOptions& options = {}, const ScoresOutput<T>& scores = {},
               ScoresCache<T>* kept = nullptr) const;

  // Gradients of a loss from grad_y = d loss / d y (B, T, U), for the call forward(x, ...) with the
  // same options: grad_x (B, T, U), or empty when it is not wanted, and grad_parameters
  // (count_params()) in the order of weight_infos(). Both are overwritten. Nothing may overlap.
  // grad "key.bias" is exactly 0: the softmax cancels that bias. `kept` is what that forward call
  // kept; x and options must be the same, and it is an error if batch, steps or weights are not.
  void backward(std::span<const T> x, std::span<const T> grad_y, std::int64_t batch,
                std::int64_t steps, std::span<T> grad_x, std::span<T> grad_parameters,
                const CallOptions& options = {}, const ScoresCache<T>* kept = nullptr) const;

  // The route that runs: kFolded or kProjected.
  Route route() const;
  // Forces a route, or with kAuto, as at the start, leaves it to the rule. Copies keep it, files do
  // not.
  void set_route(Route route);
  Route forced_route() const;

  [[deprecated("renamed route; removed in version 0.3")]] Route path() const { return route(); }
  [[deprecated("renamed set_route; removed in version 0.3")]] void set_path(Route route) {
    set_route(route);
  }
  [[deprecated("renamed forced_route; removed in version 0.3")]] Route forced_path() const {
    return forced_route();
  }

  // All weights as one flat buffer, in Keras' order.
  std::span<const T> parameters() const;
  std::int64_t count_params() const;
  const std::vector<WeightInfo>& weight_infos() const;
  // One weight by name.
  std::span<const T> weight(std::string_view name) const;

  // The three ways to change weights. Each folds once, at its end.
  void set_parameters(std::span<const T> parameters);
  void set_weight(std::string_view name, std::span<const T> values);
  // `edit` changes the flat buffer in place; if it throws, what it did stays and is folded.
  void update(const std::function<void(std::span<T> parameters)>& edit);

  // A table of the weights with shapes and counts, and what runs, for people.
  std::string summary() const;

  // One safetensors file, docs/format.md. save replaces the file atomically and durably.
  // save throws std::system_error; load that, or FormatError for a file that is not one of ours or
  // holds the other type.
  void save(const std::filesystem::path& path) const;
  static MemoryAugmentedAttention load(const std::filesystem::path& path);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The type of the weights in a file that save wrote, "float32" or "float64", to choose the class
// that loads it. Checks the whole header as load does, and reads no weight. Throws as load does.
MEMATTN_EXPORT std::string layer_file_dtype(const std::filesystem::path& path);

extern template class MemoryAugmentedAttention<float>;
extern template class MemoryAugmentedAttention<double>;

}  // namespace memattn
