// Text from files for error messages: short, one line, valid UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace memattn {

// Returns `text` with an escape for everything that could steer a terminal or hide from a reader,
// cut with "..." after `limit` bytes of input. Escaped as \x1b, \u202e or \U000e0001 are control
// characters, formatting marks (including those of writing direction), spaces other than the ASCII
// one, line separators, and private or unassignable code points. Bytes that are not UTF-8 become
// \xff: Python refuses such a message. The limit is there because a hostile file may hold a key of
// a megabyte.
std::string printable(std::string_view text, std::size_t limit = 80);

// printable(text) between double quotes.
std::string in_quotes(std::string_view text);

}  // namespace memattn
