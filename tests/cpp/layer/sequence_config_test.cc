// The configs of CrossAttention and HierarchicalAttention: their limits and their JSON.
#include <gtest/gtest.h>

#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check.h"
#include "memattn/config.h"

namespace memattn {
namespace {

using Width = std::optional<std::int64_t>;

// The names of corresponding options in the two configs.
template <typename Config>
struct Names;
template <>
struct Names<CrossAttentionConfig> {
  static constexpr std::string_view kLayer = "CrossAttention";
  static constexpr std::string_view kFirst = "source1_units", kSecond = "source2_units";
  static Width& first(CrossAttentionConfig& config) { return config.source1_units; }
  static Width& second(CrossAttentionConfig& config) { return config.source2_units; }
  static CrossAttentionConfig from_json(std::string_view json) {
    return cross_attention_config_from_json(json);
  }
};
template <>
struct Names<HierarchicalAttentionConfig> {
  static constexpr std::string_view kLayer = "HierarchicalAttention";
  static constexpr std::string_view kFirst = "short_units", kSecond = "long_units";
  static Width& first(HierarchicalAttentionConfig& config) { return config.short_units; }
  static Width& second(HierarchicalAttentionConfig& config) { return config.long_units; }
  static HierarchicalAttentionConfig from_json(std::string_view json) {
    return hierarchical_attention_config_from_json(json);
  }
};

// Returns the message of the std::invalid_argument that `work` throws, or "" for none.
template <typename Work>
std::string error_of(const Work& work) {
  try {
    work();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

template <typename Config>
class SequenceConfig : public ::testing::Test {
 protected:
  static Config small() { return {.units = 4, .num_heads = 2}; }
  static Config full() {
    Config config{.units = 4, .num_heads = 2, .key_dim = 7, .value_dim = 8};
    Names<Config>::first(config) = 5;
    Names<Config>::second(config) = 6;
    config.use_bias = false;
    config.dropout = 0.1;
    config.fully_masked = FullyMasked::kUniform;
    config.seed = std::numeric_limits<std::uint64_t>::max();
    return config;
  }

  static std::string invalid(const Config& config) {
    return error_of([&] { config.validate(); });
  }
  static std::string json_error(const std::string& json) {
    return error_of([&] { static_cast<void>(Names<Config>::from_json(json)); });
  }

  // Expects an error that names `option`.
  static void refuse(std::string_view option, const std::function<void(Config&)>& set) {
    Config config{.units = 64, .num_heads = 4, .key_dim = 2, .value_dim = 2};
    set(config);
    const std::string expected = concat(Names<Config>::kLayer, ": ", option, ": found ");
    EXPECT_TRUE(invalid(config).starts_with(expected))
        << "found: " << invalid(config) << "\nexpected: " << expected;
  }
};
using Configs = ::testing::Types<CrossAttentionConfig, HierarchicalAttentionConfig>;
TYPED_TEST_SUITE(SequenceConfig, Configs);

TYPED_TEST(SequenceConfig, UnsetSizesFollowTheOthers) {
  using Named = Names<TypeParam>;
  TypeParam config = this->small();
  EXPECT_EQ(config.resolved_key_dim(), 4);
  EXPECT_EQ(config.resolved_value_dim(), 4);
  config.key_dim = 7;
  EXPECT_EQ(config.resolved_key_dim(), 7);
  EXPECT_EQ(config.resolved_value_dim(), 7);
  config.value_dim = 8;
  EXPECT_EQ(config.resolved_value_dim(), 8);
  Named::first(config) = 5;
  if constexpr (std::same_as<TypeParam, CrossAttentionConfig>) {
    EXPECT_EQ(config.resolved_source1_units(), 5);
    EXPECT_EQ(config.resolved_source2_units(), 4);
    config.source2_units = 6;
    EXPECT_EQ(config.resolved_source2_units(), 6);
  } else {
    EXPECT_EQ(config.resolved_short_units(), 5);
    EXPECT_EQ(config.resolved_long_units(), 4);
    config.long_units = 6;
    EXPECT_EQ(config.resolved_long_units(), 6);
  }
}

TYPED_TEST(SequenceConfig, EveryFieldCountsInComparisons) {
  const std::vector<std::function<void(TypeParam&)>> changes = {
      [](auto& config) { ++config.units; },
      [](auto& config) { ++config.num_heads; },
      [](auto& config) { Names<TypeParam>::first(config) = 9; },
      [](auto& config) { Names<TypeParam>::second(config) = 9; },
      [](auto& config) { config.key_dim = 9; },
      [](auto& config) { config.value_dim = 9; },
      [](auto& config) { config.use_bias = !config.use_bias; },
      [](auto& config) { config.dropout = 0.5; },
      [](auto& config) { config.fully_masked = FullyMasked::kUniform; },
      [](auto& config) { ++config.seed; },
  };
  for (std::size_t i = 0; i < changes.size(); ++i) {
    TypeParam changed = this->small();
    changes[i](changed);
    EXPECT_NE(changed, this->small()) << i;
    EXPECT_NE(to_json(changed), to_json(this->small())) << i;
  }
}

TYPED_TEST(SequenceConfig, ValidateAcceptsValidOptions) {
  EXPECT_EQ(this->invalid(this->small()), "");
  EXPECT_EQ(this->invalid(this->full()), "");
  EXPECT_EQ(this->invalid({.units = 1, .num_heads = 1}), "");
  TypeParam config{.units = 4096, .num_heads = 32, .key_dim = 128};
  Names<TypeParam>::first(config) = Names<TypeParam>::second(config) = 1 << 28;
  EXPECT_EQ(this->invalid(config), "");
  config.dropout = 0.999;
  EXPECT_EQ(this->invalid(config), "");
}

TYPED_TEST(SequenceConfig, ValidateNamesTheFirstInvalidOption) {
  const std::string layer(Names<TypeParam>::kLayer);
  EXPECT_EQ(this->invalid({}), layer + ": units: found 0, expected at least 1");
  EXPECT_EQ(this->invalid({.units = 1}), layer + ": num_heads: found 0, expected at least 1");
  EXPECT_EQ(this->invalid({.units = 1, .num_heads = 1, .key_dim = 0}),
            layer + ": key_dim: found 0, expected at least 1");
  EXPECT_EQ(this->invalid({.units = std::int64_t{1} << 31, .num_heads = 1}),
            layer + ": units: found 2147483648, expected at most 2^31 - 1");
  // 2^16 * 2^24 * 2^24 would wrap around to 0.
  TypeParam config{.units = 1 << 24, .num_heads = 1 << 16, .key_dim = 1 << 24};
  Names<TypeParam>::first(config) = Names<TypeParam>::second(config) = 1;
  EXPECT_EQ(this->invalid(config),
            layer +
                ": num_heads * units * key_dim: found a product above 2^40 values, expected "
                "at most 2^40");
}

TYPED_TEST(SequenceConfig, EveryBadValueOfEveryOptionIsRefused) {
  using Named = Names<TypeParam>;
  constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const std::int64_t size : {kLeast, std::int64_t{-64}, std::int64_t{-1}, std::int64_t{0},
                                  std::int64_t{1} << 31, std::int64_t{1} << 62, kMost}) {
    SCOPED_TRACE(size);
    this->refuse("units", [&](TypeParam& config) { config.units = size; });
    this->refuse("num_heads", [&](TypeParam& config) { config.num_heads = size; });
    this->refuse(Named::kFirst, [&](TypeParam& config) { Named::first(config) = size; });
    this->refuse(Named::kSecond, [&](TypeParam& config) { Named::second(config) = size; });
    this->refuse("key_dim", [&](TypeParam& config) { config.key_dim = size; });
    this->refuse("value_dim", [&](TypeParam& config) { config.value_dim = size; });
  }
  for (const double rate : {-kInfinity, -1.0, -1e-300, 1.0, 2.0, kInfinity, kNan}) {
    SCOPED_TRACE(rate);
    this->refuse("dropout", [&](TypeParam& config) { config.dropout = rate; });
  }
  for (const int value : {-1, 2, 1000}) {
    SCOPED_TRACE(value);
    const auto set = [&](TypeParam& config) {
      config.fully_masked = static_cast<FullyMasked>(value);
    };
    this->refuse("fully_masked", set);
    TypeParam config = this->small();
    set(config);
    EXPECT_THROW(static_cast<void>(to_json(config)), std::invalid_argument);
  }
  // Sizes that are valid one by one.
  constexpr std::int64_t kLarge = (std::int64_t{1} << 31) - 1;
  this->refuse(concat(Named::kFirst, " * units"), [&](TypeParam& config) {
    config.units = kLarge;
    Named::second(config) = 1;
  });
  this->refuse(concat(Named::kSecond, " * units"), [&](TypeParam& config) {
    config.units = 1 << 20;
    Named::first(config) = 1;
    Named::second(config) = kLarge;
  });
  this->refuse("num_heads * units * key_dim", [&](TypeParam& config) {
    config.num_heads = kLarge;
    config.key_dim = kLarge;
  });
  this->refuse("num_heads * units * value_dim", [&](TypeParam& config) {
    config.num_heads = kLarge;
    config.value_dim = kLarge;
  });
}

TEST(SequenceConfigJson, WritesTheKeysInTheOrderOfTheFields) {
  EXPECT_EQ(to_json(CrossAttentionConfig{.units = 4, .num_heads = 2}),
            R"({"units":4,"num_heads":2,"source1_units":null,"source2_units":null,)"
            R"("key_dim":null,"value_dim":null,"use_bias":true,"dropout":0.0,)"
            R"("fully_masked":"zero","seed":0})");
  EXPECT_EQ(to_json(CrossAttentionConfig{.units = 4,
                                         .num_heads = 2,
                                         .source1_units = 5,
                                         .source2_units = 6,
                                         .key_dim = 7,
                                         .value_dim = 8,
                                         .use_bias = false,
                                         .dropout = 0.1,
                                         .fully_masked = FullyMasked::kUniform,
                                         .seed = 9}),
            R"({"units":4,"num_heads":2,"source1_units":5,"source2_units":6,)"
            R"("key_dim":7,"value_dim":8,"use_bias":false,"dropout":0.1,)"
            R"("fully_masked":"uniform","seed":9})");
  EXPECT_EQ(to_json(HierarchicalAttentionConfig{.units = 4, .num_heads = 2, .long_units = 6}),
            R"({"units":4,"num_heads":2,"short_units":null,"long_units":6,)"
            R"("key_dim":null,"value_dim":null,"use_bias":true,"dropout":0.0,)"
            R"("fully_masked":"zero","seed":0})");
}

TYPED_TEST(SequenceConfig, JsonReadsBackEveryConfig) {
  using Named = Names<TypeParam>;
  std::mt19937_64 random(1);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
  };
  for (int i = 0; i < 1000; ++i) {
    TypeParam config{.units = 1 + below(100), .num_heads = 1 + below(9)};
    if (below(2)) Named::first(config) = 1 + below(50);
    if (below(2)) Named::second(config) = 1 + below(50);
    if (below(2)) config.key_dim = 1 + below(50);
    if (below(2)) config.value_dim = 1 + below(50);
    config.use_bias = below(2);
    config.dropout = static_cast<double>(random() >> 11) * 0x1p-53;
    config.fully_masked = below(2) ? FullyMasked::kZero : FullyMasked::kUniform;
    config.seed = random();
    const std::string json = to_json(config);
    EXPECT_EQ(Named::from_json(json), config) << json;
    EXPECT_EQ(to_json(Named::from_json(json)), json);
  }
}

TYPED_TEST(SequenceConfig, JsonFillsInTheDefaults) {
  EXPECT_EQ(Names<TypeParam>::from_json(R"({"units":4,"num_heads":2})"), this->small());
  EXPECT_EQ(Names<TypeParam>::from_json(
                R"( {"num_heads": 2, "key_dim": null, "dropout": 0, "units": 4} )"),
            this->small());
}

TYPED_TEST(SequenceConfig, JsonThatIsNotAConfigIsRefused) {
  const std::string function(Names<TypeParam>::kLayer);
  for (const std::string json :
       {"", "[]", "1", "null", "{", "{}", "{}{}", "{\"units\":4}", "nan"}) {
    const std::string error = this->json_error(json);
    EXPECT_TRUE(error.starts_with(function + ": json: found ") ||
                error.starts_with(function + ": json: byte "))
        << error;
  }
  EXPECT_EQ(this->json_error(R"({"units":4})"),
            function + ": json: found no key \"num_heads\", expected one");
  EXPECT_EQ(this->json_error(R"({"num_heads":4})"),
            function + ": json: found no key \"units\", expected one");
  EXPECT_NE(this->json_error(std::string(100000, '[')), "");
}

TYPED_TEST(SequenceConfig, JsonWithWrongKeysTypesOrValuesIsRefused) {
  using Named = Names<TypeParam>;
  const std::string function(Named::kLayer);
  const auto with = [&](const std::string& more) {
    return this->json_error(R"({"units":4,"num_heads":2,)" + more + "}");
  };
  const auto expect_found = [&](const std::string& key, const std::string& value) {
    const std::string error = with("\"" + key + "\":" + value);
    EXPECT_TRUE(error.starts_with(function + ": " + key + ": found ")) << value << ": " << error;
  };
  EXPECT_EQ(with(R"("dropout":0.5)"), "");
  EXPECT_NE(with(R"("units":4)").find("second key \"units\""), std::string::npos);
  // The keys of other layers are not options of this one.
  for (const std::string key :
       {"depth", "memory_size", "residual", "memory_initializer", "units "}) {
    EXPECT_EQ(with("\"" + key + "\":1"),
              concat(function, ": json: found key \"", key,
                     "\", expected one of units, num_heads, ", Named::kFirst, ", ", Named::kSecond,
                     ", key_dim, value_dim, use_bias, dropout, fully_masked, seed, precision"));
  }
  EXPECT_EQ(with(R"("key_dim":0)"),
            concat(Named::kLayer, ": key_dim: found 0, expected at least 1"));
  EXPECT_EQ(with(concat("\"", Named::kSecond, "\":-3")),
            concat(Named::kLayer, ": ", Named::kSecond, ": found -3, expected at least 1"));
  EXPECT_EQ(with(R"("dropout":1)"),
            concat(Named::kLayer, ": dropout: found 1, expected at least 0 and below 1"));
  for (const std::string& key : {std::string(Named::kFirst), std::string(Named::kSecond),
                                 std::string("key_dim"), std::string("value_dim")}) {
    for (const std::string value :
         {"\"4\"", "4.0", "true", "[4]", "{}", "9223372036854775808", "1e3"}) {
      expect_found(key, value);
    }
  }
  for (const std::string value : {"1", "null", "\"true\"", "[]"}) expect_found("use_bias", value);
  for (const std::string value : {"null", "\"0\"", "true", "{}"}) expect_found("dropout", value);
  for (const std::string value : {"-1", "1.0", "null", "\"1\""}) expect_found("seed", value);
  for (const std::string value : {"null", "0", "\"Zero\"", "\"\""}) {
    expect_found("fully_masked", value);
  }
}

}  // namespace
}  // namespace memattn
