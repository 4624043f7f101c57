// Strict reading of JSON from untrusted text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace memattn {

// Thrown by parse_json; callers turn it into FormatError or std::invalid_argument. what() is "byte
// N: found X, expected Y", where N is the number of bytes read before the error.
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class JsonValue;
using JsonArray = std::vector<JsonValue>;
using JsonObject = std::map<std::string, JsonValue, std::less<>>;

// A JSON value. Unlike nlohmann-json's, it needs no memory to be destroyed. Movable, not copyable.
class JsonValue {
 public:
  JsonValue() = default;  // null
  explicit JsonValue(bool value) : value_(value) {}
  explicit JsonValue(std::int64_t value) : value_(value) {}
  explicit JsonValue(std::uint64_t value) : value_(value) {}
  explicit JsonValue(double value) : value_(value) {}
  explicit JsonValue(std::string value) : value_(std::move(value)) {}
  explicit JsonValue(JsonArray value);
  explicit JsonValue(JsonObject value);

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  // Returns the value if it is of that kind, else nullptr.
  const bool* boolean() const { return std::get_if<bool>(&value_); }
  const std::string* string() const { return std::get_if<std::string>(&value_); }
  const JsonArray* array() const { return held<JsonArray>(); }
  const JsonObject* object() const { return held<JsonObject>(); }
  JsonArray* array() { return held<JsonArray>(); }
  JsonObject* object() { return held<JsonObject>(); }

  // Returns the number, rounded to a double.
  std::optional<double> number() const;
  // Returns the number if it is written as an integer and fits the type.
  std::optional<std::int64_t> integer() const;
  std::optional<std::uint64_t> natural() const;

 private:
  template <typename Container>
  Container* held() const {
    const auto* pointer = std::get_if<std::unique_ptr<Container>>(&value_);
    return pointer ? pointer->get() : nullptr;
  }

  // uint64_t for integers from 0 on, int64_t for negative ones, double with a point or an exponent.
  std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string,
               std::unique_ptr<JsonArray>, std::unique_ptr<JsonObject>>
      value_;
};

struct JsonLimits {
  std::size_t depth = 32;      // of arrays and objects inside each other
  std::size_t values = 50000;  // in all, with containers and keys; bounds the memory
};

// Parses one JSON value (RFC 8259) with only white space around it. Refuses everything that RFC
// 8259 excludes (bad UTF-8, NaN, Infinity, comments). Also refuses numbers too large for a double,
// duplicate keys of an object, a byte order mark, NUL bytes, nesting and numbers of values above
// the limits, and integers outside [-2^63, 2^64), which would turn into doubles.
JsonValue parse_json(std::string_view text, const JsonLimits& limits = {});

// Describes a value in a message: "-3", "true", "the string \"x\"", "an object".
std::string describe(const JsonValue& value);

}  // namespace memattn
