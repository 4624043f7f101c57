// Strict JSON, for text that nobody vouches for. Private: nlohmann-json must not reach a public
// header, so include this from .cc files only.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

namespace memattn {

// What parse_json throws; callers turn it into FormatError or std::invalid_argument. what() reads
// "byte N: found X, expected Y", N being the number of bytes read when the error was seen.
class JsonError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct JsonLimits {
  std::size_t depth = 32;      // of arrays and objects inside each other
  std::size_t values = 50000;  // in all, containers and keys counted too: bounds the memory taken
};

// One JSON value (RFC 8259) with nothing but white space around it. Beyond what nlohmann-json
// refuses by itself (bad UTF-8, NaN, Infinity, comments, numbers too large for a double), this
// refuses a key that an object holds twice, a byte order mark, NUL bytes, nesting and numbers of
// values above the limits, and integers outside [-2^63, 2^64), which would turn into doubles.
nlohmann::json parse_json(std::string_view text, const JsonLimits& limits = {});

// A value for a message: "-3", "true", "a string \"x\"", "an object".
std::string describe(const nlohmann::json& value);

}  // namespace memattn
