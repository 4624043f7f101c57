// Error messages of the form "function: argument: found X, expected Y".
#pragma once

#include <charconv>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace memattn {

inline std::string to_text(std::string_view text) { return std::string(text); }
inline std::string to_text(const char* text) { return text; }
inline std::string to_text(bool value) { return value ? "true" : "false"; }

// Returns a number in its shortest exact form, whatever the locale of the process.
template <typename Number>
  requires std::is_arithmetic_v<Number>
std::string to_text(Number value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return std::string(buffer, end);
}

// Returns a shape as NumPy prints it: (2, 3), (4,), ().
inline std::string to_text(std::span<const std::int64_t> shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + to_text(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

// Joins the text of all parts.
template <typename... Parts>
std::string concat(const Parts&... parts) {
  return (std::string() + ... + to_text(parts));
}

template <typename Found, typename Expected>
[[noreturn]] void fail_argument(std::string_view function, std::string_view argument,
                                const Found& found, const Expected& expected) {
  throw std::invalid_argument(
      concat(function, ": ", argument, ": found ", found, ", expected ", expected));
}

// Checks of single options. NaN fails all of them.

inline void check_between(std::string_view function, std::string_view option, std::int64_t found,
                          std::int64_t smallest, std::int64_t largest) {
  if (found >= smallest && found <= largest) return;
  fail_argument(function, option, found, concat("a number from ", smallest, " to ", largest));
}

// For numbers that training converts to float.
inline void check_positive(std::string_view function, std::string_view option, double found,
                           double largest = std::numeric_limits<float>::max()) {
  if (found > 0 && found <= largest) return;
  fail_argument(function, option, found, concat("a positive number, at most ", largest));
}

inline void check_not_negative(std::string_view function, std::string_view option, double found,
                               double largest = std::numeric_limits<float>::max()) {
  if (found >= 0 && found <= largest) return;
  fail_argument(function, option, found, concat("a number from 0 to ", largest));
}

inline void check_fraction(std::string_view function, std::string_view option, double found) {
  if (!(found >= 0 && found < 1)) fail_argument(function, option, found, "a number in [0, 1)");
}

// Returns the options if options.validate() does not throw; for member initialiser lists.
template <typename Options>
const Options& validated(const Options& options) {
  options.validate();
  return options;
}

}  // namespace memattn
