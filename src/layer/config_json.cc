// Writes and reads the layers' options as JSON.
#include <concepts>
#include <initializer_list>
#include <optional>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "check.h"
#include "io/json.h"
#include "io/json_writer.h"
#include "io/printable.h"
#include "layer/config_names.h"
#include "memattn/config.h"

namespace memattn {
namespace {

using Kind = MemoryInitializer::Kind;

// Visits the fields of each config, in the order in which their keys are written. A Visitor has
// required(key, value) and optional(key, value) for the types of all fields.

template <typename Config, typename Visitor>
  requires std::same_as<std::remove_const_t<Config>, MemoryAugmentedAttentionConfig>
void visit_fields(Config& config, Visitor& visitor) {
  visitor.required("units", config.units);
  visitor.required("memory_size", config.memory_size);
  visitor.required("num_heads", config.num_heads);
  visitor.optional("key_dim", config.key_dim);
  visitor.optional("value_dim", config.value_dim);
  visitor.optional("use_bias", config.use_bias);
  visitor.optional("residual", config.residual);
  visitor.optional("dropout", config.dropout);
  visitor.optional("fully_masked", config.fully_masked);
  visitor.optional("memory_initializer", config.memory_initializer);
  visitor.optional("seed", config.seed);
  visitor.optional("precision", config.precision);
}

template <typename Config, typename Visitor>
  requires std::same_as<std::remove_const_t<Config>, CrossAttentionConfig>
void visit_fields(Config& config, Visitor& visitor) {
  visitor.required("units", config.units);
  visitor.required("num_heads", config.num_heads);
  visitor.optional("source1_units", config.source1_units);
  visitor.optional("source2_units", config.source2_units);
  visitor.optional("key_dim", config.key_dim);
  visitor.optional("value_dim", config.value_dim);
  visitor.optional("use_bias", config.use_bias);
  visitor.optional("dropout", config.dropout);
  visitor.optional("fully_masked", config.fully_masked);
  visitor.optional("seed", config.seed);
  visitor.optional("precision", config.precision);
}

template <typename Config, typename Visitor>
  requires std::same_as<std::remove_const_t<Config>, HierarchicalAttentionConfig>
void visit_fields(Config& config, Visitor& visitor) {
  visitor.required("units", config.units);
  visitor.required("num_heads", config.num_heads);
  visitor.optional("short_units", config.short_units);
  visitor.optional("long_units", config.long_units);
  visitor.optional("key_dim", config.key_dim);
  visitor.optional("value_dim", config.value_dim);
  visitor.optional("use_bias", config.use_bias);
  visitor.optional("dropout", config.dropout);
  visitor.optional("fully_masked", config.fully_masked);
  visitor.optional("seed", config.seed);
  visitor.optional("precision", config.precision);
}

template <typename Names, typename Value>
std::string_view name_of(const Names& names, Value value) {
  for (const auto& [known, name] : names) {
    if (known == value) return name;
  }
  fail_argument("to_json", "enumeration", static_cast<int>(value), "one of the values in config.h");
}

// Writes the fields that it visits.
class FieldWriter {
 public:
  template <typename Value>
  void required(std::string_view key, const Value& value) {
    object_.add_text(key, text_of(value));
  }
  template <typename Value>
  void optional(std::string_view key, const Value& value) {
    required(key, value);
  }
  // Left out if it is the default, so that readers older than the option accept the file.
  void optional(std::string_view key, const Precision& value) {
    if (value != Precision::kFloat32) object_.add(key, name_of(kPrecisionNames, value));
  }

  std::string text() const { return object_.text(); }

 private:
  template <typename Value>
  static std::string text_of(const Value& value) {
    return json_text(value);
  }
  static std::string text_of(const std::optional<std::int64_t>& value) {
    return value ? json_text(*value) : "null";
  }
  static std::string text_of(FullyMasked value) {
    return json_text(name_of(kFullyMaskedNames, value));
  }
  static std::string text_of(const MemoryInitializer& value) {
    JsonObjectWriter initializer;
    initializer.add("kind", name_of(kKindNames, value.kind));
    if (value.kind == Kind::kNormal) initializer.add("stddev", value.stddev);
    return initializer.text();
  }

  JsonObjectWriter object_;
};

// Lists the keys of the fields that it visits.
struct KeyList {
  template <typename Value>
  void required(std::string_view key, const Value&) {
    keys.push_back(key);
  }
  template <typename Value>
  void optional(std::string_view key, const Value&) {
    keys.push_back(key);
  }

  std::vector<std::string_view> keys;
};

// Returns nullptr if the object has no such key.
const JsonValue* member(const JsonObject& object, std::string_view key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &found->second;
}

// Reads the visited fields from a JSON object; a field without a key keeps its value. Messages
// begin with `layer`, like those of validate.
class FieldReader {
 public:
  FieldReader(std::string_view layer, const JsonObject& object) : layer_(layer), object_(object) {}

