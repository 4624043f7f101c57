// Written JSON: equal values give equal text, which parses to the same values.
#include "io/json_writer.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "io/json.h"

namespace memattn {
namespace {

using Limits = std::numeric_limits<double>;

TEST(JsonText, WritesIntegersAndTruthValues) {
  EXPECT_EQ(json_text(std::int64_t{-3}), "-3");
  EXPECT_EQ(json_text(std::numeric_limits<std::uint64_t>::max()), "18446744073709551615");
  EXPECT_EQ(json_text(true), "true");
  EXPECT_EQ(json_text(false), "false");
  EXPECT_EQ(json_text(std::vector<std::int64_t>{}), "[]");
  EXPECT_EQ(json_text(std::vector<std::int64_t>{7}), "[7]");
  EXPECT_EQ(json_text(std::vector<std::int64_t>{1, -2, 3}), "[1,-2,3]");
}

// The digits are part of the file format: a layer must give the same file in every version.
TEST(JsonText, WritesDoublesLikeEarlierVersions) {
  EXPECT_EQ(json_text(0.0), "0.0");
  EXPECT_EQ(json_text(-0.0), "-0.0");
  EXPECT_EQ(json_text(1.0), "1.0");
  EXPECT_EQ(json_text(0.1), "0.1");
  EXPECT_EQ(json_text(0.05), "0.05");
  EXPECT_EQ(json_text(1.0 / 3), "0.3333333333333333");
  EXPECT_EQ(json_text(1e-5), "1e-05");
  EXPECT_EQ(json_text(123456789.0), "123456789.0");
  EXPECT_EQ(json_text(1e300), "1e+300");
  EXPECT_EQ(json_text(Limits::max()), "1.7976931348623157e+308");
  EXPECT_EQ(json_text(Limits::denorm_min()), "5e-324");
  EXPECT_EQ(json_text(Limits::infinity()), "null");
  EXPECT_EQ(json_text(Limits::quiet_NaN()), "null");
}

TEST(JsonText, DoublesSurviveARoundTripToTheBit) {
  std::mt19937_64 bits(1);
  for (int i = 0; i < 10000; ++i) {
    const double value = std::bit_cast<double>(bits());
    if (!std::isfinite(value)) continue;
    EXPECT_EQ(parse_json(json_text(value)).number(), value) << json_text(value);
  }
}

TEST(JsonText, EscapesTheCharactersThatJsonRequires) {
  EXPECT_EQ(json_text("memory"), "\"memory\"");
  EXPECT_EQ(json_text(""), "\"\"");
  EXPECT_EQ(json_text("a\"b\\c/"), R"("a\"b\\c/")");
  EXPECT_EQ(json_text("\b\f\n\r\t"), R"("\b\f\n\r\t")");
  EXPECT_EQ(json_text(std::string_view("\0\x1b\x1f\x7f", 4)), "\"\\u0000\\u001b\\u001f\x7f\"");
  EXPECT_EQ(json_text("ä\U0001F9E0"), "\"ä\U0001F9E0\"");
}

TEST(JsonText, EveryCharacterSurvivesARoundTrip) {
  std::string text;
  for (int c = 0; c < 0x80; ++c) text += static_cast<char>(c);
  const JsonValue value = parse_json(json_text(text));
  ASSERT_NE(value.string(), nullptr);
  EXPECT_EQ(*value.string(), text);
}

TEST(JsonText, RefusesTextThatIsNotUtf8) {
  for (const char* const text : {"\xff", "a\xc3", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80"}) {
    EXPECT_THROW(json_text(text), std::invalid_argument);
  }
}

TEST(JsonObjectWriter, KeepsTheOrderOfItsMembers) {
  JsonObjectWriter object;
  EXPECT_TRUE(object.empty());
  EXPECT_EQ(object.text(), "{}");
  object.add("z", 1);
  object.add("a\n", "text");
  object.add("x", 0.5);
  object.add("flag", true);
  object.add("shape", std::vector<std::int64_t>{2, 3});
  object.add_text("none", "null");
  EXPECT_FALSE(object.empty());
  EXPECT_EQ(object.text(), R"({"z":1,"a\n":"text","x":0.5,"flag":true,"shape":[2,3],"none":null})");
}

}  // namespace
}  // namespace memattn
