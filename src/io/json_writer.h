// Writing of JSON: equal values give equal text, byte for byte.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "check.h"

namespace memattn {

// Returns a value as JSON text, without white space. A double has as many digits as are needed to
// read the same bits again, and always a point or an exponent. Infinity and NaN, which JSON lacks,
// become null.
std::string json_text(double value);
// Throws std::invalid_argument if `value` is not UTF-8.
std::string json_text(std::string_view value);
std::string json_text(std::span<const std::int64_t> values);
template <typename Value>
  requires std::integral<Value>
std::string json_text(Value value) {
  return to_text(value);
}

// One object, its members in the order in which they are added.
class JsonObjectWriter {
 public:
  template <typename Value>
  void add(std::string_view key, const Value& value) {
    add_text(key, json_text(value));
  }
  // Adds a value that is already JSON text.
  void add_text(std::string_view key, std::string_view text);

  bool empty() const { return members_.empty(); }
  std::string text() const { return "{" + members_ + "}"; }

 private:
  std::string members_;
};

}  // namespace memattn
