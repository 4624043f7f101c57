// The config: its JSON, its limits and its warnings.
#include "memattn/config.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "memattn/memory_augmented_attention.h"

namespace memattn {
namespace {

using Kind = MemoryInitializer::Kind;

MemoryAugmentedAttentionConfig small() { return {.units = 4, .memory_size = 3, .num_heads = 2}; }

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

std::string invalid(const MemoryAugmentedAttentionConfig& config) {
  return error_of([&] { config.validate(); });
}

std::string json_error(const std::string& json) {
  return error_of([&] { static_cast<void>(config_from_json(json)); });
}

TEST(MemoryAugmentedAttentionConfig, ValidateAcceptsValidOptions) {
  EXPECT_EQ(invalid(small()), "");
  EXPECT_EQ(invalid({.units = 1, .memory_size = 1, .num_heads = 1, .key_dim = 1, .value_dim = 1}),
            "");
  EXPECT_EQ(invalid({.units = 4096, .memory_size = 16384, .num_heads = 32, .key_dim = 128}), "");
  MemoryAugmentedAttentionConfig config = small();
  config.dropout = 0.999;
  config.memory_initializer = {Kind::kZeros, -1};  // stddev applies to kNormal only
  EXPECT_EQ(invalid(config), "");
}

TEST(MemoryAugmentedAttentionConfig, ValidateNamesTheFirstInvalidOption) {
  EXPECT_EQ(invalid({}), "MemoryAugmentedAttention: units: found 0, expected at least 1");
  EXPECT_EQ(invalid({.units = 1}),
            "MemoryAugmentedAttention: memory_size: found 0, expected at least 1");
  EXPECT_EQ(invalid({.units = 1, .memory_size = 1}),
            "MemoryAugmentedAttention: num_heads: found 0, expected at least 1");
  MemoryAugmentedAttentionConfig config = small();
  config.key_dim = 0;
  EXPECT_EQ(invalid(config), "MemoryAugmentedAttention: key_dim: found 0, expected at least 1");
  config = small();
  config.value_dim = -7;
  EXPECT_EQ(invalid(config), "MemoryAugmentedAttention: value_dim: found -7, expected at least 1");
  for (const double dropout : {-0.1, 1.0, 2.0, std::numeric_limits<double>::infinity(),
                               std::numeric_limits<double>::quiet_NaN()}) {
    config = small();
    config.dropout = dropout;
    EXPECT_TRUE(invalid(config).starts_with("MemoryAugmentedAttention: dropout: found "))
        << dropout;
  }
  for (const double stddev : {0.0, -1.0, std::numeric_limits<double>::infinity(),
                              std::numeric_limits<double>::quiet_NaN()}) {
    config = small();
    config.memory_initializer.stddev = stddev;
    EXPECT_TRUE(
        invalid(config).starts_with("MemoryAugmentedAttention: memory_initializer.stddev: found "))
        << stddev;
  }
}

TEST(MemoryAugmentedAttentionConfig, ValidateRefusesSizesThatWouldOverflow) {
  const std::int64_t most = std::numeric_limits<std::int32_t>::max();
  EXPECT_EQ(invalid({.units = most + 1, .memory_size = 1, .num_heads = 1}),
            "MemoryAugmentedAttention: units: found 2147483648, expected at most 2^31 - 1");
  EXPECT_NE(invalid({.units = std::numeric_limits<std::int64_t>::max(),
                     .memory_size = std::numeric_limits<std::int64_t>::max(),
                     .num_heads = std::numeric_limits<std::int64_t>::max()}),
            "");
  EXPECT_NE(invalid({.units = most, .memory_size = most, .num_heads = most}), "");
  EXPECT_NE(invalid({.units = 1, .memory_size = most, .num_heads = most}), "");
  EXPECT_NE(invalid({.units = 1, .memory_size = 1, .num_heads = most, .key_dim = most}), "");
  EXPECT_NE(
      invalid({.units = 1, .memory_size = 1, .num_heads = most, .key_dim = 1, .value_dim = most}),
      "");
  EXPECT_NE(invalid({.units = 1 << 20, .memory_size = (1 << 20) + 1, .num_heads = 1, .key_dim = 1}),
            "");
  // 2^16 * 2^24 * 2^24 would wrap around to 0.
  EXPECT_EQ(invalid({.units = 1 << 24, .memory_size = 1, .num_heads = 1 << 16, .key_dim = 1 << 24}),
            "MemoryAugmentedAttention: num_heads * units * key_dim: found a product above 2^40 "
            "values, expected at "
            "most 2^40");
  // Few weights, and a thousand times more values computed from them.
  EXPECT_NE(invalid({.units = 1, .memory_size = 50000, .num_heads = 50000}), "");
  EXPECT_EQ(invalid({.units = 1, .memory_size = 2000, .num_heads = 2000}), "");
}

// Every bad value of every option, in every constructor: nothing is drawn, multiplied or allocated
// before the option is found and named.
template <typename T>
void expect_refused(const MemoryAugmentedAttentionConfig& config, std::string_view option) {
  const std::string message = concat("MemoryAugmentedAttention: ", option, ": found ");
  const auto check = [&](const std::string& error) {
    EXPECT_TRUE(error.starts_with(message)) << "found: " << error << "\nexpected: " << message;
  };
  check(error_of([&] { MemoryAugmentedAttention<T> layer(config); }));
  const std::vector<T> parameters(100, T(1));
  check(error_of([&] { MemoryAugmentedAttention<T> layer(config, parameters); }));
  check(invalid(config));
}

TEST(MemoryAugmentedAttentionConfig, EveryBadValueOfEveryOptionIsRefusedByEveryConstructor) {
  using Config = MemoryAugmentedAttentionConfig;
  const auto refuse = [](std::string_view option, const auto& set) {
    Config config{.units = 64, .memory_size = 8, .num_heads = 4, .key_dim = 2, .value_dim = 2};
    set(config);
    expect_refused<float>(config, option);
    expect_refused<double>(config, option);
  };
  constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const std::int64_t size : {kLeast, std::int64_t{-64}, std::int64_t{-1}, std::int64_t{0},
                                  std::int64_t{1} << 31, std::int64_t{1} << 62, kMost}) {
    SCOPED_TRACE(size);
    refuse("units", [&](Config& config) { config.units = size; });
    refuse("memory_size", [&](Config& config) { config.memory_size = size; });
    refuse("num_heads", [&](Config& config) { config.num_heads = size; });
    refuse("key_dim", [&](Config& config) { config.key_dim = size; });
    refuse("value_dim", [&](Config& config) { config.value_dim = size; });
  }
  for (const double rate : {-kInfinity, -1.0, -1e-300, 1.0, 2.0, kInfinity, kNan}) {
    SCOPED_TRACE(rate);
    refuse("dropout", [&](Config& config) { config.dropout = rate; });
  }
  for (const double stddev : {-kInfinity, -1.0, 0.0, kInfinity, kNan}) {
    SCOPED_TRACE(stddev);
    refuse("memory_initializer.stddev",
           [&](Config& config) { config.memory_initializer.stddev = stddev; });
  }
  for (const int value : {-1, 3, 1000}) {
    SCOPED_TRACE(value);
    refuse("memory_initializer.kind",
           [&](Config& config) { config.memory_initializer.kind = static_cast<Kind>(value); });
    refuse("fully_masked",
           [&](Config& config) { config.fully_masked = static_cast<FullyMasked>(value); });
  }
  // Sizes that are valid one by one.
  constexpr std::int64_t kLarge = (std::int64_t{1} << 31) - 1;
  refuse("memory_size * units",
         [&](Config& config) { config.units = config.memory_size = kLarge; });
  refuse("num_heads * units * key_dim", [&](Config& config) {
    config.num_heads = kLarge;
    config.key_dim = kLarge;
  });
  refuse("num_heads * units * value_dim", [&](Config& config) {
    config.num_heads = kLarge;
    config.value_dim = kLarge;
  });
  refuse("num_heads * memory_size * units", [](Config& config) {
    config.units = 1 << 20;
    config.memory_size = 1 << 19;
  });
  refuse("num_heads * memory_size", [](Config& config) {
    config.units = 1;
    config.memory_size = config.num_heads = 100'000;
  });
}

TEST(MemoryAugmentedAttentionConfig, WarnsAboutAMemoryOfZeros) {
  EXPECT_TRUE(small().warnings().empty());
  MemoryAugmentedAttentionConfig config = small();
  config.memory_initializer.kind = Kind::kZeros;
  ASSERT_EQ(config.warnings().size(), 1u);
  const std::string warning = config.warnings().front();
  for (const std::string word : {"zeros", "same gradient", "equal forever", "constant", "normal"}) {
    EXPECT_NE(warning.find(word), std::string::npos) << word;
  }
}

TEST(ConfigJson, WritesTheKeysInTheOrderOfTheFields) {
  EXPECT_EQ(to_json(small()),
            R"({"units":4,"memory_size":3,"num_heads":2,"key_dim":null,"value_dim":null,)"
            R"("use_bias":true,"residual":true,"dropout":0.0,"fully_masked":"zero",)"
            R"("memory_initializer":{"kind":"normal","stddev":1.0},"seed":0})");
  MemoryAugmentedAttentionConfig config = small();
  config.key_dim = 5;
  config.value_dim = 6;
  config.use_bias = config.residual = false;
  config.dropout = 0.1;
  config.fully_masked = FullyMasked::kUniform;
  config.memory_initializer = {.kind = Kind::kGlorotUniform};
  config.seed = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(to_json(config),
            R"({"units":4,"memory_size":3,"num_heads":2,"key_dim":5,"value_dim":6,)"
            R"("use_bias":false,"residual":false,"dropout":0.1,"fully_masked":"uniform",)"
            R"("memory_initializer":{"kind":"glorot_uniform"},"seed":18446744073709551615})");
}

TEST(ConfigJson, ReadsBackEveryConfig) {
  std::mt19937_64 random(1);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
  };
  for (int i = 0; i < 1000; ++i) {
    MemoryAugmentedAttentionConfig config = {
        .units = 1 + below(100), .memory_size = 1 + below(100), .num_heads = 1 + below(9)};
    if (below(2)) config.key_dim = 1 + below(50);
    if (below(2)) config.value_dim = 1 + below(50);
    config.use_bias = below(2);
    config.residual = below(2);
    config.dropout = static_cast<double>(random() >> 11) * 0x1p-53;
    config.fully_masked = below(2) ? FullyMasked::kZero : FullyMasked::kUniform;
    config.memory_initializer.kind = static_cast<Kind>(below(3));
    if (config.memory_initializer.kind == Kind::kNormal) {
      config.memory_initializer.stddev = static_cast<double>(1 + below(1000)) / 7;
    }
    config.seed = random();
    const std::string json = to_json(config);
    EXPECT_EQ(config_from_json(json), config) << json;
    EXPECT_EQ(to_json(config_from_json(json)), json);
  }
}

