// UTF-8, decoded strictly.
#pragma once

#include <cstddef>
#include <string_view>

namespace memattn {

// A code point, and the bytes that it takes; 0 bytes: the text does not begin with valid UTF-8.
struct Utf8Character {
  char32_t code = 0;
  std::size_t length = 0;
};

// The character that `text`, which is not empty, begins with. Overlong forms, surrogates and
// numbers beyond U+10FFFF are not valid.
Utf8Character first_character(std::string_view text);

}  // namespace memattn
