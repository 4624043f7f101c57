// memattn._memattn.QuickForecaster: forecasts of one series as C++ programs get them.
#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/pair.h>
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
#include "new_array.h"
#include "span_of.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

using Values = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

memattn::QuickForecaster from_bytes(const nb::bytes& content) {
  const auto* const data = static_cast<const std::byte*>(content.data());
  return memattn::QuickForecaster::load(std::span(data, content.size()));
}

auto forecast(const memattn::QuickForecaster& forecaster, const Values& values,
              std::int64_t horizon, const std::vector<double>& levels) {
  if (horizon < 1 || horizon > forecaster.horizon()) {  // before memory is taken
    throw std::invalid_argument("QuickForecaster.forecast: horizon: found " +
                                std::to_string(horizon) + ", expected a number from 1 to " +
                                std::to_string(forecaster.horizon()));
  }
  const auto steps = static_cast<std::size_t>(horizon);
  const std::span series = span_of("values", values);
  auto [points, points_view] = make_array<double>({steps});
  auto [bounds, bounds_view] = make_array<double>({levels.size(), std::size_t{2}, steps});
  {
    const GilRelease release;
    forecaster.forecast(series, points_view, levels, bounds_view);
  }
  return std::pair(points, bounds);
}

}  // namespace

void init_quick(nb::module_& m) {
  using memattn::QuickForecaster;
  nb::class_<QuickForecaster> type(m, "QuickForecaster",
                                   "Forecasts of one series by networks of others, as in C++.");
  type.def_static(
      "load", [](const std::filesystem::path& path) { return QuickForecaster::load(path); },
      "path"_a, "Read a file that Forecaster.pretrain and save made.");
  type.def_static("from_bytes", &from_bytes, "content"_a, "Read the content of such a file.");
  type.def_prop_ro("season", &QuickForecaster::season, "Rows after which the series repeat.");
  type.def_prop_ro("horizon", &QuickForecaster::horizon, "The most rows ahead.");
  type.def_prop_ro(
      "levels",
      [](const QuickForecaster& forecaster) {
        return std::vector<double>(forecaster.levels().begin(), forecaster.levels().end());
      },
      "The levels in percent whose bounds were trained.");
  type.def("forecast", &forecast, "values"_a, "horizon"_a, "levels"_a = std::vector<double>(),
           "Forecasts (horizon,) and bounds (levels, 2, horizon) of the rows after a series.");
}
