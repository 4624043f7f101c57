// UTF-8, decoded strictly.
#pragma once

#include <cstddef>
#include <string_view>

namespace memattn {

// A code point and the number of its bytes; 0 bytes if the text does not begin with valid UTF-8.
struct Utf8Character {
  char32_t code = 0;
  std::size_t length = 0;
};

// Returns the first character of `text`, which must not be empty. Overlong forms, surrogates and
// numbers above U+10FFFF are invalid.
Utf8Character first_character(std::string_view text);

}  // namespace memattn
