// Options that cannot be: each field of its own, and sizes that are too large together.
#include "forecast/panel_options.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "forecast/panel_example.h"
#include "forecast/panel_member.h"
#include "testing/arrays.h"

namespace memattn {
namespace {

using testing::message_of;

using Change = std::function<void(PanelForecasterOptions&)>;

std::string refused(const Change& change) {
  PanelForecasterOptions these = options();
  change(these);
  const std::string message = message_of([&] { PanelForecaster forecaster(these); });
  // Counting refuses what construction refuses, with the same words.
  EXPECT_EQ(message_of([&] { static_cast<void>(these.count_member_params()); }), message);
  return message;
}

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t kSmallest = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();

struct SizeField {
  const char* name;
  std::int64_t PanelForecasterOptions::* field;
  std::int64_t smallest;  // that is valid
};

const SizeField kSizes[] = {
    {"horizon", &PanelForecasterOptions::horizon, 1},
    {"season", &PanelForecasterOptions::season, 1},
    {"seeds", &PanelForecasterOptions::seeds, 1},
    {"min_history", &PanelForecasterOptions::min_history, 1},
    {"units", &PanelForecasterOptions::units, 1},
    {"memory_size", &PanelForecasterOptions::memory_size, 1},
    {"num_heads", &PanelForecasterOptions::num_heads, 1},
    {"layers", &PanelForecasterOptions::layers, 0},
    {"steps", &PanelForecasterOptions::steps, 1},
    {"batch_size", &PanelForecasterOptions::batch_size, 1},
    {"warm_up", &PanelForecasterOptions::warm_up, 0},
};

TEST(PanelForecasterOptions, SizesAreCheckedOneByOne) {
  for (const auto& [name, field, smallest] : kSizes) {
    const std::string start = std::string("PanelForecasterOptions: ") + name + ": found ";
    for (const std::int64_t bad : {smallest - 1, kSmallest, kLargest, std::int64_t{1} << 31}) {
      const std::string found = refused([&, field = field](auto& o) { o.*field = bad; });
      EXPECT_TRUE(found.starts_with(start + std::to_string(bad))) << found;
    }
  }
}

// Valid by themselves: then a product with another one is what is too large, or nothing is.
TEST(PanelForecasterOptions, ProductsThatOverflowAreRefused) {
  for (const auto& [name, field, smallest] : kSizes) {
    const std::string option = name;
    if (option == "min_history" || option == "steps" || option == "warm_up") continue;
    const std::string found =
        refused([field = field](auto& o) { o.*field = std::numeric_limits<std::int32_t>::max(); });
    EXPECT_TRUE(found.starts_with("PanelForecasterOptions: ")) << found;
    EXPECT_NE(found.substr(0, found.find(": found")).find(option), std::string::npos) << found;
  }
  const Change all_large = [](auto& o) {
    for (const auto& [name, field, smallest] : kSizes) {
      if (field != &PanelForecasterOptions::layers && field != &PanelForecasterOptions::seeds) {
        o.*field = std::numeric_limits<std::int32_t>::max();
      }
    }
    o.lookbacks = {std::numeric_limits<std::int32_t>::max()};
  };
  EXPECT_NE(refused(all_large).find("weights in a member"), std::string::npos);
  EXPECT_NE(refused([&](auto& o) {
              all_large(o);
              o.layers = 0;
              o.windows = PanelWindows::kPastSeasons;
            }).find("weights in a member"),
            std::string::npos);
  EXPECT_EQ(refused([](auto& o) { o.seeds = 5'001; }),
            "PanelForecasterOptions: lookbacks * seeds: found 10002, expected a number from 1 to "
            "10000");
  EXPECT_NE(refused([](auto& o) { o.batch_size = 300'000'000; }).find("values in a batch"),
            std::string::npos);
  // Few weights, of which a layer would keep far too much.
  EXPECT_NE(refused([](auto& o) {
              o.units = 1;
              o.memory_size = 1'000'000;
              o.num_heads = 1'000;
              o.batch_size = 2;
            }).find("num_heads * memory_size"),
            std::string::npos);
}

TEST(PanelForecasterOptions, LookbacksAreChecked) {
  EXPECT_EQ(refused([](auto& o) { o.lookbacks = {}; }),
            "PanelForecasterOptions: lookbacks: found 0 of them, expected 1 to 10000 of them");
  EXPECT_EQ(refused([](auto& o) { o.lookbacks.assign(10'001, 4); }),
            "PanelForecasterOptions: lookbacks: found 10001 of them, expected 1 to 10000 of them");
  for (const std::int64_t bad : {std::int64_t{0}, std::int64_t{-1}, kSmallest, kLargest}) {
    EXPECT_EQ(refused([&](auto& o) { o.lookbacks[1] = bad; }),
              "PanelForecasterOptions: lookbacks[1]: found " + std::to_string(bad) +
                  ", expected a number from 1 to 2147483647");
  }
  EXPECT_NE(refused([](auto& o) { o.lookbacks[1] = 1'000'000'000; }).find("lookbacks[1]"),
            std::string::npos);
  EXPECT_EQ(refused([](auto& o) { o.windows = PanelWindows::kPastSeasons; }),
            "PanelForecasterOptions: lookbacks[1]: found 7, expected a multiple of season = 4, "
            "with windows of past seasons");
  EXPECT_NE(refused([](auto& o) {
              o.windows = PanelWindows::kPastSeasons;
              o.season = 1;
            }).find("season: found 1, expected at least 2, with windows"),
            std::string::npos);
}

TEST(PanelForecasterOptions, NumbersAreCheckedOneByOne) {
  struct NumberField {
    const char* name;
    double PanelForecasterOptions::* field;
    std::vector<double> bad;
  };
  const NumberField fields[] = {
      {"dropout", &PanelForecasterOptions::dropout, {-0.1, 1, 2}},
      {"huber_delta", &PanelForecasterOptions::huber_delta, {0, -1, 1e39}},
      {"learning_rate", &PanelForecasterOptions::learning_rate, {0, -1, 1e39}},
      {"weight_decay", &PanelForecasterOptions::weight_decay, {-1e-9, 1e39}},
      {"clip_norm", &PanelForecasterOptions::clip_norm, {0, -1, 1e39}},
      {"average_decay", &PanelForecasterOptions::average_decay, {-0.1, 1}},
  };
  for (const auto& [name, field, bad] : fields) {
    std::vector<double> all = bad;
    all.insert(all.end(), {kNan, kInfinity, -kInfinity});
    for (const double value : all) {
      const std::string found = refused([&, field = field](auto& o) { o.*field = value; });
      EXPECT_TRUE(found.starts_with(std::string("PanelForecasterOptions: ") + name + ": found "))
          << name << " = " << value << ": " << found;
    }
  }
  for (const double bad : {0.0, -1.0, kNan, kInfinity}) {
    EXPECT_TRUE(refused([&](auto& o) {
                  o.memory_initializer.stddev = bad;
                }).starts_with("PanelForecasterOptions: memory_initializer.stddev: found "))
        << bad;
  }
}

TEST(PanelForecasterOptions, EnumsAreChecked) {
  for (const int bad : {-1, 4, 99}) {
    const std::string found = ": found " + std::to_string(bad) + ", expected a value of its enum";
    EXPECT_NE(refused([&](auto& o) { o.loss = static_cast<ErrorLoss>(bad); }).find("loss" + found),
              std::string::npos);
    EXPECT_NE(refused([&](auto& o) {
                o.windows = static_cast<PanelWindows>(bad);
              }).find("windows" + found),
              std::string::npos);
    EXPECT_NE(refused([&](auto& o) {
                o.memory_initializer.kind = static_cast<MemoryInitializer::Kind>(bad);
              }).find("memory_initializer.kind" + found),
              std::string::npos);
  }
}

TEST(PanelForecasterOptions, QuantilesAreChecked) {
  EXPECT_EQ(refused([](auto& o) { o.quantiles = {0.5}; }),
            "PanelForecasterOptions: quantiles: found 1 of them, expected some with the pinball "
            "loss, none with another");
  const auto pinball = [](const std::vector<double>& quantiles) {
    return refused([&](auto& o) {
      o.loss = ErrorLoss::kPinball;
      o.quantiles = quantiles;
    });
  };
  EXPECT_EQ(pinball({}),
            "PanelForecasterOptions: quantiles: found 0 of them, expected some with the pinball "
            "loss, none with another");
  EXPECT_EQ(pinball({0.5, 0.5}),
            "PanelForecasterOptions: quantiles[1]: found 0.5, expected a number above 0.5 and "
            "below 1");
  for (const double bad : {0.0, 1.0, -0.5, kNan, kInfinity}) {
    EXPECT_TRUE(pinball({bad}).starts_with("PanelForecasterOptions: quantiles[0]: found ")) << bad;
  }
  EXPECT_NE(pinball(std::vector<double>(1'001, 0.5)).find("quantiles: found 1001 of them"),
            std::string::npos);
}

TEST(PanelForecasterOptions, WeightsAreThoseOfTheMembers) {
  PanelForecasterOptions linear = options(), past = options(), quantiles = options();
  linear.layers = 0;
  linear.memory_size = std::numeric_limits<std::int32_t>::max();  // without layers it says nothing
  past.windows = PanelWindows::kPastSeasons;
  past.lookbacks = {4, 16};
  past.pre_norm = true;
  quantiles.loss = ErrorLoss::kPinball;
  quantiles.quantiles = {0.1, 0.5, 0.9};
  for (const PanelForecasterOptions& these : {options(), linear, past, quantiles}) {
    const PanelForecaster forecaster(these);
    const std::vector<std::int64_t> counts = these.count_member_params();
    ASSERT_EQ(static_cast<std::int64_t>(counts.size()), these.members());
    for (std::size_t i = 0; i < counts.size(); ++i) {
      EXPECT_EQ(counts[i], std::ssize(forecaster.parameters(static_cast<std::int64_t>(i))));
    }
  }
}

}  // namespace
}  // namespace memattn
