// The options of the layer: which values they may take, and their JSON.
#include "memattn/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <stdexcept>
#include <utility>

#include "check.h"
#include "io/json.h"
#include "io/printable.h"

namespace memattn {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
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

constexpr std::array<std::pair<Kind, std::string_view>, 3> kKindNames = {{
    {Kind::kNormal, "normal"},
    {Kind::kGlorotUniform, "glorot_uniform"},
    {Kind::kZeros, "zeros"},
}};
constexpr std::array<std::pair<FullyMasked, std::string_view>, 2> kFullyMaskedNames = {{
    {FullyMasked::kZero, "zero"},
    {FullyMasked::kUniform, "uniform"},
}};

template <typename Names, typename Value>
std::string name_of(const Names& names, Value value) {
  for (const auto& [known, name] : names) {
    if (known == value) return std::string(name);
  }
  fail_argument("to_json", "enumeration", static_cast<int>(value), "one of config.h's values");
}

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

// Reads members of one JSON object; `place` is "" or "memory_initializer.".
[[noreturn]] void fail_json(std::string_view place, std::string_view found,
                            std::string_view expected) {
  fail_argument("config_from_json", place, found, expected);
}

void check_keys(const json& object, std::string_view place,
                std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.items()) {
    bool is_known = false;
    std::string names;
    for (const std::string_view name : known) {
      is_known = is_known || key == name;
      names += concat(names.empty() ? "" : ", ", name);
    }
    if (!is_known) fail_json(place, concat("key ", in_quotes(key)), concat("one of ", names));
  }
}

std::int64_t to_integer(const json& value, std::string_view key) {
  const bool fits = value.is_number_integer() &&
                    !(value.is_number_unsigned() &&
                      value.get<std::uint64_t>() >
                          static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
  if (!fits) fail_json(key, describe(value), "an integer of 64 bits");
  return value.get<std::int64_t>();
}

template <typename Names>
auto to_enumeration(const json& value, std::string_view key, const Names& names) {
  std::string expected = "one of";
  for (const auto& [known, name] : names) {
    if (value.is_string() && value.get_ref<const std::string&>() == name) return known;
    expected += concat(known == names.front().first ? " " : ", ", in_quotes(name));
  }
  fail_json(key, describe(value), expected);
}

MemoryInitializer to_initializer(const json& value) {
  constexpr std::string_view kKey = "memory_initializer";
  if (!value.is_object()) return {.kind = to_enumeration(value, kKey, kKindNames)};
  if (!value.contains("kind")) fail_json(kKey, "no key kind", "it");
  MemoryInitializer initializer{
      .kind = to_enumeration(value.at("kind"), "memory_initializer.kind", kKindNames)};
  if (initializer.kind != Kind::kNormal) {
    check_keys(value, kKey, {"kind"});
    return initializer;
  }
  check_keys(value, kKey, {"kind", "stddev"});
  if (const auto stddev = value.find("stddev"); stddev != value.end()) {
    if (!stddev->is_number()) {
      fail_json("memory_initializer.stddev", describe(*stddev), "a number");
    }
    initializer.stddev = stddev->get<double>();
  }
  return initializer;
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
      "every slot gets the "
      "same "
      "gradient, and so they stay equal for ever and the layer can only add a constant to its "
      "input; "
      "use \"normal\" (the default), or set the memory to something else before training."};
}

std::string to_json(const MemoryAugmentedAttentionConfig& config) {
  const auto optional = [](const std::optional<std::int64_t>& value) {
    return value ? ordered_json(*value) : ordered_json(nullptr);
  };
  ordered_json initializer = {{"kind", name_of(kKindNames, config.memory_initializer.kind)}};
  if (config.memory_initializer.kind == Kind::kNormal) {
    initializer["stddev"] = config.memory_initializer.stddev;
  }
  const ordered_json object = {
      {"units", config.units},
      {"memory_size", config.memory_size},
      {"num_heads", config.num_heads},
      {"key_dim", optional(config.key_dim)},
      {"value_dim", optional(config.value_dim)},
      {"use_bias", config.use_bias},
      {"residual", config.residual},
      {"dropout", config.dropout},
      {"fully_masked", name_of(kFullyMaskedNames, config.fully_masked)},
      {"memory_initializer", initializer},
      {"seed", config.seed},
  };
  return object.dump();
}

MemoryAugmentedAttentionConfig config_from_json(std::string_view text) {
  json object;
  try {
    object = parse_json(text, {.depth = 4, .values = 64});
  } catch (const JsonError& error) {
    throw std::invalid_argument(concat("config_from_json: json: ", error.what()));
  }
  if (!object.is_object()) fail_json("json", describe(object), "an object");
  check_keys(object, "json",
             {"units", "memory_size", "num_heads", "key_dim", "value_dim", "use_bias", "residual",
              "dropout", "fully_masked", "memory_initializer", "seed"});

  const auto find = [&](const char* key) -> const json* {
    const auto found = object.find(key);
    return found == object.end() ? nullptr : &*found;
  };
  const auto required = [&](const char* key) {
    const json* value = find(key);
    if (!value) fail_json("json", concat("no key ", in_quotes(key)), "it");
    return to_integer(*value, key);
  };
  const auto optional = [&](const char* key) -> std::optional<std::int64_t> {
    const json* value = find(key);
    if (!value || value->is_null()) return std::nullopt;
    return to_integer(*value, key);
  };
  const auto boolean = [&](const char* key, bool otherwise) {
    const json* value = find(key);
    if (!value) return otherwise;
    if (!value->is_boolean()) fail_json(key, describe(*value), "true or false");
    return value->get<bool>();
  };

  MemoryAugmentedAttentionConfig config;
  config.units = required("units");
  config.memory_size = required("memory_size");
  config.num_heads = required("num_heads");
  config.key_dim = optional("key_dim");
  config.value_dim = optional("value_dim");
  config.use_bias = boolean("use_bias", config.use_bias);
  config.residual = boolean("residual", config.residual);
  if (const json* value = find("dropout")) {
    if (!value->is_number()) fail_json("dropout", describe(*value), "a number");
    config.dropout = value->get<double>();
  }
  if (const json* value = find("fully_masked")) {
    config.fully_masked = to_enumeration(*value, "fully_masked", kFullyMaskedNames);
  }
  if (const json* value = find("memory_initializer")) {
    config.memory_initializer = to_initializer(*value);
  }
  if (const json* value = find("seed")) {
    if (!value->is_number_unsigned()) fail_json("seed", describe(*value), "0 to 2^64 - 1");
    config.seed = value->get<std::uint64_t>();
  }
  config.validate();
  return config;
}

}  // namespace memattn
