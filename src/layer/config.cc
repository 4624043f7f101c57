// The options of the layer: which values they may take.
#include "memattn/config.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>

#include "check.h"
#include "layer/config_names.h"

namespace memattn {
namespace {

using Kind = MemoryInitializer::Kind;

constexpr std::string_view kLayer = "MemoryAugmentedAttention";

// Limits that no layer meets and that keep every count and byte size far inside 64 bits: a
// dimension of at most 2^31 - 1, and at most 2^40 values (8 TiB of doubles) in any one array.
constexpr std::int64_t kMaxDimension = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kMaxValues = std::int64_t{1} << 40;

// What a layer keeps beside its weights (memory_augmented_attention.h, "Memory") may be this many
// times its weights, or kFreeValues if that is more. Otherwise a file of one megabyte, with 50,000
// heads and as many slots, would take 40 GB to load.
constexpr std::int64_t kMaxExpansion = 2048;
constexpr std::int64_t kFreeValues = std::int64_t{1} << 25;

void check_dimension(std::string_view option, std::int64_t value) {
  if (value < 1) fail_argument(kLayer, option, value, "at least 1");
  if (value > kMaxDimension) fail_argument(kLayer, option, value, "at most 2^31 - 1");
}

// A number from elsewhere, cast to the enumeration, may be none of its values.
template <typename Names, typename Value>
void check_enumeration(std::string_view option, Value value, const Names& names) {
  const auto is_value = [&](const auto& known) { return known.first == value; };
  if (std::ranges::any_of(names, is_value)) return;
  fail_argument(kLayer, option, static_cast<int>(value), "a value of its enumeration");
}

// The product of positive factors, or a number above kMaxValues when it is above.
std::int64_t product(std::initializer_list<std::int64_t> factors) {
  std::int64_t result = 1;
  for (const std::int64_t factor : factors) {
    if (result > kMaxValues / factor) return kMaxValues + 1;
    result *= factor;
  }
  return result;
}

// Refuses, before any memory is taken, sizes whose arithmetic could overflow or whose arrays could
// not be kept.
void check_memory(const MemoryAugmentedAttentionConfig& config) {
  const std::int64_t U = config.units, S = config.memory_size, H = config.num_heads;
  const std::int64_t D = config.resolved_key_dim(), Dv = config.resolved_value_dim();
  const auto check = [](std::string_view sizes, std::int64_t values) {
    if (values > kMaxValues) {
      fail_argument(kLayer, sizes, "a product above 2^40 values", "at most 2^40");
    }
    return values;
  };
  const std::int64_t parameters = check("memory_size * units", product({S, U})) +
                                  2 * check("num_heads * units * key_dim", product({H, U, D})) +
                                  2 * check("num_heads * units * value_dim", product({H, U, Dv}));
  const std::int64_t folded = check("num_heads * memory_size * units", product({H, S, U}));
  const std::int64_t keys = check("num_heads * memory_size * key_dim", product({H, S, D}));
  const std::int64_t values = check("num_heads * memory_size * value_dim", product({H, S, Dv}));
  const std::int64_t kept = std::max(4 * folded + 2 * keys + values + H * S, 3 * keys + values);
  if (kept > kFreeValues && kept / kMaxExpansion > parameters) {
    fail_argument(kLayer, "num_heads * memory_size",
                  concat("a layer of ", parameters, " weights that would keep ", kept,
                         " values made from them"),
                  concat("at most ", kMaxExpansion, " times the weights"));
  }
}

}  // namespace

void MemoryAugmentedAttentionConfig::validate() const {
  check_dimension("units", units);
  check_dimension("memory_size", memory_size);
  check_dimension("num_heads", num_heads);
  if (key_dim) check_dimension("key_dim", *key_dim);
  if (value_dim) check_dimension("value_dim", *value_dim);
  if (!(dropout >= 0 && dropout < 1)) {
    fail_argument(kLayer, "dropout", dropout, "at least 0 and below 1");
  }
  const double stddev = memory_initializer.stddev;
  if (memory_initializer.kind == Kind::kNormal && !(stddev > 0 && std::isfinite(stddev))) {
    fail_argument(kLayer, "memory_initializer.stddev", stddev, "a finite number above 0");
  }
  check_enumeration("memory_initializer.kind", memory_initializer.kind, kKindNames);
  check_enumeration("fully_masked", fully_masked, kFullyMaskedNames);
  check_memory(*this);
}

std::vector<std::string> MemoryAugmentedAttentionConfig::warnings() const {
  if (memory_initializer.kind != Kind::kZeros) return {};
  return {
      "MemoryAugmentedAttention: memory_initializer: zeros cannot learn: all slots are equal, "
      "every slot gets the same gradient, and so they stay equal for ever and the layer can only "
      "add a constant to its input; "
      "use \"normal\" (the default), or set the memory to something else before training."};
}

}  // namespace memattn
