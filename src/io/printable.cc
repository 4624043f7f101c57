// Makes untrusted text safe for messages.
#include "io/printable.h"

#include <algorithm>
#include <iterator>

#include "io/utf8.h"

namespace memattn {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

// The code points of Unicode's categories Cc, Cf, Zs (except the space), Zl, Zp and Co, and those
// reserved for more of them, in order. tests/python/test_printable.py compares them with Python's
// tables.
constexpr Range kEscaped[] = {
    {0x0000, 0x001F},     // control characters
    {0x007F, 0x00A0},     // control characters, no-break space
    {0x00AD, 0x00AD},     // soft hyphen
    {0x0600, 0x0605},     // Arabic number marks
    {0x061C, 0x061C},     // Arabic letter mark
    {0x06DD, 0x06DD},     // Arabic end of ayah
    {0x070F, 0x070F},     // Syriac abbreviation mark
    {0x0890, 0x0891},     // Arabic currency marks
    {0x08E2, 0x08E2},     // Arabic disputed end of ayah
    {0x1680, 0x1680},     // Ogham space
    {0x180E, 0x180E},     // Mongolian vowel separator
    {0x2000, 0x200F},     // spaces, zero-width characters, direction marks
    {0x2028, 0x202F},     // line and paragraph separator, direction, narrow space
    {0x205F, 0x206F},     // mathematical space, invisible operators, direction isolates
    {0x3000, 0x3000},     // ideographic space
    {0xE000, 0xF8FF},     // private use
    {0xFDD0, 0xFDEF},     // never assigned
    {0xFEFF, 0xFEFF},     // byte order mark
    {0xFFF0, 0xFFFB},     // interlinear annotation
    {0x110BD, 0x110BD},   // Kaithi number sign
    {0x110CD, 0x110CD},   // Kaithi number sign above
    {0x13430, 0x1343F},   // Egyptian format controls
    {0x1BCA0, 0x1BCA3},   // shorthand format controls
    {0x1D173, 0x1D17A},   // musical beams and phrases
    {0xE0000, 0xE00FF},   // tags
    {0xE01F0, 0xE0FFF},   // kept for formatting
    {0xF0000, 0x10FFFF},  // private use
};

bool is_escaped(char32_t code) {
  if ((code & 0xFFFE) == 0xFFFE) return true;  // the last two of each plane are never assigned
  const auto range = std::ranges::lower_bound(kEscaped, code, {}, &Range::last);
  return range != std::end(kEscaped) && range->first <= code;
}

std::string escaped(char32_t code) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const int digits = code < 0x100 ? 2 : code < 0x10000 ? 4 : 8;
  std::string text = {'\\', digits == 2 ? 'x' : digits == 4 ? 'u' : 'U'};
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) text += kHex[code >> shift & 15];
  return text;
}

}  // namespace

std::string printable(std::string_view text, std::size_t limit) {
  std::string result;
  std::size_t i = 0;
  while (i < text.size()) {
    Utf8Character character = first_character(text.substr(i));
    const bool valid = character.length != 0;
    if (!valid) character = {static_cast<unsigned char>(text[i]), 1};
    if (i + character.length > limit) return result + "...";
    if (!valid || is_escaped(character.code)) {
      result += escaped(character.code);
    } else {
      result += text.substr(i, character.length);
    }
    i += character.length;
  }
  return result;
}

std::string in_quotes(std::string_view text) { return '"' + printable(text) + '"'; }

}  // namespace memattn