TEST(ConfigJson, FillsInTheDefaults) {
  EXPECT_EQ(config_from_json(R"({"units":4,"memory_size":3,"num_heads":2})"), small());
  EXPECT_EQ(
      config_from_json(
          R"( {"num_heads": 2, "key_dim": null, "memory_size": 3, "dropout": 0, "units": 4} )"),
      small());
}

TEST(ConfigJson, AcceptsAnInitializerByName) {
  const auto initializer = [](const std::string& json) {
    return config_from_json(R"({"units":4,"memory_size":3,"num_heads":2,"memory_initializer":)" +
                            json + "}")
        .memory_initializer;
  };
  EXPECT_EQ(initializer("\"normal\""), (MemoryInitializer{Kind::kNormal, 1.0}));
  EXPECT_EQ(initializer("\"glorot_uniform\"").kind, Kind::kGlorotUniform);
  EXPECT_EQ(initializer("\"zeros\"").kind, Kind::kZeros);
  EXPECT_EQ(initializer(R"({"kind":"normal"})"), (MemoryInitializer{Kind::kNormal, 1.0}));
  EXPECT_EQ(initializer(R"({"kind":"normal","stddev":2})"),
            (MemoryInitializer{Kind::kNormal, 2.0}));
}

TEST(ConfigJson, RefusesTextThatIsNotAConfig) {
  for (const std::string json :
       {"", "[]", "1", "null", "{", "{}", "{}{}", "{\"units\":4}", "nan"}) {
    EXPECT_TRUE(json_error(json).starts_with("MemoryAugmentedAttention: json: found ") ||
                json_error(json).starts_with("MemoryAugmentedAttention: json: byte "))
        << json_error(json);
  }
  EXPECT_EQ(json_error(R"({"units":4,"memory_size":3})"),
            "MemoryAugmentedAttention: json: found no key \"num_heads\", expected one");
  EXPECT_NE(json_error(std::string(100000, '[')), "");
}