  template <typename Value>
  void required(std::string_view key, Value& field) const {
    const JsonValue* const value = member(object_, key);
    if (!value) fail("json", concat("no key ", in_quotes(key)), "one");
    read(key, *value, field);
  }
  template <typename Value>
  void optional(std::string_view key, Value& field) const {
    if (const JsonValue* const value = member(object_, key)) read(key, *value, field);
  }

  // Throws unless every key of the object at `place` is one of the known keys.
  void check_keys(const JsonObject& object, std::string_view place,
                  std::span<const std::string_view> known) const {
    for (const auto& [key, value] : object) {
      bool is_known = false;
      std::string names;
      for (const std::string_view name : known) {
        is_known = is_known || key == name;
        names += concat(names.empty() ? "" : ", ", name);
      }
      if (!is_known) fail(place, concat("key ", in_quotes(key)), concat("one of ", names));
    }
  }

 private:
  [[noreturn]] void fail(std::string_view place, std::string_view found,
                         std::string_view expected) const {
    fail_argument(layer_, place, found, expected);
  }

  template <typename Names>
  auto enumeration(std::string_view key, const JsonValue& value, const Names& names) const {
    std::string expected = "one of";
    for (const auto& [known, name] : names) {
      if (value.string() && *value.string() == name) return known;
      expected += concat(known == names.front().first ? " " : ", ", in_quotes(name));
    }
    fail(key, describe(value), expected);
  }

  void read(std::string_view key, const JsonValue& value, std::int64_t& field) const {
    if (!value.integer()) fail(key, describe(value), "an integer of 64 bits");
    field = *value.integer();
  }
  void read(std::string_view key, const JsonValue& value,
            std::optional<std::int64_t>& field) const {
    field.reset();
    if (!value.is_null()) read(key, value, field.emplace());
  }
  void read(std::string_view key, const JsonValue& value, bool& field) const {
    if (!value.boolean()) fail(key, describe(value), "true or false");
    field = *value.boolean();
  }
  void read(std::string_view key, const JsonValue& value, double& field) const {
    if (!value.number()) fail(key, describe(value), "a number");
    field = *value.number();
  }
  void read(std::string_view key, const JsonValue& value, std::uint64_t& field) const {
    if (!value.natural()) fail(key, describe(value), "0 to 2^64 - 1");
    field = *value.natural();
  }
  void read(std::string_view key, const JsonValue& value, FullyMasked& field) const {
    field = enumeration(key, value, kFullyMaskedNames);
  }
  void read(std::string_view key, const JsonValue& value, Precision& field) const {
    field = enumeration(key, value, kPrecisionNames);
  }
  void read(std::string_view key, const JsonValue& value, MemoryInitializer& field) const {
    field = {};
    if (!value.object()) {
      field.kind = enumeration(key, value, kKindNames);
      return;
    }
    const JsonObject& object = *value.object();
    const JsonValue* const kind = member(object, "kind");
    if (!kind) fail(key, "no key kind", "one");
    field.kind = enumeration(concat(key, ".kind"), *kind, kKindNames);
    static constexpr std::string_view kKeys[] = {"kind", "stddev"};
    const bool normal = field.kind == Kind::kNormal;
    check_keys(object, key, std::span(kKeys).first(normal ? 2 : 1));
    const JsonValue* const stddev = member(object, "stddev");
    if (stddev) read(concat(key, ".stddev"), *stddev, field.stddev);
  }

  const std::string_view layer_;
  const JsonObject& object_;
};

template <typename Config>
std::string written(const Config& config) {
  FieldWriter writer;
  visit_fields(config, writer);
  return writer.text();
}

template <typename Config>
Config parsed(std::string_view text) {
  const std::string_view layer = kLayerName<Config>;
  JsonValue json;
  try {
    json = parse_json(text, {.depth = 4, .values = 64});
  } catch (const JsonError& error) {
    throw std::invalid_argument(concat(layer, ": json: ", error.what()));
  }
  if (!json.object()) fail_argument(layer, "json", describe(json), "an object");
  const FieldReader reader(layer, *json.object());
  Config config;
  KeyList list;
  visit_fields(config, list);
  reader.check_keys(*json.object(), "json", list.keys);
  visit_fields(config, reader);
  config.validate();
  return config;
}

}  // namespace

std::string to_json(const MemoryAugmentedAttentionConfig& config) { return written(config); }
std::string to_json(const CrossAttentionConfig& config) { return written(config); }
std::string to_json(const HierarchicalAttentionConfig& config) { return written(config); }

MemoryAugmentedAttentionConfig config_from_json(std::string_view json) {
  return parsed<MemoryAugmentedAttentionConfig>(json);
}
CrossAttentionConfig cross_attention_config_from_json(std::string_view json) {
  return parsed<CrossAttentionConfig>(json);
}
HierarchicalAttentionConfig hierarchical_attention_config_from_json(std::string_view json) {
  return parsed<HierarchicalAttentionConfig>(json);
}

}  // namespace memattn
