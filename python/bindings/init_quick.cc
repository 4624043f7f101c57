// memattn._memattn.QuickForecaster, SavedForecaster: forecasts as C++ programs get them.
#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings.h"
#include "gil.h"
#include "memattn/quick_forecaster.h"
#include "memattn/saved_forecaster.h"
#include "new_array.h"
#include "span_of.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

using Values = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <typename Forecaster>
Forecaster from_bytes(const nb::bytes& content) {
  const auto* const data = static_cast<const std::byte*>(content.data());
  return Forecaster::load(std::span(data, content.size()));
}

// Forecasts (horizon,) and bounds (levels, 2, horizon), which `compute` writes.
template <typename Forecaster, typename Compute>
auto forecasts_of(const Forecaster& forecaster, std::int64_t horizon,
                  const std::vector<double>& levels, const Compute& compute) {
  if (horizon < 1 || horizon > forecaster.horizon()) {  // before memory is taken
    throw std::invalid_argument("forecast: horizon: found " + std::to_string(horizon) +
                                ", expected a number from 1 to " +
                                std::to_string(forecaster.horizon()));
  }
  const auto steps = static_cast<std::size_t>(horizon);
  auto [points, points_view] = make_array<double>({steps});
  auto [bounds, bounds_view] = make_array<double>({levels.size(), std::size_t{2}, steps});
  {
    const GilRelease release;
    compute(points_view, bounds_view);
  }
  return std::pair(points, bounds);
}

template <typename Forecaster>
auto forecast(const Forecaster& forecaster, const Values& values, std::int64_t horizon,
              const std::vector<double>& levels) {
  const std::span series = span_of("values", values);
  return forecasts_of(forecaster, horizon, levels, [&](auto points, auto bounds) {
    forecaster.forecast(series, points, levels, bounds);
  });
}

auto forecast_series(const memattn::SavedForecaster& forecaster, std::int64_t series,
                     std::int64_t horizon, const std::vector<double>& levels) {
  return forecasts_of(forecaster, horizon, levels, [&](auto points, auto bounds) {
    forecaster.forecast_series(series, points, levels, bounds);
  });
}

}  // namespace

void init_quick(nb::module_& m) {
  using memattn::QuickForecaster;
  nb::class_<QuickForecaster> type(m, "QuickForecaster",
                                   "Forecasts of one series by networks of others, as in C++.");
  type.def_static(
      "load", [](const std::filesystem::path& path) { return QuickForecaster::load(path); },
      "path"_a, "Read a file that Forecaster.pretrain and save made.");
  type.def_static("from_bytes", &from_bytes<QuickForecaster>, "content"_a,
                  "Read the content of such a file.");
  type.def_prop_ro("season", &QuickForecaster::season, "Rows after which the series repeat.");
  type.def_prop_ro("horizon", &QuickForecaster::horizon, "The most rows ahead.");
  type.def_prop_ro(
      "levels",
      [](const QuickForecaster& forecaster) {
        return std::vector<double>(forecaster.levels().begin(), forecaster.levels().end());
      },
      "The levels in percent whose bounds were trained.");
  type.def("forecast", &forecast<QuickForecaster>, "values"_a, "horizon"_a,
           "levels"_a = std::vector<double>(),
           "Forecasts (horizon,) and bounds (levels, 2, horizon) of the rows after a series.");

  using memattn::SavedForecaster;
  nb::class_<SavedForecaster> saved(m, "SavedForecaster",
                                    "Forecasts by what Forecaster.save wrote, as in C++.");
  saved.def_static(
      "load", [](const std::filesystem::path& path) { return SavedForecaster::load(path); },
      "path"_a, "Read a file of Forecaster.save.");
  saved.def_static("from_bytes", &from_bytes<SavedForecaster>, "content"_a,
                   "Read the content of such a file.");
  saved.def_prop_ro("horizon", &SavedForecaster::horizon, "The most rows ahead.");
  saved.def_prop_ro("season", &SavedForecaster::season, "Rows after which the series repeat.");
  saved.def_prop_ro("has_intervals", &SavedForecaster::has_intervals, "Whether bounds can be had.");
  saved.def_prop_ro(
      "levels",
      [](const SavedForecaster& forecaster) {
        return std::vector<double>(forecaster.levels().begin(), forecaster.levels().end());
      },
      "The only levels in percent that can be had; none: any.");
  saved.def_prop_ro(
      "ids",
      [](const SavedForecaster& forecaster) {
        return std::vector<std::string>(forecaster.ids().begin(), forecaster.ids().end());
      },
      "The names of the series.");
  saved.def("find", &SavedForecaster::find, "id"_a, "The place of a series, or None.");
  saved.def("forecast", &forecast<SavedForecaster>, "values"_a, "horizon"_a,
            "levels"_a = std::vector<double>(),
            "Forecasts (horizon,) and bounds (levels, 2, horizon) of the rows after a series.");
  saved.def("forecast_series", &forecast_series, "series"_a, "horizon"_a,
            "levels"_a = std::vector<double>(), "The same of a series of the file.");
}