TEST(ConfigJson, RefusesWrongKeysTypesAndValues) {
  const auto with = [](const std::string& more) {
    return json_error(R"({"units":4,"memory_size":3,"num_heads":2,)" + more + "}");
  };
  EXPECT_EQ(with(R"("dropout":0.5)"), "");
  EXPECT_NE(with(R"("units":4)").find("second key \"units\""), std::string::npos);
  EXPECT_NE(with(R"("memory_initializer":{"kind":"zeros","kind":"zeros"})").find("second key"),
            std::string::npos);
  EXPECT_NE(with(R"("depth":4)").find("key \"depth\", expected one of units"), std::string::npos);
  EXPECT_EQ(with(R"("key_dim":0)"),
            "MemoryAugmentedAttention: key_dim: found 0, expected at least 1");
  EXPECT_EQ(with(R"("dropout":1)"),
            "MemoryAugmentedAttention: dropout: found 1, expected at least 0 and below 1");
  for (const std::string value :
       {"\"4\"", "4.0", "true", "[4]", "{}", "9223372036854775808", "1e3"}) {
    EXPECT_TRUE(
        with("\"key_dim\":" + value).starts_with("MemoryAugmentedAttention: key_dim: found "))
        << value;
  }
  for (const std::string value : {"1", "null", "\"true\"", "[]"}) {
    EXPECT_TRUE(
        with("\"use_bias\":" + value).starts_with("MemoryAugmentedAttention: use_bias: found "));
    EXPECT_TRUE(
        with("\"residual\":" + value).starts_with("MemoryAugmentedAttention: residual: found "));
  }
  for (const std::string value : {"null", "\"0\"", "true", "{}"}) {
    EXPECT_TRUE(
        with("\"dropout\":" + value).starts_with("MemoryAugmentedAttention: dropout: found "));
  }
  for (const std::string value : {"-1", "1.0", "null", "\"1\""}) {
    EXPECT_TRUE(with("\"seed\":" + value).starts_with("MemoryAugmentedAttention: seed: found "));
  }
  EXPECT_NE(with("\"seed\":18446744073709551616").find("one of 64 bits"), std::string::npos);
  for (const std::string value : {"null", "0", "\"Zero\"", "\"\""}) {
    EXPECT_TRUE(
        with("\"fully_masked\":" + value).ends_with("expected one of \"zero\", \"uniform\""));
  }
  for (const std::string value :
       {"null", "1", "\"ones\"", "{}", "[]", R"({"kind":"ones"})", R"({"kind":1})",
        R"({"kind":"zeros","stddev":1})", R"({"kind":"normal","mean":1})",
        R"({"kind":"normal","stddev":"1"})", R"({"kind":"normal","stddev":0})",
        R"({"kind":"normal","stddev":-1})", R"({"stddev":1})"}) {
    EXPECT_NE(with("\"memory_initializer\":" + value).find("memory_initializer"), std::string::npos)
        << value;
  }
}

}  // namespace
}  // namespace memattn
