// Text from files for error messages: short, one line, valid UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace memattn {

// `text` with everything that could steer a terminal or hide from a reader written as an escape,
// cut with "..." after `limit` bytes of input. Escaped are control characters, formatting marks
// (those of writing direction among them), spaces other than the ASCII one, line separators,
// private and unassignable code points, as \x1b, \u202e or \U000e0001, and bytes that are not
// UTF-8, as \xff. Python refuses a message that is not UTF-8, and a hostile file may hold a key of
// a megabyte.
std::string printable(std::string_view text, std::size_t limit = 80);

// printable(text) between double quotes.
std::string in_quotes(std::string_view text);

}  // namespace memattn
