// The layer's options as JSON.
#include <initializer_list>
#include <optional>
#include <stdexcept>

#include "check.h"
#include "io/json.h"
#include "io/json_writer.h"
#include "io/printable.h"
#include "layer/config_names.h"
#include "memattn/config.h"

namespace memattn {
namespace {

using Kind = MemoryInitializer::Kind;

template <typename Names, typename Value>
std::string_view name_of(const Names& names, Value value) {
  for (const auto& [known, name] : names) {
    if (known == value) return name;
  }
  fail_argument("to_json", "enumeration", static_cast<int>(value), "one of config.h's values");
}

// Reads members of one JSON object; `place` is "" or "memory_initializer.".
[[noreturn]] void fail_json(std::string_view place, std::string_view found,
                            std::string_view expected) {
  fail_argument("config_from_json", place, found, expected);
}

void check_keys(const JsonObject& object, std::string_view place,
                std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object) {
    bool is_known = false;
    std::string names;
    for (const std::string_view name : known) {
      is_known = is_known || key == name;
      names += concat(names.empty() ? "" : ", ", name);
    }
    if (!is_known) fail_json(place, concat("key ", in_quotes(key)), concat("one of ", names));
  }
}

// nullptr: the object has no such key.
const JsonValue* member(const JsonObject& object, std::string_view key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &found->second;
}

std::int64_t to_integer(const JsonValue& value, std::string_view key) {
  if (!value.integer()) fail_json(key, describe(value), "an integer of 64 bits");
  return *value.integer();
}

double to_number(const JsonValue& value, std::string_view key) {
  if (!value.number()) fail_json(key, describe(value), "a number");
  return *value.number();
}

template <typename Names>
auto to_enumeration(const JsonValue& value, std::string_view key, const Names& names) {
  std::string expected = "one of";
  for (const auto& [known, name] : names) {
    if (value.string() && *value.string() == name) return known;
    expected += concat(known == names.front().first ? " " : ", ", in_quotes(name));
  }
  fail_json(key, describe(value), expected);
}

MemoryInitializer to_initializer(const JsonValue& value) {
  constexpr std::string_view kKey = "memory_initializer";
  if (!value.object()) return {.kind = to_enumeration(value, kKey, kKindNames)};
  const JsonObject& object = *value.object();
  const JsonValue* const kind = member(object, "kind");
  if (!kind) fail_json(kKey, "no key kind", "it");
  MemoryInitializer initializer{.kind =
                                    to_enumeration(*kind, "memory_initializer.kind", kKindNames)};
  if (initializer.kind != Kind::kNormal) {
    check_keys(object, kKey, {"kind"});
    return initializer;
  }
  check_keys(object, kKey, {"kind", "stddev"});
  if (const JsonValue* const stddev = member(object, "stddev")) {
    initializer.stddev = to_number(*stddev, "memory_initializer.stddev");
  }
  return initializer;
}

}  // namespace

std::string to_json(const MemoryAugmentedAttentionConfig& config) {
  const auto optional = [](const std::optional<std::int64_t>& value) {
    return value ? json_text(*value) : "null";
  };
  JsonObjectWriter initializer;
  initializer.add("kind", name_of(kKindNames, config.memory_initializer.kind));
  if (config.memory_initializer.kind == Kind::kNormal) {
    initializer.add("stddev", config.memory_initializer.stddev);
  }
  JsonObjectWriter object;
  object.add("units", config.units);
  object.add("memory_size", config.memory_size);
  object.add("num_heads", config.num_heads);
  object.add_text("key_dim", optional(config.key_dim));
  object.add_text("value_dim", optional(config.value_dim));
  object.add("use_bias", config.use_bias);
  object.add("residual", config.residual);
  object.add("dropout", config.dropout);
  object.add("fully_masked", name_of(kFullyMaskedNames, config.fully_masked));
  object.add_text("memory_initializer", initializer.text());
  object.add("seed", config.seed);
  return object.text();
}

MemoryAugmentedAttentionConfig config_from_json(std::string_view text) {
  JsonValue parsed;
  try {
    parsed = parse_json(text, {.depth = 4, .values = 64});
  } catch (const JsonError& error) {
    throw std::invalid_argument(concat("config_from_json: json: ", error.what()));
  }
  if (!parsed.object()) fail_json("json", describe(parsed), "an object");
  const JsonObject& object = *parsed.object();
  check_keys(object, "json",
             {"units", "memory_size", "num_heads", "key_dim", "value_dim", "use_bias", "residual",
              "dropout", "fully_masked", "memory_initializer", "seed"});

  const auto find = [&](std::string_view key) { return member(object, key); };
  const auto required = [&](std::string_view key) {
    const JsonValue* value = find(key);
    if (!value) fail_json("json", concat("no key ", in_quotes(key)), "it");
    return to_integer(*value, key);
  };
  const auto optional = [&](std::string_view key) -> std::optional<std::int64_t> {
    const JsonValue* value = find(key);
    if (!value || value->is_null()) return std::nullopt;
    return to_integer(*value, key);
  };
  const auto boolean = [&](std::string_view key, bool otherwise) {
    const JsonValue* value = find(key);
    if (!value) return otherwise;
    if (!value->boolean()) fail_json(key, describe(*value), "true or false");
    return *value->boolean();
  };

  MemoryAugmentedAttentionConfig config;
  config.units = required("units");
  config.memory_size = required("memory_size");
  config.num_heads = required("num_heads");
  config.key_dim = optional("key_dim");
  config.value_dim = optional("value_dim");
  config.use_bias = boolean("use_bias", config.use_bias);
  config.residual = boolean("residual", config.residual);
  if (const JsonValue* value = find("dropout")) {
    config.dropout = to_number(*value, "dropout");
  }
  if (const JsonValue* value = find("fully_masked")) {
    config.fully_masked = to_enumeration(*value, "fully_masked", kFullyMaskedNames);
  }
  if (const JsonValue* value = find("memory_initializer")) {
    config.memory_initializer = to_initializer(*value);
  }
  if (const JsonValue* value = find("seed")) {
    if (!value->natural()) fail_json("seed", describe(*value), "0 to 2^64 - 1");
    config.seed = *value->natural();
  }
  config.validate();
  return config;
}

}  // namespace memattn
