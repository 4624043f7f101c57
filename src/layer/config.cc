// The valid values of the layers' options.
#include "memattn/config.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "check.h"
#include "layer/config_names.h"
#include "layer/limits.h"

namespace memattn {
namespace {

using Kind = MemoryInitializer::Kind;

// Checks the options of one layer, whose name begins every message.
class OptionChecks {
 public:
  explicit OptionChecks(std::string_view layer) : layer_(layer) {}

  void dimension(std::string_view option, std::int64_t value) const {
    if (value < 1) fail(option, value, "at least 1");
    if (value > kMaxDimension) fail(option, value, "at most 2^31 - 1");
  }
  void dimension(std::string_view option, std::optional<std::int64_t> value) const {
    if (value) dimension(option, *value);
  }

  void dropout(double rate) const {
    if (!(rate >= 0 && rate < 1)) fail("dropout", rate, "at least 0 and below 1");
  }

  // A number that was cast to the enumeration may be none of its values.
  template <typename Names, typename Value>
  void enumeration(std::string_view option, Value value, const Names& names) const {
    const auto is_value = [&](const auto& known) { return known.first == value; };
    if (std::ranges::any_of(names, is_value)) return;
    fail(option, static_cast<int>(value), "a value of its enumeration");
  }

  // Returns the number of values of an array with these positive dimensions, which `sizes` names.
  std::int64_t values(std::string_view sizes, std::initializer_list<std::int64_t> factors) const {
    const std::int64_t product = limited_product(factors);
    if (product > kMaxValues) fail(sizes, "a product above 2^40 values", "at most 2^40");
    return product;
  }

  template <typename Found, typename Expected>
  [[noreturn]] void fail(std::string_view option, const Found& found,
                         const Expected& expected) const {
    fail_argument(layer_, option, found, expected);
  }

 private:
  const std::string_view layer_;
};

// Refuses sizes whose arithmetic could overflow, or whose arrays would need too much memory, before
// any memory is allocated.
void check_memory(const OptionChecks& check, const MemoryAugmentedAttentionConfig& config) {
  const std::int64_t U = config.units, S = config.memory_size, H = config.num_heads;
  const std::int64_t D = config.resolved_key_dim(), Dv = config.resolved_value_dim();
  const std::int64_t parameters = check.values("memory_size * units", {S, U}) +
                                  2 * check.values("num_heads * units * key_dim", {H, U, D}) +
                                  2 * check.values("num_heads * units * value_dim", {H, U, Dv});
  const std::int64_t folded = check.values("num_heads * memory_size * units", {H, S, U});
  const std::int64_t keys = check.values("num_heads * memory_size * key_dim", {H, S, D});
  const std::int64_t values = check.values("num_heads * memory_size * value_dim", {H, S, Dv});
  // See memory_augmented_attention.h, "Memory".
  const std::int64_t kept = std::max(4 * folded + 2 * keys + values + H * S, 3 * keys + values);
  if (!may_keep(kept, parameters)) {
    check.fail("num_heads * memory_size",
               concat("a layer of ", parameters, " weights that would keep ", kept,
                      " values made from them"),
               concat("at most ", kMaxExpansion, " times the weights"));
  }
}

// Checks the options that both attentions between two inputs have, in the order of their fields;
// `first` and `second` name the widths of the inputs.
template <typename Config>
void check_sequence_attention(const Config& config, std::string_view first,
                              std::optional<std::int64_t> first_units, std::string_view second,
                              std::optional<std::int64_t> second_units) {
  const OptionChecks check(kLayerName<Config>);
  check.dimension("units", config.units);
  check.dimension("num_heads", config.num_heads);
  check.dimension(first, first_units);
  check.dimension(second, second_units);
  check.dimension("key_dim", config.key_dim);
  check.dimension("value_dim", config.value_dim);
  check.dropout(config.dropout);
  check.enumeration("fully_masked", config.fully_masked, kFullyMaskedNames);
  check.enumeration("precision", config.precision, kPrecisionNames);
  const std::int64_t U = config.units, H = config.num_heads;
  check.values(concat(first, " * units"), {first_units.value_or(U), U});
  check.values(concat(second, " * units"), {second_units.value_or(U), U});
  check.values("num_heads * units * key_dim", {H, U, config.resolved_key_dim()});
  check.values("num_heads * units * value_dim", {H, U, config.resolved_value_dim()});
}

}  // namespace

void MemoryAugmentedAttentionConfig::validate() const {
  const OptionChecks check(kLayerName<MemoryAugmentedAttentionConfig>);
  check.dimension("units", units);
  check.dimension("memory_size", memory_size);
  check.dimension("num_heads", num_heads);
  check.dimension("key_dim", key_dim);
  check.dimension("value_dim", value_dim);
  check.dropout(dropout);
  const double stddev = memory_initializer.stddev;
  if (memory_initializer.kind == Kind::kNormal && !(stddev > 0 && std::isfinite(stddev))) {
    check.fail("memory_initializer.stddev", stddev, "a finite number above 0");
  }
  check.enumeration("memory_initializer.kind", memory_initializer.kind, kKindNames);
  check.enumeration("fully_masked", fully_masked, kFullyMaskedNames);
  check.enumeration("precision", precision, kPrecisionNames);
  check_memory(check, *this);
}

std::vector<std::string> MemoryAugmentedAttentionConfig::warnings() const {
  if (memory_initializer.kind != Kind::kZeros) return {};
  return {
      "MemoryAugmentedAttention: memory_initializer: zeros cannot learn: all slots are equal, "
      "every slot gets the same gradient, and so they stay equal forever and the layer can only "
      "add a constant to its input; "
      "use \"normal\" (the default), or set the memory to something else before training."};
}

void CrossAttentionConfig::validate() const {
  check_sequence_attention(*this, "source1_units", source1_units, "source2_units", source2_units);
}

void HierarchicalAttentionConfig::validate() const {
  check_sequence_attention(*this, "short_units", short_units, "long_units", long_units);
}

}  // namespace memattn
