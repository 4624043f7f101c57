// Invalid options: each field alone, and sizes whose product is too large.
#include "forecast/panel_options.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <set>
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
  // Counting weights refuses the same options as construction, with the same message.
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
  std::int64_t smallest;  // the smallest valid value
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
    {"covariates", &PanelForecasterOptions::covariates, 0},
    {"origin_stride", &PanelForecasterOptions::origin_stride, 1},
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

// Each size is valid alone. Then a product with another one is too large, or there is no product.
TEST(PanelForecasterOptions, ProductsThatOverflowAreRefused) {
  for (const auto& [name, field, smallest] : kSizes) {
    const std::string option = name;
    const std::set<std::string> of_no_product = {"min_history", "covariates", "origin_stride",
                                                 "steps", "warm_up"};
    if (of_no_product.contains(option)) continue;
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
  // A layer with few weights that would keep too many values.
  EXPECT_NE(refused([](auto& o) {
              o.units = 1;
              o.memory_size = 1'000'000;
              o.num_heads = 1'000;
              o.batch_size = 2;
            }).find("num_heads * memory_size"),
            std::string::npos);
}

TEST(PanelForecasterOptions, LongSeasonMustBeWholeSeasons) {
  for (const std::int64_t good : {std::int64_t{0}, std::int64_t{8}, std::int64_t{4'000}}) {
    PanelForecasterOptions these = options();
    these.long_season = good;
    EXPECT_NO_THROW(these.validate()) << good;
  }
  for (const std::int64_t bad :
       {std::int64_t{-8}, std::int64_t{4}, std::int64_t{9}, std::int64_t{4'004}, kLargest}) {
    EXPECT_EQ(refused([&](auto& o) { o.long_season = bad; }),
              "PanelForecasterOptions: long_season: found " + std::to_string(bad) +
                  ", expected 0 or 2 to 1000 times season = 4");
  }
  const std::string none = "expected 0 without a season or with windows of past seasons";
  EXPECT_NE(refused([](auto& o) {
              o.season = 1;
              o.long_season = 8;
            }).find(none),
            std::string::npos);
  EXPECT_NE(refused([](auto& o) {
              o.windows = PanelWindows::kPastSeasons;
              o.long_season = 8;
            }).find(none),
            std::string::npos);
}

TEST(PanelForecasterOptions, LookbacksAreChecked) {
  EXPECT_EQ(refused([](auto& o) { o.lookbacks = {}; }),
            "PanelForecasterOptions: lookbacks: found 0 values, expected 1 to 10000");
  EXPECT_EQ(refused([](auto& o) { o.lookbacks.assign(10'001, 4); }),
            "PanelForecasterOptions: lookbacks: found 10001 values, expected 1 to 10000");
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

TEST(PanelForecasterOptions, BlocksAreChecked) {
  const auto blocks = [](const std::vector<CovariateBlock>& these, std::int64_t covariates = 3) {
    return refused([&](auto& o) {
      o.covariates = covariates;
      o.blocks = these;
    });
  };
  const std::string start = "PanelForecasterOptions: blocks";
  EXPECT_EQ(blocks({{}}, 0), start + ": found 1 blocks, expected none, since covariates is 0");
  EXPECT_EQ(blocks(std::vector<CovariateBlock>(1'001)),
            start + ": found 1001 values, expected 0 to 1000");
  EXPECT_EQ(blocks({{0, 0, 0, 1}}), start + "[0].columns: found 0, expected a number from 1 to 3");
  EXPECT_EQ(blocks({{}, {0, 4, 0, 1}}),
            start + "[1].columns: found 4, expected a number from 1 to 3");
  EXPECT_EQ(blocks({{2, 2, 0, 1}}),
            start + "[0].first_column: found 2, expected a number from 0 to 1");
  EXPECT_EQ(blocks({{-1, 2, 0, 1}}),
            start + "[0].first_column: found -1, expected a number from 0 to 1");
  EXPECT_EQ(blocks({{0, 1, 0, 0}}),
            start + "[0].rows: found 0, expected a number from 1 to 2147483647");
  // A horizon of 5.
  EXPECT_EQ(blocks({{0, 1, 3, 3}}),
            start + "[0].first_row: found 3, expected a number from -2147483647 to 2");
  EXPECT_EQ(blocks({{0, 3, -2'000'000'000, 2'000'000'000}}),
            start + "[0].columns * rows: found 6000000000, expected a number from 1 to 2147483647");
  for (const std::int64_t bad : {kSmallest, kLargest}) {
    for (std::int64_t CovariateBlock::* field :
         {&CovariateBlock::first_column, &CovariateBlock::columns, &CovariateBlock::first_row,
          &CovariateBlock::rows}) {
      CovariateBlock block;
      block.*field = bad;
      const std::string found = blocks({block});
      EXPECT_TRUE(found.starts_with(start + "[0].")) << found;
      EXPECT_NE(found.find(": found " + std::to_string(bad)), std::string::npos) << found;
    }
  }
  // Each is small enough, but together they are not.
  const std::string wide =
      blocks(std::vector<CovariateBlock>(1'000, {0, 1, -2'000'000'000, 2'000'000'000}));
  EXPECT_TRUE(
      wide.starts_with("PanelForecasterOptions: (lookbacks[0] + season + blocks) * units: "
                       "found "))
      << wide;
}

TEST(PanelForecasterOptions, LayersOfMembersAreChecked) {
  EXPECT_EQ(refused([](auto& o) { o.member_layers = {2}; }),
            "PanelForecasterOptions: member_layers: found 1 values, expected none, or one for "
            "each of the 2 lookbacks");
  for (const std::int64_t bad : {std::int64_t{-1}, std::int64_t{1'001}, kSmallest, kLargest}) {
    EXPECT_EQ(refused([&](auto& o) { o.member_layers = {0, bad}; }),
              "PanelForecasterOptions: member_layers[1]: found " + std::to_string(bad) +
                  ", expected a number from 0 to 1000");
  }
  const std::string deep = refused([](auto& o) {
    o.member_layers = {0, 1'000};
    o.units = 1'000;
  });
  EXPECT_TRUE(deep.starts_with("PanelForecasterOptions: member_layers[1] * (memory_size")) << deep;
  // Members of the other lookback have a memory that is too large by itself.
  EXPECT_NE(refused([](auto& o) {
              o.member_layers = {0, 1};
              o.memory_size = std::numeric_limits<std::int32_t>::max();
            }).find("weights in a member"),
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
      {"input_dropout", &PanelForecasterOptions::input_dropout, {-0.1, 1, 2}},
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
            "PanelForecasterOptions: quantiles: found 1 quantiles, expected at least one with the "
            "pinball loss, none with other losses");
  const auto pinball = [](const std::vector<double>& quantiles) {
    return refused([&](auto& o) {
      o.loss = ErrorLoss::kPinball;
      o.quantiles = quantiles;
    });
  };
  EXPECT_EQ(pinball({}),
            "PanelForecasterOptions: quantiles: found 0 quantiles, expected at least one with the "
            "pinball loss, none with other losses");
  EXPECT_EQ(pinball({0.5, 0.5}),
            "PanelForecasterOptions: quantiles[1]: found 0.5, expected a number above 0.5 and "
            "below 1");
  for (const double bad : {0.0, 1.0, -0.5, kNan, kInfinity}) {
    EXPECT_TRUE(pinball({bad}).starts_with("PanelForecasterOptions: quantiles[0]: found ")) << bad;
  }
  EXPECT_NE(pinball(std::vector<double>(1'001, 0.5)).find("quantiles: found 1001 values"),
            std::string::npos);
}

TEST(PanelForecasterOptions, CountedWeightsEqualThoseOfTheMembers) {
  PanelForecasterOptions linear = options(), past = options(), quantiles = options(),
                         mixed = covariate_options();
  mixed.member_layers = {0, 2};
  linear.layers = 0;
  linear.memory_size = std::numeric_limits<std::int32_t>::max();  // ignored without layers
  past.windows = PanelWindows::kPastSeasons;
  past.lookbacks = {4, 16};
  past.pre_norm = true;
  quantiles.loss = ErrorLoss::kPinball;
  quantiles.quantiles = {0.1, 0.5, 0.9};
  for (const PanelForecasterOptions& these : {options(), linear, past, quantiles, mixed}) {
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
