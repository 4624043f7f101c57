#include "memattn/saved_forecaster.h"

#include <unordered_map>
#include <utility>

#include "check.h"
#include "forecast/saved_file.h"
#include "forecast/series_forecast.h"
#include "io/safetensors.h"

namespace memattn {

struct SavedForecaster::Impl {
  explicit Impl(const SafetensorsReader& reader) : series(read_saved(reader)) {
    for (const std::string& id : series.saved().ids) places.emplace(id, std::ssize(places));
  }

  // Returns the values of a series in the file, as in Python's panel.
  std::span<const double> values_of(std::int64_t place) const {
    const SavedNetworks& saved = series.saved();
    const auto k = static_cast<std::size_t>(place);
    const auto begin = static_cast<std::size_t>(saved.offsets[k]);
    return std::span(saved.values)
        .subspan(begin, static_cast<std::size_t>(saved.offsets[k + 1]) - begin);
  }

  SeriesForecast series;
  std::unordered_map<std::string_view, std::int64_t> places;  // by id
};

SavedForecaster::SavedForecaster(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SavedForecaster::SavedForecaster(SavedForecaster&&) noexcept = default;
SavedForecaster& SavedForecaster::operator=(SavedForecaster&&) noexcept = default;
SavedForecaster::~SavedForecaster() = default;

SavedForecaster SavedForecaster::load(const std::filesystem::path& path) {
  return SavedForecaster(std::make_unique<Impl>(SafetensorsReader(path)));
}

SavedForecaster SavedForecaster::load(std::span<const std::byte> content) {
  return SavedForecaster(std::make_unique<Impl>(SafetensorsReader("Forecaster", content)));
}

std::int64_t SavedForecaster::horizon() const { return impl_->series.saved().horizon; }

std::int64_t SavedForecaster::season() const { return impl_->series.saved().season; }

bool SavedForecaster::has_intervals() const { return impl_->series.has_intervals(); }

std::span<const double> SavedForecaster::levels() const {
  if (!impl_->series.only_trained()) return {};
  return impl_->series.saved().levels;
}

std::span<const std::string> SavedForecaster::ids() const { return impl_->series.saved().ids; }

std::optional<std::int64_t> SavedForecaster::find(std::string_view id) const {
  const auto found = impl_->places.find(id);
  if (found == impl_->places.end()) return std::nullopt;
  return found->second;
}

void SavedForecaster::forecast_series(std::int64_t series, std::span<double> forecasts,
                                      std::span<const double> levels,
                                      std::span<double> bounds) const {
  constexpr std::string_view kFunction = "SavedForecaster::forecast_series";
  const std::int64_t count = std::ssize(ids());
  if (count == 0) {
    fail_argument(kFunction, "series", series,
                  "no index, since the file was saved without its series");
  }
  check_between(kFunction, "series", series, 0, count - 1);
  const std::span<const double> values = impl_->values_of(series);
  impl_->series.check(kFunction, values, forecasts, levels, bounds);
  impl_->series.forecast(values, forecasts, levels, bounds);
}

void SavedForecaster::forecast(std::span<const double> values, std::span<double> forecasts,
                               std::span<const double> levels, std::span<double> bounds) const {
  impl_->series.check("SavedForecaster::forecast", values, forecasts, levels, bounds);
  impl_->series.forecast(values, forecasts, levels, bounds);
}

}  // namespace memattn
