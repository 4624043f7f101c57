// Forecasts of one series by the package's networks, and files without such networks.
#include "memattn/quick_forecaster.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <numbers>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "io/temporary_folder.h"
#include "memattn/errors.h"
#include "testing/arrays.h"
#include "testing/state_file.h"

namespace memattn {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::filesystem::path prior(std::string_view name) {
  return std::filesystem::path(MEMATTN_PRIOR_DIR) / (std::string(name) + ".safetensors");
}

// Returns five years of months with a season and growth.
std::vector<double> sales(std::size_t months = 60) {
  std::vector<double> values;
  for (std::size_t t = 0; t < months; ++t) {
    const double phase = 2 * std::numbers::pi * static_cast<double>(t) / 12;
    values.push_back(100 * std::exp(0.01 * static_cast<double>(t)) * (1 + 0.2 * std::sin(phase)));
  }
  return values;
}

struct Found {
  std::vector<double> points, bounds;
};

Found forecast(const QuickForecaster& forecaster, std::span<const double> values,
               std::size_t horizon, const std::vector<double>& levels) {
  Found found{std::vector<double>(horizon), std::vector<double>(levels.size() * 2 * horizon)};
  forecaster.forecast(values, found.points, levels, found.bounds);
  return found;
}

// Python computed these values on an instruction set that may differ in a last bit.
TEST(QuickForecaster, ForecastsEqualPythons) {
  const auto forecaster = QuickForecaster::load(prior("season-12"));
  EXPECT_EQ(forecaster.season(), 12);
  EXPECT_EQ(forecaster.horizon(), 24);
  const Found found = forecast(forecaster, sales(), 6, {80, 50});
  const double points[] = {180.36267097751474, 198.5521561449448, 212.5356132947852,
                           218.93374948940675, 215.0521699585235, 203.42407189568482};
  const double low[] = {175.6441110330915,  192.89382064371566, 205.38553882936625,
                        209.44102859413854, 205.07388241040172, 193.25909318155968};
  const double inner_high[] = {182.0791670602892,  200.64978859726938, 214.98801673694166,
                               221.83612585380607, 218.46966793014994, 207.51908736015554};
  for (std::size_t k = 0; k < 6; ++k) {
    EXPECT_NEAR(found.points[k], points[k], 1e-4 * points[k]) << k;
    EXPECT_NEAR(found.bounds[k], low[k], 1e-4 * low[k]) << k;
    EXPECT_NEAR(found.bounds[18 + k], inner_high[k], 1e-4 * inner_high[k]) << k;
  }
}

TEST(QuickForecaster, BoundsOfAnyLevelNest) {
  const std::vector<double> levels = {1, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.9};
  std::mt19937 random(0);
  std::normal_distribution<double> normal;
  for (const char* name : {"season-1", "season-12", "season-24", "yearly"}) {
    const auto forecaster = QuickForecaster::load(prior(name));
    const auto horizon = static_cast<std::size_t>(forecaster.horizon());
    for (const bool positive : {true, false}) {
      std::vector<double> values = {10};
      for (int t = 1; t < 90; ++t) {
        const double step = normal(random);
        values.push_back(positive ? values.back() * std::exp(0.1 * step) : values.back() + step);
      }
      const Found found = forecast(forecaster, values, horizon, levels);
      for (std::size_t k = 0; k < horizon; ++k) {
        double low = found.points[k], high = found.points[k];
        for (std::size_t i = 0; i < levels.size(); ++i) {
          const double below = found.bounds[2 * i * horizon + k];
          const double above = found.bounds[(2 * i + 1) * horizon + k];
          const double slack = 1e-9 * std::abs(found.points[k]);
          EXPECT_LE(below, low + slack) << name << ' ' << levels[i] << ' ' << k;
          EXPECT_GE(above, high - slack) << name << ' ' << levels[i] << ' ' << k;
          low = below, high = above;
        }
        if (positive) {
          EXPECT_GE(low, 0);
        }
      }
    }
  }
}

TEST(QuickForecaster, OnlyTheLastRowsCount) {
  const auto forecaster = QuickForecaster::load(prior("season-12"));
  std::vector<double> values = sales(400);
  const Found all = forecast(forecaster, values, 12, {});
  const Found last = forecast(forecaster, std::span(values).last(120), 12, {});
  EXPECT_EQ(all.points, last.points);
  EXPECT_NE(all.points, forecast(forecaster, std::span(values).last(119), 12, {}).points);
}

TEST(QuickForecaster, ShortAndConstantSeriesHaveConstantForecasts) {
  const auto forecaster = QuickForecaster::load(prior("season-12"));
  for (const std::vector<double>& values : {std::vector<double>{5}, {3, 5}}) {
    const Found found = forecast(forecaster, values, 2, {80});
    EXPECT_EQ(found.points, (std::vector<double>{5, 5}));
    for (const double bound : found.bounds) EXPECT_TRUE(std::isnan(bound));
  }
  for (const double value : {0.0, -4.0, 7.0}) {
    const Found found = forecast(forecaster, std::vector<double>(9, value), 2, {80, 99});
    EXPECT_EQ(found.points, std::vector<double>(2, value));
    EXPECT_EQ(found.bounds, std::vector<double>(8, value));
  }
}

TEST(QuickForecaster, BadArgumentsAreRefused) {
  const auto forecaster = QuickForecaster::load(prior("season-12"));
  const std::vector<double> good = sales();
  const auto refused = [&](std::vector<double> values, std::size_t horizon,
                           std::vector<double> levels) {
    return testing::message_of([&] { forecast(forecaster, values, horizon, levels); });
  };
  const std::string begin = "QuickForecaster::forecast: ";
  EXPECT_EQ(refused(good, 25, {}),
            begin + "forecasts: length: found 25, expected a number from 1 to 24");
  EXPECT_EQ(refused(good, 0, {}),
            begin + "forecasts: length: found 0, expected a number from 1 to 24");
  EXPECT_EQ(refused({}, 1, {}), begin + "values: found none, expected at least one");
  EXPECT_EQ(refused({1, kNaN}, 1, {}),
            begin + "values[1]: found nan, expected a finite number up to 1e+100");
  EXPECT_EQ(refused({1e101}, 1, {}),
            begin + "values[0]: found 1e+101, expected a finite number up to 1e+100");
  for (const double level : {0.5, 100.0, kNaN}) {
    EXPECT_NE(refused(good, 1, {level}).find("expected percents from 1 to below 100"),
              std::string::npos);
  }
  std::vector<double> points(2), bounds(3);
  const std::vector<double> levels = {80};
  EXPECT_EQ(testing::message_of([&] { forecaster.forecast(good, points, levels, bounds); }),
            begin + "bounds: found 3 values, expected levels * 2 * forecasts = 1 * 2 * 2 = 4");
}

std::span<const std::byte> bytes_of(const std::string& content) {
  return std::as_bytes(std::span(content));
}

TEST(QuickForecaster, AFileInMemoryGivesTheSameForecasts) {
  const std::string content = testing::read_all(prior("season-4"));
  const auto forecaster = QuickForecaster::load(bytes_of(content));
  const auto other = QuickForecaster::load(prior("season-4"));
  EXPECT_EQ(forecast(forecaster, sales(), 8, {70}).bounds,
            forecast(other, sales(), 8, {70}).bounds);
}

TEST(QuickForecaster, DamagedFilesAreRefused) {
  const std::string good = testing::read_all(prior("season-4"));
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{7}, std::size_t{200}, good.size() / 2, good.size() - 1}) {
    EXPECT_THROW(static_cast<void>(QuickForecaster::load(bytes_of(good.substr(0, size)))),
                 FormatError)
        << size;
  }
  std::mt19937 random(0);
  for (int k = 0; k < 300; ++k) {
    std::string bad = good;
    const std::size_t place = k < 100 ? random() % 3000 : random() % bad.size();
    bad[place] = static_cast<char>(bad[place] ^ (1 << (random() % 8)));
    EXPECT_THROW(static_cast<void>(QuickForecaster::load(bytes_of(bad))), FormatError) << place;
  }
  EXPECT_THROW(static_cast<void>(QuickForecaster::load("/nowhere/at/all")), std::system_error);
}

