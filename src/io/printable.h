// Text from files, fit for an error message: short, one line, valid UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace memattn {

// `text` with control characters and bytes that are not UTF-8 written as \xNN, cut with "..." after
// `limit` bytes of input. Python refuses a message that is not UTF-8, and a hostile file may hold a
// key of a megabyte.
std::string printable(std::string_view text, std::size_t limit = 80);

// printable(text) between double quotes.
std::string in_quotes(std::string_view text);

}  // namespace memattn
