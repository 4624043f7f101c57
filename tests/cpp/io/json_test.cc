// Strict JSON: accepted and refused texts, and the messages of the refusals.
#include "io/json.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace memattn {
namespace {

// Returns the message of the JsonError for `text`; empty if it parses.
std::string error_of(std::string_view text, const JsonLimits& limits = {}) {
  try {
    parse_json(text, limits);
  } catch (const JsonError& error) {
    return error.what();
  }
  return "";
}

TEST(ParseJson, ReadsEveryKindOfValue) {
  const JsonValue value = parse_json(
      R"( {"a": [1, -2, 0.5, 1e3], "b": {"c": null, "d": true}, "e": "\u00e4\ud83e\udde0"} )");
  ASSERT_NE(value.object(), nullptr);
  const JsonObject& object = *value.object();
  const JsonArray& a = *object.at("a").array();
  ASSERT_EQ(a.size(), 4u);
  EXPECT_EQ(a[0].natural(), 1u);
  EXPECT_EQ(a[0].integer(), 1);
  EXPECT_EQ(a[1].integer(), -2);
  EXPECT_EQ(a[1].natural(), std::nullopt);
  EXPECT_EQ(a[1].number(), -2.0);
  EXPECT_EQ(a[2].number(), 0.5);
  EXPECT_EQ(a[3].number(), 1000.0);
  EXPECT_EQ(a[3].integer(), std::nullopt) << "not written as an integer";
  EXPECT_EQ(a[3].string(), nullptr);
  const JsonObject& b = *object.at("b").object();
  EXPECT_TRUE(b.at("c").is_null());
  EXPECT_EQ(b.at("c").number(), std::nullopt);
  EXPECT_TRUE(*b.at("d").boolean());
  EXPECT_EQ(*object.at("e").string(), "ä\U0001F9E0");
  EXPECT_EQ(parse_json("7").number(), 7.0);
  const JsonValue nested = parse_json("[[], {}, [[]]]");
  ASSERT_EQ(nested.array()->size(), 3u);
  EXPECT_TRUE((*nested.array())[0].array()->empty());
  EXPECT_TRUE((*nested.array())[1].object()->empty());
  EXPECT_EQ((*nested.array())[2].array()->size(), 1u);
}

TEST(ParseJson, KeepsIntegersOf64BitsExactAndRefusesLargerOnes) {
  EXPECT_EQ(parse_json("18446744073709551615").natural(), 18446744073709551615u);
  EXPECT_EQ(parse_json("18446744073709551615").integer(), std::nullopt);
  EXPECT_EQ(parse_json("9223372036854775807").integer(), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(parse_json("-9223372036854775808").integer(), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(error_of("[18446744073709551616]"),
            "byte 22: found the integer 18446744073709551616, expected one of 64 bits");
  EXPECT_NE(error_of("-9223372036854775809"), "");
  EXPECT_NE(error_of(std::string(5000, '9')), "");
}

TEST(ParseJson, RefusesDuplicateKeysAtEveryLevel) {
  EXPECT_EQ(error_of(R"({"a": 1, "a": 2})"),
            "byte 12: found a second key \"a\", expected each key once in an object");
  EXPECT_NE(error_of(R"({"x": {"a": 1, "b": 2, "a": 1}})"), "");
  EXPECT_NE(error_of(R"([[{"x": [{"a": {}, "a": {}}]}]])"), "");
  EXPECT_NE(error_of(R"({"a": 1, "\u0061": 2})"), "") << "the same key in another spelling";
  EXPECT_EQ(error_of(R"({"a": {"a": {"a": 1}}, "b": {"a": 1}})"), "") << "not duplicates";
}

TEST(ParseJson, RefusesMalformedText) {
  for (const std::string_view text : {"",
                                      " ",
                                      "{",
                                      "}",
                                      "[1,]",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1,}",
                                      "{a:1}",
                                      "{'a':1}",
                                      "[1 2]",
                                      "1 2",
                                      "{} {}",
                                      "nul",
                                      "True",
                                      "NaN",
                                      "Infinity",
                                      "-Infinity",
                                      "01",
                                      "+1",
                                      ".5",
                                      "1.",
                                      "1e",
                                      "0x10",
                                      "1e999",
                                      "-1e999",
                                      "\"",
                                      "\"\\x\"",
                                      "\"\\u12\"",
                                      "\"\\ud800\"",
                                      "\"\\udc00\"",
                                      "\"\t\"",
                                      "\"\n\"",
                                      "// c\n1",
                                      "/* c */ 1",
                                      "\"\xff\"",
                                      "\"\xc0\xaf\"",
                                      "\"\xed\xa0\x80\"",
                                      "\"\xf4\x90\x80\x80\"",
                                      "\xEF\xBB\xBF{}",
                                      "[1]x"}) {
    EXPECT_NE(error_of(text), "") << text;
  }
}

TEST(ParseJson, RefusesNulBytesEvenAfterTheValue) {
  using std::string_view_literals::operator""sv;
  EXPECT_EQ(error_of("{}\0{"sv), "byte 3: found a NUL byte, expected JSON without NUL bytes");
  EXPECT_NE(error_of("\"\0\""sv), "");
}

TEST(ParseJson, LimitsDepth) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_EQ(error_of(nested(32)), "");
  EXPECT_EQ(error_of(nested(33)), "byte 33: found nesting deeper than 32, expected at most 32");
  EXPECT_NE(error_of(nested(100000)), "");
  EXPECT_NE(error_of(std::string(1000000, '[')), "");
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  EXPECT_NE(error_of(objects), "");
}

TEST(ParseJson, LimitsTheNumberOfValues) {
  EXPECT_EQ(error_of("[1,2,3]", {.values = 4}), "");
  EXPECT_EQ(error_of("[1,2,3]", {.values = 3}),
            "byte 7: found more than 3 JSON values, expected at most 3");
  EXPECT_EQ(error_of(R"({"a":1})", {.values = 3}), "");
  EXPECT_NE(error_of(R"({"a":1})", {.values = 2}), "");
}

TEST(ParseJson, MessagesAreShortAndPrintable) {
  for (const std::string& text :
       {std::string(1 << 20, '\xff'), '"' + std::string(1 << 20, '\xff') + '"',
        "{\"" + std::string(1 << 20, 'k') + "\" 1}", '"' + std::string(1 << 20, '\x01')}) {
    const std::string message = error_of(text);
    EXPECT_NE(message, "");
    EXPECT_LT(message.size(), 600u);
    for (const char c : message) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << message;
  }
}

TEST(ParseJson, SyntaxErrorsSayThePositionAndTheReason) {
  const std::string message = error_of("{\"a\": nil}");
  EXPECT_TRUE(message.starts_with("byte 8: found malformed JSON (")) << message;
  EXPECT_NE(message.find("invalid literal"), std::string::npos) << message;
}

TEST(Describe, IsShort) {
  const auto described = [](std::string_view text) { return describe(parse_json(text)); };
  EXPECT_EQ(described("-3"), "-3");
  EXPECT_EQ(described("18446744073709551615"), "18446744073709551615");
  EXPECT_EQ(described("1e3"), "1000.0");
  EXPECT_EQ(described("-0.1"), "-0.1");
  EXPECT_EQ(described("true"), "true");
  EXPECT_EQ(described("null"), "null");
  EXPECT_EQ(described(R"("x\ny")"), "the string \"x\\x0ay\"");
  EXPECT_EQ(described("[1]"), "an array");
  EXPECT_EQ(described("{}"), "an object");
  EXPECT_LT(described('"' + std::string(1000, 'x') + '"').size(), 120u);
}

}  // namespace
}  // namespace memattn
