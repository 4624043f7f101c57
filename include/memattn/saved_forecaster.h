// Forecasts by what Python's Forecaster.save wrote, with its intervals, inside a C++ program.
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

// Forecasts and bounds are those of Python's Forecaster.load(path).predict() to the bit, on one
// instruction set.
//
// Threads: any number of threads may call the const methods at once. A forecaster that was moved
// from can only be assigned to or destroyed.
class MEMATTN_EXPORT SavedForecaster {
 public:
  // Reads a file of Forecaster.save; nothing in it is trusted, and every size is compared with the
  // bytes that are there before memory is taken for it. Throws FormatError when it is no such file,
  // is damaged, or has covariates, and std::system_error when the system refuses.
  [[nodiscard]] static SavedForecaster load(const std::filesystem::path& path);
  // Reads the content of such a file, which is not needed afterwards.
  [[nodiscard]] static SavedForecaster load(std::span<const std::byte> content);

  SavedForecaster(SavedForecaster&&) noexcept;
  SavedForecaster& operator=(SavedForecaster&&) noexcept;
  ~SavedForecaster();

  // The most rows ahead.
  [[nodiscard]] std::int64_t horizon() const;
  // Rows after which the series repeat, 1 for never.
  [[nodiscard]] std::int64_t season() const;
  // Whether forecasts can have bounds at all, and the only levels in percent that they can have,
  // ascending: those that were trained. None of these: any level from 1 to below 100.
  [[nodiscard]] bool has_intervals() const;
  [[nodiscard]] std::span<const double> levels() const;

  // The names of the series in the file, whole numbers as text; none after save(series=False).
  // Valid as long as the forecaster is.
  [[nodiscard]] std::span<const std::string> ids() const;
  // The place of a series by its name; nothing when the file has no such series.
  [[nodiscard]] std::optional<std::int64_t> find(std::string_view id) const;

  // Computes forecasts of the rows after a series of the file, forecasts.size() of them, from 1 to
  // horizon(). With levels, also computes bounds (levels, 2, forecasts.size()): for each level the
  // lower and then the upper end. Bounds are NaN for steps ahead that no calibration window
  // reached. Throws std::invalid_argument on bad arguments before it computes anything.
  void forecast_series(std::int64_t series, std::span<double> forecasts,
                       std::span<const double> levels = {}, std::span<double> bounds = {}) const;
  // The same for another series, as predict(data) does: finite values, oldest first, at equal
  // distances, at least one. NaN is a missing value, which the first and the last one are not.
  void forecast(std::span<const double> values, std::span<double> forecasts,
                std::span<const double> levels = {}, std::span<double> bounds = {}) const;

 private:
  struct Impl;
  explicit SavedForecaster(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace memattn
