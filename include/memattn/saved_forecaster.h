// Forecasts with intervals in C++, by a forecaster that Python's Forecaster.save wrote.
//
//   const auto forecaster = memattn::SavedForecaster::load("sales.safetensors");
//   const std::int64_t shop = *forecaster.find("shop 12");
//   std::vector<double> forecasts(12), bounds(2 * 12);
//   const std::vector<double> levels = {80};
//   forecaster.forecast_series(shop, forecasts, levels, bounds);
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "memattn/export.h"

namespace memattn {

// On one instruction set, forecasts and bounds equal those of Python's
// Forecaster.load(path).predict() to the bit.
//
// Threads: any number of threads may call the const methods at once. A moved-from forecaster may
// only be assigned to or destroyed.
class MEMATTN_EXPORT SavedForecaster {
 public:
  // Reads a file of Forecaster.save, which may be untrusted: every size is checked against the
  // bytes in the file before memory is allocated. Throws FormatError if the file is damaged, holds
  // no forecaster, or has covariates, and std::system_error if the system refuses.
  [[nodiscard]] static SavedForecaster load(const std::filesystem::path& path);
  // Reads the content of such a file, which is not needed afterwards.
  [[nodiscard]] static SavedForecaster load(std::span<const std::byte> content);

  SavedForecaster(SavedForecaster&&) noexcept;
  SavedForecaster& operator=(SavedForecaster&&) noexcept;
  ~SavedForecaster();

  // The largest number of steps ahead.
  [[nodiscard]] std::int64_t horizon() const;
  // Rows in a season; 1 for no season.
  [[nodiscard]] std::int64_t season() const;
  // Whether forecasts can have bounds, and the trained levels in percent, ascending. If there are
  // trained levels, only these are available; otherwise any level from 1 to below 100.
  [[nodiscard]] bool has_intervals() const;
  [[nodiscard]] std::span<const double> levels() const;

  // The ids of the series in the file, whole numbers as text; none after save(series=False). Valid
  // as long as the forecaster.
  [[nodiscard]] std::span<const std::string> ids() const;
  // Returns the index of a series by its id, or nullopt if the file has no such series.
  [[nodiscard]] std::optional<std::int64_t> find(std::string_view id) const;

  // Computes forecasts of the forecasts.size() steps after a series of the file, from 1 to
  // horizon(). With levels, also computes bounds (levels, 2, forecasts.size()): for each level the
  // lower and the upper bound. Bounds are NaN for steps ahead that no calibration window reached.
  // Throws std::invalid_argument for invalid arguments before it computes anything.
  void forecast_series(std::int64_t series, std::span<double> forecasts,
                       std::span<const double> levels = {}, std::span<double> bounds = {}) const;
  // The same for another series, like predict(data): at least one value, oldest first, equally
  // spaced, finite or NaN for a missing value. The first and the last value must not be missing.
  void forecast(std::span<const double> values, std::span<double> forecasts,
                std::span<const double> levels = {}, std::span<double> bounds = {}) const;

 private:
  struct Impl;
  explicit SavedForecaster(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace memattn
