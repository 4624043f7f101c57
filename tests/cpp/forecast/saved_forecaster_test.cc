// Files of Python's Forecaster.save in C++: their forecasts, and inconsistent files. The comparison
// to the bit with Python is in tests/python/forecast/test_saved_forecaster.py.
#include "memattn/saved_forecaster.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "check.h"
#include "memattn/errors.h"
#include "memattn/panel_forecaster.h"
#include "testing/arrays.h"
#include "testing/state_file.h"

namespace memattn {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kWindows = 25;  // calibration windows

// A linear model with weights of 0, which forecasts the last value, of two series whose values
// change by a tenth in logs. Its parts can be changed to values that no Forecaster would write.
struct Parts {
  std::string_view horizon = "2", season = "1", loss = "\"smape\"", windows = "\"last_values\"";
  std::string_view layers = "0", lookbacks = "[4]", more = "", config_more = "", logs = "true";
  std::string_view ids = R"(["a\u00e4", 7])", steps = "1";
  std::vector<double> values = {1, std::exp(0.1), 1, std::exp(0.1), 2, kNaN, 2};
  std::vector<std::int64_t> offsets = {0, 4, 7};
  std::vector<double> errors;  // (kWindows, 1, 2): the i-th of the first step is i / 100
  std::vector<double> roughness = std::vector<double>(kWindows, 0.1);
  std::vector<std::uint8_t> in_logs = std::vector<std::uint8_t>(kWindows, 1);
  std::vector<std::int64_t> ages = std::vector<std::int64_t>(kWindows, 3);
  std::vector<double> change = std::vector<double>(kWindows, 1);

  Parts() {
    for (int i = 1; i <= kWindows; ++i) errors.insert(errors.end(), {i / 100.0, kNaN});
  }

  std::string config() const {
    const auto setting = [](std::string_view name, std::string_view value) {
      return concat("\"", name, "\": [", value, ", \"why\"], ");
    };
    const std::string settings =
        concat(setting("horizon", horizon), setting("season", season), setting("loss", loss),
               setting("windows", windows), setting("layers", layers),
               setting("lookbacks", lookbacks), setting("steps", steps), more,
               setting("logs", logs), setting("min_history", "2"), "\"members\": [1, \"why\"]");
    return concat("{\"settings\": {", settings, "}, \"season\": ", season, config_more, "}");
  }

  std::string content() const {
    PanelForecasterOptions options;
    options.horizon = 2;
    options.layers = 0;
    options.lookbacks = {4};
    const std::vector<float> weights(static_cast<std::size_t>(options.count_member_params()[0]));
    data_.clear();
    entries_.clear();
    add("weights", "F32", weights);
    add("values", "F64", values);
    add("offsets", "I64", offsets);
    add("ids", "U8", std::vector<char>(ids.begin(), ids.end()));
    add("calibration.errors", "F64", errors, {kWindows, 1, 2});
    add("calibration.roughness", "F64", roughness);
    add("calibration.logs", "U8", in_logs);
    add("calibration.age", "I64", ages);
    add("calibration.change", "F64", change);
    return testing::state_file(config(), entries_, data_);
  }

 private:
  template <typename T>
  void add(std::string_view name, std::string_view dtype, const std::vector<T>& array,
           std::vector<std::int64_t> shape = {}) const {
    if (shape.empty()) shape = {std::ssize(array)};
    const std::int64_t begin = std::ssize(data_);
    data_.append(reinterpret_cast<const char*>(array.data()), array.size() * sizeof(T));
    const std::vector<std::int64_t> offset = {begin, std::ssize(data_)};
    entries_ += concat(entries_.empty() ? "" : ", ", "\"", name, "\": {\"dtype\": \"", dtype,
                       "\", \"shape\": ", json_text(std::span(std::as_const(shape))),
                       ", \"data_offsets\": ", json_text(std::span(offset)), "}");
  }

