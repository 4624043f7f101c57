// Forecasts of one series by networks that were trained on others: without training, in less than a
// millisecond.
//
//   const auto forecaster = memattn::QuickForecaster::load("season-12.safetensors");
//   std::vector<double> forecasts(12), bounds(2 * 12);
//   const std::vector<double> levels = {80};
//   forecaster.forecast(values, forecasts, levels, bounds);
//
// The files are those that Python's Forecaster.pretrain and save(series=False) make; the Python
// package has one for each season in memattn/forecast/prior.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "memattn/export.h"

namespace memattn {

// Threads: any number of threads may call the const methods at once. A forecaster that was moved
// from can only be assigned to or destroyed.
class MEMATTN_EXPORT QuickForecaster {
 public:
  // Reads a file; nothing in it is trusted, and every size is compared with the bytes that are
  // there before memory is taken for it. Throws FormatError when it is no file of networks with
  // trained quantiles, or is damaged, and std::system_error when the system refuses.
  [[nodiscard]] static QuickForecaster load(const std::filesystem::path& path);
  // Reads the content of such a file, which is not needed afterwards.
  [[nodiscard]] static QuickForecaster load(std::span<const std::byte> content);

  QuickForecaster(QuickForecaster&&) noexcept;
  QuickForecaster& operator=(QuickForecaster&&) noexcept;
  ~QuickForecaster();

  // Rows after which the series repeat, 1 for never: what the networks were trained for.
  [[nodiscard]] std::int64_t season() const;
  // The most rows ahead.
  [[nodiscard]] std::int64_t horizon() const;
  // The levels in percent whose bounds were trained, ascending.
  [[nodiscard]] std::span<const double> levels() const;

  // Computes forecasts of the rows after a series: forecasts.size() of them, from 1 to horizon().
  // `values` are finite, oldest first, at equal distances, at least one. With levels, in percent
  // from 1 to below 100, also computes bounds (levels, 2, forecasts.size()): for each level the
  // lower and then the upper end. Levels that were not trained lie between those that were,
  // linearly in the quantile of the normal distribution. The bounds are those that the networks
  // learned; they promise no coverage of this series.
  //
  // Fewer than three values are forecast by the last one, with NaN for bounds; values that stand
  // still are forecast to stand still. A series that was never negative has no negative forecast.
  // The forecasts and the trained levels are those of Python's memattn.forecast.quick to the bit on
  // one instruction set, other levels within some roundings.
  //
  // Throws std::invalid_argument on bad arguments before it computes anything.
  void forecast(std::span<const double> values, std::span<double> forecasts,
                std::span<const double> levels = {}, std::span<double> bounds = {}) const;

 private:
  struct Impl;
  explicit QuickForecaster(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace memattn
