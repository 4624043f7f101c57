// printable() turns any bytes into a short line of text.
#include "io/printable.h"

#include <gtest/gtest.h>

#include <string>

namespace memattn {
namespace {

TEST(Printable, KeepsTextAndUtf8) {
  EXPECT_EQ(printable("memory"), "memory");
  EXPECT_EQ(printable("Gedächtnis \u8a18\u61b6 \U0001F9E0"), "Gedächtnis \u8a18\u61b6 \U0001F9E0");
  EXPECT_EQ(printable(""), "");
  EXPECT_EQ(in_quotes("key"), "\"key\"");
}

TEST(Printable, EscapesControlCharacters) {
  EXPECT_EQ(printable(std::string_view("a\0b\n\x7f", 5)), "a\\x00b\\x0a\\x7f");
}

TEST(Printable, EscapesTextThatSteersATerminalOrHides) {
  EXPECT_EQ(printable("\u009b31m"), "\\x9b31m");  // a C1 control: CSI in one character
  EXPECT_EQ(printable("\u0080\u00a0\u00ad"), "\\x80\\xa0\\xad");
  EXPECT_EQ(printable("a\u202eb"), "a\\u202eb");  // right-to-left override
  EXPECT_EQ(printable("\u061c\u200e\u200f\u2028\u2029\u2066\u2069\ufeff"),
            "\\u061c\\u200e\\u200f\\u2028\\u2029\\u2066\\u2069\\ufeff");
  EXPECT_EQ(printable("\u200b\u3000\ue000\ufdd0\uffff"), "\\u200b\\u3000\\ue000\\ufdd0\\uffff");
  EXPECT_EQ(printable("\U000e0041\U0010ffff"), "\\U000e0041\\U0010ffff");
}

// The characters before and after each escaped range.
TEST(Printable, KeepsTheNeighboursOfEscapedRanges) {
  for (const char* const text :
       {" ",      "~",      "\u00a1", "\u00ac", "\u00ae", "\u2010",     "\u2027",
        "\u2030", "\u205e", "\u2070", "\u3001", "\ud7ff", "\uf900",     "\ufdcf",
        "\ufdf0", "\ufefc", "\uff01", "\ufffc", "\ufffd", "\U00010000", "\U000e0100"}) {
    EXPECT_EQ(printable(text), text);
  }
}

TEST(Printable, EscapesBytesThatAreNotUtf8) {
  EXPECT_EQ(printable("\x80"), "\\x80");                             // continuation alone
  EXPECT_EQ(printable("\xC3"), "\\xc3");                             // cut short
  EXPECT_EQ(printable("\xC0\xAF"), "\\xc0\\xaf");                    // overlong, 2 bytes
  EXPECT_EQ(printable("\xE0\x80\x80"), "\\xe0\\x80\\x80");           // overlong, 3 bytes
  EXPECT_EQ(printable("\xED\xA0\x80"), "\\xed\\xa0\\x80");           // surrogate
  EXPECT_EQ(printable("\xF0\x80\x80\x80"), "\\xf0\\x80\\x80\\x80");  // overlong, 4 bytes
  EXPECT_EQ(printable("\xF4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // above U+10FFFF
  EXPECT_EQ(printable("\xFF\xFE"), "\\xff\\xfe");
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(printable("abcdef", 3), "abc...");
  EXPECT_EQ(printable("abc", 3), "abc");
  EXPECT_EQ(printable("aäb", 2), "a...");
  EXPECT_LT(printable(std::string(1 << 20, 'x')).size(), 100u);
}

}  // namespace
}  // namespace memattn
