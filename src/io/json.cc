// Strict reading of JSON, by the SAX interface of nlohmann-json.
#include "io/json.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "check.h"
#include "io/json_writer.h"
#include "io/printable.h"

namespace memattn {
namespace {

[[noreturn]] void fail(std::size_t bytes_read, std::string_view found, std::string_view expected) {
  throw JsonError(concat("byte ", bytes_read, ": found ", found, ", expected ", expected));
}

// Text that counts how much of it has been read, since nlohmann's events carry no position.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, std::size_t* bytes_read) : at_(at), bytes_read_(bytes_read) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    ++at_;
    ++*bytes_read_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  std::size_t* bytes_read_;
};

// Builds the value from nlohmann's events, and refuses on the way what json.h says. So memory never
// exceeds the limits, whatever the text contains.
class StrictBuilder {
 public:
  StrictBuilder(const JsonLimits& limits, const std::size_t* bytes_read)
      : limits_(limits), bytes_read_(bytes_read) {}

  JsonValue take() { return std::move(root_); }

  bool null() { return add(JsonValue()); }
  bool boolean(bool value) { return add(JsonValue(value)); }
  bool number_integer(std::int64_t value) { return add(JsonValue(value)); }
  bool number_unsigned(std::uint64_t value) { return add(JsonValue(value)); }
  bool number_float(double value, const std::string& digits) {
    // An integer that does not fit 64 bits arrives here, rounded.
    if (digits.find_first_not_of("-0123456789") == std::string::npos) {
      fail(*bytes_read_, "the integer " + printable(digits, 40), "one of 64 bits");
    }
    return add(JsonValue(value));
  }
  bool string(std::string& value) { return add(JsonValue(std::move(value))); }
  // For binary formats only; never called for text.
  bool binary(nlohmann::json::binary_t&) { return false; }  // GCOVR_EXCL_LINE

  bool start_object(std::size_t) { return open(JsonValue(JsonObject())); }
  bool end_object() { return close(); }
  bool start_array(std::size_t) { return open(JsonValue(JsonArray())); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    count();
    const auto [entry, inserted] = open_.back()->object()->try_emplace(std::move(name));
    if (!inserted) {
      fail(*bytes_read_, "a second key " + in_quotes(entry->first), "each key once in an object");
    }
    member_ = &entry->second;
    return true;
  }

  bool parse_error(std::size_t bytes_read, const std::string&,
                   const nlohmann::json::exception& error) {
    // nlohmann's message is "[json.exception.parse_error.101] parse error at line 1, column 2:
    // REASON".
    std::string_view text = error.what();
    text.remove_prefix(std::min(text.size(), text.find("] ") + 2));
    if (text.starts_with("parse error at ")) {
      text.remove_prefix(std::min(text.size(), text.find(": ") + 2));
    }
    fail(bytes_read, concat("malformed JSON (", printable(text, 160), ")"),
         "one value as RFC 8259 defines it");
  }

 private:
  void count() {
    if (++values_ > limits_.values) {
      fail(*bytes_read_, concat("more than ", limits_.values, " JSON values"),
           concat("at most ", limits_.values));
    }
  }

  JsonValue* place(JsonValue value) {
    count();
    if (open_.empty()) return &(root_ = std::move(value));
    if (JsonArray* const array = open_.back()->array()) {
      return &array->emplace_back(std::move(value));
    }
    return &(*member_ = std::move(value));
  }

  bool add(JsonValue value) {
    place(std::move(value));
    return true;
  }

  bool open(JsonValue container) {
    if (open_.size() == limits_.depth) {
      fail(*bytes_read_, concat("nesting deeper than ", limits_.depth),
           concat("at most ", limits_.depth));
    }
    open_.push_back(place(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const JsonLimits& limits_;
  const std::size_t* bytes_read_;
  std::size_t values_ = 0;
  JsonValue root_;
  std::vector<JsonValue*>
      open_;  // containers being read, the outermost first; stable while they are
  JsonValue* member_ = nullptr;  // where the value of the latest key goes
};

}  // namespace

JsonValue::JsonValue(JsonArray value) : value_(std::make_unique<JsonArray>(std::move(value))) {}
JsonValue::JsonValue(JsonObject value) : value_(std::make_unique<JsonObject>(std::move(value))) {}

std::optional<double> JsonValue::number() const {
  if (const auto* value = std::get_if<double>(&value_)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*value);
  if (const auto* value = std::get_if<std::uint64_t>(&value_)) return static_cast<double>(*value);
  return std::nullopt;
}

std::optional<std::int64_t> JsonValue::integer() const {
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return *value;
  const auto* value = std::get_if<std::uint64_t>(&value_);
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (value == nullptr || *value > kMax) return std::nullopt;
  return static_cast<std::int64_t>(*value);
}

std::optional<std::uint64_t> JsonValue::natural() const {
  const auto* value = std::get_if<std::uint64_t>(&value_);
  return value ? std::optional(*value) : std::nullopt;
}

JsonValue parse_json(std::string_view text, const JsonLimits& limits) {
  // nlohmann-json stops at a NUL byte as at the end of the text, and skips a byte order mark.
  if (const auto at = text.find('\0'); at != std::string_view::npos) {
    fail(at + 1, "a NUL byte", "JSON without NUL bytes");
  }
  if (text.starts_with("\xEF\xBB\xBF")) fail(3, "a byte order mark", "JSON without one");
  std::size_t bytes_read = 0;
  StrictBuilder builder(limits, &bytes_read);
  if (!nlohmann::json::sax_parse(CountingIterator(text.data(), &bytes_read),
                                 CountingIterator(text.data() + text.size(), &bytes_read),
                                 &builder)) {
    // Not reached: the builder throws before it could refuse.
    fail(bytes_read, "malformed JSON", "one value as RFC 8259 defines it");  // GCOVR_EXCL_LINE
  }
  return builder.take();
}

std::string describe(const JsonValue& value) {
  if (const std::string* text = value.string()) return "the string " + in_quotes(*text);
  if (value.object()) return "an object";
  if (value.array()) return "an array";
  if (value.is_null()) return "null";
  if (const bool* truth = value.boolean()) return to_text(*truth);
  if (const auto natural = value.natural()) return to_text(*natural);
  if (const auto integer = value.integer()) return to_text(*integer);
  return json_text(*value.number());
}

}  // namespace memattn