  mutable std::string data_, entries_;
};

SavedForecaster load(const std::string& content) {
  return SavedForecaster::load(std::as_bytes(std::span(content)));
}

TEST(SavedForecaster, ForecastsItsSeries) {
  const auto forecaster = load(Parts().content());
  EXPECT_EQ(forecaster.horizon(), 2);
  EXPECT_EQ(forecaster.season(), 1);
  EXPECT_TRUE(forecaster.has_intervals());
  EXPECT_TRUE(forecaster.levels().empty());
  ASSERT_EQ(forecaster.ids().size(), 2U);
  EXPECT_EQ(forecaster.find("a\u00e4"), 0);
  EXPECT_EQ(forecaster.find("7"), 1);
  EXPECT_EQ(forecaster.find("b"), std::nullopt);

  std::vector<double> forecasts(2), bounds(8);
  const std::vector<double> levels = {80, 50};
  forecaster.forecast_series(0, forecasts, levels, bounds);
  const double last = std::exp(0.1);
  EXPECT_NEAR(forecasts[0], last, 1e-12);
  EXPECT_NEAR(forecasts[1], last, 1e-12);
  // Of 25 errors and the window at hand, the 80 % quantile is error 21 and the 50 % quantile is 13.
  EXPECT_NEAR(bounds[0], last * std::exp(-0.21), 1e-12);
  EXPECT_NEAR(bounds[2], last * std::exp(0.21), 1e-12);
  EXPECT_NEAR(bounds[4], last * std::exp(-0.13), 1e-12);
  EXPECT_NEAR(bounds[6], last * std::exp(0.13), 1e-12);
  for (const std::size_t step_2 : {1U, 3U, 5U, 7U}) EXPECT_TRUE(std::isnan(bounds[step_2]));

  std::vector<double> one(1), of_one(2);
  forecaster.forecast_series(0, one, std::span(levels).first(1), of_one);
  EXPECT_EQ(one[0], forecasts[0]);
  EXPECT_EQ(of_one, (std::vector<double>{bounds[0], bounds[2]}));
}

TEST(SavedForecaster, HolesAreFilledLinearly) {
  const auto forecaster = load(Parts().content());
  std::vector<double> forecasts(2), filled(2), bounds(4), of_filled(4);
  const std::vector<double> levels = {80};
  forecaster.forecast(std::vector<double>{1, kNaN, kNaN, 4, 3}, forecasts, levels, bounds);
  forecaster.forecast(std::vector<double>{1, 2, 3, 4, 3}, filled, levels, of_filled);
  EXPECT_EQ(forecasts, filled);
  EXPECT_EQ(bounds[0], of_filled[0]);
  forecaster.forecast_series(1, forecasts, levels, bounds);  // 2, a hole, 2: constant
  EXPECT_EQ(forecasts, (std::vector<double>{2, 2}));
  EXPECT_EQ(bounds[0], 2);
  EXPECT_EQ(bounds[2], 2);
}

TEST(SavedForecaster, BadArgumentsAreRefused) {
  const auto forecaster = load(Parts().content());
  std::vector<double> forecasts(2), bounds(4), many(3);
  const std::vector<double> levels = {80}, good = {1, 2, 3};
  const auto refused = [&](std::vector<double> values) {
    return testing::message_of([&] { forecaster.forecast(values, forecasts, levels, bounds); });
  };
  const std::string begin = "SavedForecaster::forecast: ";
  EXPECT_EQ(refused({}), begin + "values: found none, expected at least one");
  EXPECT_EQ(refused({kNaN, 1}),
            begin + "values[0]: found nan, expected a finite number up to 1e+100");
  EXPECT_EQ(refused({1, kNaN}),
            begin + "values[1]: found nan, expected a finite number up to 1e+100");
  EXPECT_EQ(refused({1, kInfinity, 2}),
            begin + "values[1]: found inf, expected a finite number up to 1e+100");
  EXPECT_EQ(testing::message_of([&] { forecaster.forecast(good, many); }),
            begin + "forecasts: length: found 3, expected a number from 1 to 2");
  EXPECT_EQ(testing::message_of([&] { forecaster.forecast_series(2, forecasts); }),
            "SavedForecaster::forecast_series: series: found 2, expected a number from 0 to 1");
  EXPECT_EQ(testing::message_of([&] { forecaster.forecast(good, forecasts, levels); }),
            begin + "bounds: found 0 values, expected levels * 2 * forecasts = 1 * 2 * 2 = 4");
}

TEST(SavedForecaster, WithoutSeriesOrErrorsTheCallsThatNeedThemAreRefused) {
  Parts parts;
  parts.ids = "[]";
  parts.values = {};
  parts.offsets = {0};
  std::vector<double> forecasts(2), bounds(4);
  EXPECT_EQ(testing::message_of([&] { load(parts.content()).forecast_series(0, forecasts); }),
            "SavedForecaster::forecast_series: series: found 0, expected no index, since the file "
            "was saved without its series");
  // A forecaster of quantiles has its trained levels.
  parts = Parts();
  const std::string renamed = parts.content();
  std::string without = renamed;
  for (std::size_t at; (at = without.find("calibration.")) != std::string::npos;) {
    without.replace(at, 12, "calibratioX.");
  }
  const auto forecaster = load(testing::with_checksum(without));
  EXPECT_FALSE(forecaster.has_intervals());
  const std::vector<double> levels = {80};
  EXPECT_EQ(
      testing::message_of(
          [&] { forecaster.forecast(std::vector<double>{1, 2}, forecasts, levels, bounds); }),
      "SavedForecaster::forecast: levels: found 80, expected no levels, since this forecaster "
      "has no intervals");
}

TEST(SavedForecaster, DamagedFilesAreRefused) {
  const std::string good = Parts().content();
  for (std::size_t size = 0; size < good.size(); size += 97) {
    EXPECT_THROW(static_cast<void>(load(good.substr(0, size))), FormatError) << size;
  }
  std::mt19937 random(0);
  for (int k = 0; k < 500; ++k) {
    std::string bad = good;
    const std::size_t place = random() % bad.size();
    bad[place] = static_cast<char>(bad[place] ^ (1 << (random() % 8)));
    EXPECT_THROW(static_cast<void>(load(bad)), FormatError) << place;
  }
  EXPECT_THROW(static_cast<void>(SavedForecaster::load("/nowhere/at/all")), std::system_error);
}

TEST(SavedForecaster, InconsistentFilesAreRefused) {
  struct Lie {
    void (*tell)(Parts&);
    std::string_view message;
  };
  const Lie lies[] = {
      {[](Parts& p) { p.horizon = "0"; }, "settings: horizon: found 0, expected a whole number"},
      {[](Parts& p) { p.horizon = "3"; }, "as many as the settings imply"},
      {[](Parts& p) { p.season = "\"x\""; }, "settings: season: found the string \"x\""},
      {[](Parts& p) { p.loss = "\"mse\""; }, "settings: loss: found the string \"mse\", expected"},
      {[](Parts& p) { p.loss = "\"quantile\""; },
       "settings: levels: found none, expected a setting"},
      {[](Parts& p) { p.windows = "3"; }, "settings: windows: found 3, expected a string"},
      {[](Parts& p) { p.layers = "[0, 2, 1]"; }, "settings: layers: found an array"},
      {[](Parts& p) { p.layers = "[0, 1]"; }, "as many as the settings imply"},
      {[](Parts& p) { p.lookbacks = "[4, 5]"; }, "settings: lookbacks: found an array"},
      {[](Parts& p) { p.lookbacks = "[2147483648]"; }, "settings: lookbacks: found 2147483648"},
      {[](Parts& p) { p.logs = "1"; }, "settings: logs: found 1, expected true or false"},
      {[](Parts& p) { p.more = R"("prior": ["maybe", ""], )"; }, "settings: prior: found the"},
      {[](Parts& p) { p.more = R"("prior_horizon": [1, ""], )"; },
       "settings: prior_horizon: found 1, expected a whole number from 2"},
      {[](Parts& p) { p.more = R"("left_out": [[], ""], )"; }, "a forecaster with covariates,"},
      {[](Parts& p) { p.config_more = R"(, "covariates": {"columns": [["price", "futr"]]})"; },
       "found a forecaster with covariates: \"price\", expected one without"},
      {[](Parts& p) { p.config_more = R"(, "covariates": 3)"; }, "a forecaster with covariates,"},
      {[](Parts& p) { p.offsets = {0, 0, 7}; }, "tensor offsets: found numbers out of order"},
      {[](Parts& p) { p.offsets = {0, 4, 8}; }, "tensor offsets: found numbers out of order"},
      {[](Parts& p) { p.offsets = {}; }, "tensor offsets: found numbers out of order"},
      {[](Parts& p) { p.offsets = {0, INT64_MIN, 7}; }, "tensor offsets: found numbers out of"},
      {[](Parts& p) { p.values[0] = kNaN; },
       "tensor values: found a series whose first or last value is"},
      {[](Parts& p) { p.values[3] = kNaN; },
       "tensor values: found a series whose first or last value is"},
      {[](Parts& p) { p.values[1] = kInfinity; }, "tensor values: found inf, expected numbers"},
      {[](Parts& p) { p.ids = R"(["a"])"; }, "tensor ids: found an array, expected a list of 2"},
      {[](Parts& p) { p.ids = R"(["a", "a"])"; }, "tensor ids: found \"a\" twice"},
      {[](Parts& p) { p.ids = R"(["7", 7])"; }, "tensor ids: found \"7\" twice"},
      {[](Parts& p) { p.ids = R"(["a", [7]])"; }, "tensor ids: found an array, expected strings"},
      {[](Parts& p) { p.ids = R"(["a", )"; }, "tensor ids: found byte"},
      {[](Parts& p) { p.errors[0] = -1; }, "calibration.errors: found an error below 0"},
      {[](Parts& p) { p.roughness[3] = kNaN; }, "calibration: found invalid values of window 3"},
      {[](Parts& p) { p.in_logs[4] = 2; }, "calibration: found invalid values of window 4"},
      {[](Parts& p) { p.ages[0] = 0; }, "calibration: found invalid values of window 0"},
      {[](Parts& p) { p.change[0] = 0; }, "calibration: found invalid values of window 0"},
      {[](Parts& p) { p.ages.pop_back(); }, "tensor calibration.errors: found (25, 1, 2)"},
  };
  for (const Lie& lie : lies) {
    Parts parts;
    lie.tell(parts);
    std::string found = "nothing";
    try {
      static_cast<void>(load(parts.content()));
    } catch (const FormatError& error) {
      found = error.what();
    }
    EXPECT_NE(found.find(lie.message), std::string::npos) << lie.message << "\n  " << found;
  }
}

}  // namespace
}  // namespace memattn