// Returns the content with `before` replaced by `after` of the same length, and a valid checksum.
std::string edited(const std::string& good, std::string_view before, std::string_view after) {
  EXPECT_EQ(before.size(), after.size());
  std::string content = good;
  const std::size_t place = content.find(before);
  EXPECT_NE(place, std::string::npos) << before;
  content.replace(place, before.size(), after);
  return testing::with_checksum(content);
}

TEST(QuickForecaster, InconsistentFilesAreRefused) {
  const std::string good = testing::read_all(prior("season-4"));
  const auto message = [&](std::string_view before, std::string_view after) -> std::string {
    const std::string content = edited(good, before, after);
    try {
      static_cast<void>(QuickForecaster::load(bytes_of(content)));
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  };
  ASSERT_EQ(message("memattn.Forecaster", "memattn.Forecaster"), "");
  struct Lie {
    std::string_view before, after, message;
  };
  const Lie lies[] = {
      {"memattn.Forecaster", "memattn.Checkpoint", "__metadata__: format: found \"memattn.Che"},
      {"\"format_version\": \"2\"", "\"format_version\": \"3\"", "a file of a newer version"},
      {"\\\"loss\\\": [\\\"quantile\\\"", "\\\"loss\\\": [\\\"quantilf\\\"",
       "settings: loss: found"},
      {"\\\"season\\\": [4,", "\\\"season\\\": [0,", "settings: season: found 0, expected a whole"},
      {"\\\"season\\\": [4,", "\\\"season\\\": [8,", "as many as the settings imply"},
      {"\\\"members\\\": [2,", "\\\"members\\\": [3,", "settings: lookbacks: found"},
      {"\\\"logs\\\": [true", "\\\"logs\\\": [1234", "settings: logs: found 1234"},
      {"[40.0, 60.0", "[60.0, 40.0", "settings: levels: found 40"},
      {"\\\"num_heads\\\": [1,", "\\\"num_heads\\\": [0,", "settings: num_heads: found 0"},
      {"\\\"num_heads\\\": [1,", "\\\"num_heads\\\": [2,", "as many as the settings imply"},
      {"\\\"last_values\\\"", "\\\"lost_values\\\"", "settings: windows: found"},
      {"\"BF16\"", "\"I16\" ", "I16"},
  };
  for (const Lie& lie : lies) {
    const std::string found = message(lie.before, lie.after);
    EXPECT_NE(found.find(lie.message), std::string::npos) << lie.after << ": " << found;
  }
  const std::string hourly = testing::read_all(prior("season-24"));
  for (const std::string_view lie : {"[169,", "[-24,", "[1.5,"}) {
    const std::string key = "\\\"long_season\\\": ";
    const std::string content = edited(hourly, key + "[168,", key + std::string(lie));
    EXPECT_THROW(static_cast<void>(QuickForecaster::load(bytes_of(content))), FormatError) << lie;
  }
}

}  // namespace
}  // namespace memattn
