#include "memattn/quick_forecaster.h"

#include <utility>

#include "forecast/saved_file.h"
#include "forecast/series_forecast.h"
#include "io/safetensors.h"

namespace memattn {

struct QuickForecaster::Impl {
  SeriesForecast series;
};

QuickForecaster::QuickForecaster(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
QuickForecaster::QuickForecaster(QuickForecaster&&) noexcept = default;
QuickForecaster& QuickForecaster::operator=(QuickForecaster&&) noexcept = default;
QuickForecaster::~QuickForecaster() = default;

QuickForecaster QuickForecaster::load(const std::filesystem::path& path) {
  return QuickForecaster(
      std::make_unique<Impl>(Impl{SeriesForecast(read_prior(SafetensorsReader(path)))}));
}

QuickForecaster QuickForecaster::load(std::span<const std::byte> content) {
  return QuickForecaster(std::make_unique<Impl>(
      Impl{SeriesForecast(read_prior(SafetensorsReader("prior", content)))}));
}

std::int64_t QuickForecaster::season() const { return impl_->series.saved().season; }

std::int64_t QuickForecaster::horizon() const { return impl_->series.saved().horizon; }

std::span<const double> QuickForecaster::levels() const { return impl_->series.saved().levels; }

void QuickForecaster::forecast(std::span<const double> values, std::span<double> forecasts,
                               std::span<const double> levels, std::span<double> bounds) const {
  impl_->series.check("QuickForecaster::forecast", values, forecasts, levels, bounds);
  impl_->series.forecast(values, forecasts, levels, bounds);
}

}  // namespace memattn
