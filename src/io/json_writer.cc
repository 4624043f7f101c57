// Writes JSON. Only the digits of doubles come from nlohmann-json: the destructor of its objects
// and arrays allocates, and ends the process if memory runs out.
#include "io/json_writer.h"

#include <nlohmann/json.hpp>

#include "io/utf8.h"

namespace memattn {
namespace {

// Returns the character's escape, or an empty string if it needs none.
std::string escape(char32_t code) {
  constexpr std::string_view kHex = "0123456789abcdef";
  switch (code) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      if (code >= 0x20) return "";
      return {'\\', 'u', '0', '0', kHex[code >> 4], kHex[code & 15]};
  }
}

}  // namespace

std::string json_text(double value) { return nlohmann::json(value).dump(); }

std::string json_text(std::string_view value) {
  std::string text = "\"";
  while (!value.empty()) {
    const Utf8Character character = first_character(value);
    if (character.length == 0) {
      throw std::invalid_argument(
          "json_text: value: found bytes that are not UTF-8, expected UTF-8");
    }
    const std::string escaped = escape(character.code);
    text += escaped.empty() ? value.substr(0, character.length) : std::string_view(escaped);
    value.remove_prefix(character.length);
  }
  text += '"';
  return text;
}

std::string json_text(std::span<const std::int64_t> values) {
  std::string text = "[";
  for (const std::int64_t value : values) {
    if (text.size() > 1) text += ',';
    text += to_text(value);
  }
  text += ']';
  return text;
}

void JsonObjectWriter::add_text(std::string_view key, std::string_view text) {
  if (!members_.empty()) members_ += ',';
  members_ += json_text(key);
  members_ += ':';
  members_ += text;
}

}  // namespace memattn
