// A small forecaster built on the layer, for one or several series of equal spacing.
//
// A window of `lookback` values is brought to mean 0 and standard deviation 1, cut into patches,
// each patch becomes one token by a linear embedding plus a learned position, the tokens read the
// memory, and a linear head gives `horizon` values; a linear path from window to horizon stands
// beside it. What both give together, in deviations of the window, is added to the seasonal-naive
// forecast. Head and path start at zero, so the untrained model is seasonal-naive exactly; and a
// constant window has no deviation, so its forecast is that constant.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "memattn/export.h"

namespace memattn {

struct ForecasterOptions {
  std::int64_t lookback = 0;  // L: values that the model sees; at least season and patch_size
  std::int64_t horizon = 0;   // values that it forecasts; at least 1
  std::int64_t season = 1;    // of seasonal-naive; 1: the last value
  // Values a token; the oldest lookback % patch_size are in none and go by the linear path alone.
  std::int64_t patch_size = 24;
  std::int64_t units = 32;  // of the memory layer
  std::int64_t memory_size = 16;
  std::int64_t num_heads = 2;
  std::int64_t epochs = 10;      // passes over the training windows
  std::int64_t batch_size = 64;  // windows a step
  double learning_rate = 2e-3;   // AdamW, cosine to 0, after a short warm-up
  double weight_decay = 1e-2;
  double clip_norm = 1.0;
  std::uint64_t seed = 0;

  // Throws std::invalid_argument naming the first option that cannot be.
  void validate() const;
};

// What fit tells while it works, once a step.
struct FitProgress {
  std::int64_t step = 0;   // steps done
  std::int64_t steps = 0;  // steps in all
  double loss = 0;         // mean Huber loss of the latest step, in deviations of a window
};

// Not thread-safe while fit runs; the const methods may be called from many threads at once.
// Training is single-threaded and the same options and data give the same bits.
class MEMATTN_EXPORT Forecaster {
 public:
  explicit Forecaster(const ForecasterOptions& options);
  Forecaster(Forecaster&&) noexcept;
  Forecaster& operator=(Forecaster&&) noexcept;
  ~Forecaster();

  const ForecasterOptions& options() const;
  std::int64_t count_params() const;

  // Trains on every window of every series: lookback values and the horizon after them. A series
  // too short for one is passed over. Each fit starts from the initial weights. `progress` is
  // called after each step; when it returns false, fit stops there and returns false, and the model
  // stays as that step left it. What it throws passes through, with the same guarantee. Throws
  // std::invalid_argument, and leaves the model as it was, on values that are not finite or beyond
  // 1e300 in size, and when no series holds a window.
  bool fit(std::span<const std::span<const double>> series,
           const std::function<bool(const FitProgress&)>& progress = {});

  // forecasts (N, horizon) from windows (N, lookback), oldest value first. A window with a value
  // that is not finite gets NaN; the others do not feel it.
  void predict(std::span<const double> windows, std::span<double> forecasts) const;

  // What the memory layer reads: scores (N, num_heads, tokens, memory_size) for windows (N,
  // lookback).
  void attention_scores(std::span<const double> windows, std::span<double> scores) const;
  std::int64_t tokens() const;  // lookback / patch_size

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace memattn
