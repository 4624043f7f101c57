// Forecasts of one series by pretrained networks: without training, in less than a millisecond.
//
//   const auto forecaster = memattn::QuickForecaster::load("season-12.safetensors");
//   std::vector<double> forecasts(12), bounds(2 * 12);
//   const std::vector<double> levels = {80};
//   forecaster.forecast(values, forecasts, levels, bounds);
//
// Python's Forecaster.pretrain and save(series=False) write such files; the Python package has one
// for each season in memattn/forecast/prior.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "memattn/export.h"

namespace memattn {

// Threads: any number of threads may call the const methods at once. A moved-from forecaster may
// only be assigned to or destroyed.
class MEMATTN_EXPORT QuickForecaster {
 public:
  // Reads a file, which may be untrusted: every size is checked against the bytes in the file
  // before memory is allocated. Throws FormatError if the file is damaged or holds no networks with
  // trained quantiles, and std::system_error if the system refuses.
  [[nodiscard]] static QuickForecaster load(const std::filesystem::path& path);
  // Reads the content of such a file, which is not needed afterwards.
  [[nodiscard]] static QuickForecaster load(std::span<const std::byte> content);

  QuickForecaster(QuickForecaster&&) noexcept;
  QuickForecaster& operator=(QuickForecaster&&) noexcept;
  ~QuickForecaster();

  // Rows in a season that the networks were trained for; 1 for no season.
  [[nodiscard]] std::int64_t season() const;
  // The largest number of steps ahead.
  [[nodiscard]] std::int64_t horizon() const;
  // The levels in percent whose bounds were trained, ascending.
  [[nodiscard]] std::span<const double> levels() const;

  // Computes forecasts of the forecasts.size() steps after a series, from 1 to horizon(). `values`
  // are finite, oldest first, equally spaced, at least one. With levels, in percent from 1 to below
  // 100, also computes bounds (levels, 2, forecasts.size()): for each level the lower and the upper
  // bound. Levels that were not trained are interpolated, linearly in the quantile of the normal
  // distribution. The bounds come from the networks and are not calibrated on this series.
  //
  // Fewer than three values are forecast by the last one, with NaN for bounds. A constant series
  // has a constant forecast. A series that was never negative has no negative forecast. On one
  // instruction set, the forecasts and the trained levels equal those of Python's
  // memattn.forecast.quick to the bit; other levels up to rounding.
  //
  // Throws std::invalid_argument for invalid arguments before it computes anything.
  void forecast(std::span<const double> values, std::span<double> forecasts,
                std::span<const double> levels = {}, std::span<double> bounds = {}) const;

 private:
  struct Impl;
  explicit QuickForecaster(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace memattn
