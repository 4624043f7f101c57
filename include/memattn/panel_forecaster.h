// A forecaster of many series of one frequency, built on the layer: an ensemble of small networks,
// each trained on windows of all series.
//
// A positive series is forecast in logarithms, unless one value is more than 1000 times its
// neighbour; any other series is forecast as it is. Forecasts of a series that was never negative
// are not negative. At an origin, the network sees the last `lookback` values less their season,
// relative to the last of them and in units of their mean step. Its output is added to the Naive2
// forecast: the last value with the season put back. So an untrained model is exactly Naive2, and a
// series that stands still is forecast to stand still. Series with many long seasons, hourly ones
// above all, may use other windows: PanelWindows.
//
//   memattn::PanelForecasterOptions options;
//   options.horizon = 12;
//   options.lookbacks = {24};
//   memattn::PanelForecaster forecaster(options);
//   forecaster.fit({values, offsets});
//   forecaster.predict({values, offsets}, {series, times}, forecasts);
//
// Covariates, what is known beside a series, are a table with a row for each value of the series
// and for each of the `horizon` steps after it. Blocks select what the networks see of the table at
// an origin, by columns and by rows relative to the origin:
//
//   options.covariates = 3;             // columns: price, holiday, temperature
//   options.blocks = {{0, 2, 0, 12},    // price and holiday in each of the 12 steps ahead
//                     {0, 1, -1, 1},    // the price of the last known value
//                     {2, 1, -24, 24}}; // the temperature of the last 24 values, not ahead
//   forecaster.fit({values, offsets, table});
//   forecaster.predict({values, offsets, table}, {series, times}, forecasts);
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "memattn/config.h"
#include "memattn/error_loss.h"
#include "memattn/export.h"

namespace memattn {

// What a network sees of a series at an origin, and what its output is added to.
enum class PanelWindows {
  // The last values less their season, relative to the last of them; added to Naive2, or with a
  // long season to the last value with that season put back.
  kLastValues,
  // Whole seasons, relative to the mean of the last one, in units of the standard deviation of all
  // values up to the origin; added to the average of past values of the same phase. The memory
  // layers see the mean of each season, the last two seasons value by value, and the mean season.
  // One linear path sees the mean of each season and the last three seasons. In a second one, each
  // step ahead sees the past values of its own phase only.
  kPastSeasons,
};

// A rectangle of the table of covariates, at each origin: the columns first_column, ...,
// first_column + columns - 1, in the rows first_row, ..., first_row + rows - 1. Row 0 is the first
// step ahead, row -1 is that of the last known value. Rows from 0 on must be known when the
// forecast is made; nothing in the table says so, and a block must not select them of a column that
// is not. A row before the start of a series is its first row, as windows repeat the first value.
// No row may lie beyond the horizon. Blocks may overlap.
struct CovariateBlock {
  std::int64_t first_column = 0;
  std::int64_t columns = 1;
  std::int64_t first_row = 0;
  std::int64_t rows = 1;
};

using PanelLoss [[deprecated("renamed ErrorLoss; removed in version 0.3")]] = ErrorLoss;

struct MEMATTN_EXPORT PanelForecasterOptions {
  std::int64_t horizon = 0;  // steps ahead to forecast
  std::int64_t season = 1;   // values per season; 1: no season
  // Values of a longer season that is 2 to 1000 whole seasons, for kLastValues; 0: none. Hourly
  // values have 24 and 168. The season of a window is then what predicted best so far, from slow
  // averages of both to the last season again, instead of Naive2's. Inputs and errors are in units
  // of the mean change over a season: of values that repeat closely, small errors count.
  std::int64_t long_season = 0;
  // Values that a member sees, whole seasons with kPastSeasons. A shorter history repeats its first
  // value (kPastSeasons: its first season). Each lookback gives `seeds` members. The forecast is
  // the mean of all members, taken in logarithms for a series in logarithms.
  std::vector<std::int64_t> lookbacks = {};
  std::int64_t seeds = 1;
  std::int64_t min_history = 1;  // values before the first origin that training uses
  PanelWindows windows = PanelWindows::kLastValues;
  bool logs = true;  // forecast positive series in logarithms

  std::int64_t covariates = 0;  // columns of the table SeriesView::covariates
  // What the networks see of the table, in the memory layers and in the linear path. A value makes
  // `outputs() * horizon + units` weights; what no block selects makes none.
  std::vector<CovariateBlock> blocks = {};
  // Training uses origins that lie a multiple of this many values before the end of their series:
  // 24 for forecasts that are always made at midnight, of series that end there.
  std::int64_t origin_stride = 1;

  std::int64_t units = 64;        // width of each memory layer
  std::int64_t memory_size = 32;  // slots of each memory layer
  std::int64_t num_heads = 4;     // of each memory layer
  std::int64_t layers = 2;        // memory layers; 0: a linear model
  // Memory layers of the members of each lookback, instead of `layers`; empty: `layers` for all.
  // Lookbacks may repeat: {24, 24} with {0, 2} are linear members beside those with a memory.
  std::vector<std::int64_t> member_layers = {};
  bool pre_norm = false;     // layer normalisation in front of each memory layer
  double dropout = 0;        // on the output of each memory layer, in training; in [0, 1)
  double input_dropout = 0;  // on what goes into the memory layers, in training; in [0, 1)
  MemoryInitializer memory_initializer = {};

  // Of the error forecast - truth, in units of the series' mean step (kPastSeasons: its standard
  // deviation); in logarithms the unit is 20 mean steps, at most 1. With a long season it is the
  // mean change over a season.
  ErrorLoss loss = ErrorLoss::kSmape;
  double huber_delta = 1;              // of kHuber
  std::vector<double> quantiles = {};  // of kPinball, else empty: in (0, 1), increasing

  std::int64_t steps = 600;       // training steps
  std::int64_t batch_size = 512;  // origins in each step
  double learning_rate = 1e-3;    // of AdamW: reached after warm_up steps, then falling to 0
  std::int64_t warm_up = 100;     // steps
  double weight_decay = 1e-2;
  double clip_norm = 1;      // largest norm of a gradient
  double average_decay = 0;  // > 0: the weights are a moving average over the steps
  std::uint64_t seed = 0;

  // The number of members; the options must be valid.
  std::int64_t members() const { return static_cast<std::int64_t>(lookbacks.size()) * seeds; }
  // The number of forecasts of each step ahead: the quantiles, or 1.
  std::int64_t outputs() const {
    return loss == ErrorLoss::kPinball ? static_cast<std::int64_t>(quantiles.size()) : 1;
  }

  // Returns the number of memory layers of a member; the options must be valid. Throws
  // std::invalid_argument when there is no such member.
  [[nodiscard]] std::int64_t layers_of(std::int64_t member) const;

  // Returns the number of weights of each member without making one. Throws as validate.
  [[nodiscard]] std::vector<std::int64_t> count_member_params() const;

  // Throws std::invalid_argument naming the first invalid option, or the options whose product is
  // too large: a member has fewer than 2^31 weights, and so has a batch values of any kind.
  void validate() const;
};

// Series i is values[offsets[i]] .. values[offsets[i + 1] - 1], oldest first. offsets has one more
// element than there are series, starts at 0 and ends at values.size().
struct SeriesView {
  std::span<const double> values;
  std::span<const std::int64_t> offsets;
  // With options.covariates = K > 0: a table (values.size() + S * horizon, K) of S series, row by
  // row. Series after series, it has a row for each value and then `horizon` rows for the steps
  // after the last value. All must be finite, in rows that no block selects too. Columns should
  // vary by about 1; what is beyond +-10 is cut off there.
  std::span<const float> covariates = {};
};

// Points to forecast from: of series[i], only the first times[i] values are looked at.
struct OriginsView {
  std::span<const std::int64_t> series;
  std::span<const std::int64_t> times;
};

// Everything that the remaining steps of a training depend on, besides options and series.
struct PanelTrainingState {
  std::int64_t steps_done = 0;              // by each member
  std::vector<std::vector<float>> members;  // weights, Adam's moments, the moving average
};

struct PanelProgress {
  std::int64_t step = 0;   // steps done by each member
  std::int64_t steps = 0;  // steps in all
  double loss = 0;         // of the latest step, the mean over members
};

// The forecaster with its weights.
//
// Threads: members are trained side by side on as many threads as threads.h allows, and so are
// forecasts made; results are the same bits at any number of threads. Any number of threads may
// call the const methods at once; a call that changes the forecaster needs it alone.
//
// Errors: every method throws std::invalid_argument on bad arguments before it computes anything,
// and std::bad_alloc when memory runs out. A method that throws, for whatever reason, leaves the
// weights as they were, to the bit.
//
// Interruption: fit, resume and all forecasts call their `poll`, if there is one, on the caller's
// thread between parts of their work, some of them microseconds long and few longer than 0.1 s.
// What it throws ends the call and reaches the caller; outputs are then half written. Training
// steps are the business of `progress`: fit and resume poll before the first step only.
//
// A forecaster that was moved from can only be assigned to or destroyed.
class MEMATTN_EXPORT PanelForecaster {
 public:
  // Draws the initial weights from options.seed.
  explicit PanelForecaster(const PanelForecasterOptions& options);
  PanelForecaster(PanelForecaster&&) noexcept;
  PanelForecaster& operator=(PanelForecaster&&) noexcept;
  ~PanelForecaster();

  [[nodiscard]] const PanelForecasterOptions& options() const;
  // Returns the number of weights of all members together.
  [[nodiscard]] std::int64_t count_params() const;

  // Returns the weights of one member, flat, in an order that options() decides. They make another
  // forecaster with the same options forecast the same bits. The span is valid until the next fit,
  // resume, set_parameters or move.
  [[nodiscard]] std::span<const float> parameters(std::int64_t member) const;
  // Replaces the weights of one member. They must be finite.
  void set_parameters(std::int64_t member, std::span<const float> parameters);

  // Trains all members from their initial weights. Calls `progress` on the caller's thread after
  // each step of all members. When it returns false, training ends there with the weights of that
  // step, and fit returns false unless it was the last step; else fit returns true. Values must be
  // finite and at most 1e150 in size, and one series at least min_history + origin_stride long. At
  // origins less than `horizon` before the end, blocks reach into the rows after it. Throws
  // std::runtime_error when the training diverges, that is, makes weights that are not finite.
  bool fit(const SeriesView& series, const std::function<bool(const PanelProgress&)>& progress = {},
           const std::function<void()>& poll = {});

  // Returns the state of the latest training, for resume: at its end, where `progress` stopped it,
  // or at the step after which `progress` threw, even though the weights are then those from before
  // the training. set_parameters forgets such an interrupted training.
  [[nodiscard]] PanelTrainingState training_state() const;
  // Continues a training from its state, in this forecaster or another one with the same options.
  // With the same series the result is the same bits as without the stop. Else as fit.
  bool resume(const SeriesView& series, const PanelTrainingState& state,
              const std::function<bool(const PanelProgress&)>& progress = {},
              const std::function<void()>& poll = {});

  // Computes forecasts (N, outputs, horizon) from N origins, the mean of all members. Quantiles do
  // not cross. Each origin must lie inside its series with at least one value before it.
  // `precision` is that of the memory layers.
  void predict(const SeriesView& series, const OriginsView& origins, std::span<double> forecasts,
               const std::function<void()>& poll = {},
               Precision precision = Precision::kFloat32) const;
  // The same for one member.
  void predict(const SeriesView& series, const OriginsView& origins, std::int64_t member,
               std::span<double> forecasts, const std::function<void()>& poll = {},
               Precision precision = Precision::kFloat32) const;

  [[deprecated("give the member before the forecasts; removed in version 0.3")]] void predict(
      const SeriesView& series, const OriginsView& origins, std::span<double> forecasts,
      std::int64_t member) const {
    if (member == -1) {
      predict(series, origins, forecasts);
    } else {
      predict(series, origins, member, forecasts);
    }
  }

  // Computes forecasts (N, outputs, horizon) from N origins, to each of which the memory layers add
  // what they add at its donor, another origin: how much the forecasts rest on what the memory
  // layers add to this window, and not to any. Linear members forecast as always.
  void predict_with_memory_of(const SeriesView& series, const OriginsView& origins,
                              const OriginsView& donors, std::span<double> forecasts,
                              const std::function<void()>& poll = {}) const;

  // Computes scores (N, layers, memory_size): the attention of one member to each slot of each of
  // its memory layers, options().layers_of(member) of them, the mean over heads. The scores of an
  // origin and a layer sum to 1. A linear member has none.
  void attention_scores(const SeriesView& series, const OriginsView& origins, std::int64_t member,
                        std::span<float> scores, const std::function<void()>& poll = {}) const;

  // Computes forecasts (memory_size, N, outputs, horizon) of one member without one slot of one of
  // its memory layers, for each slot in turn. The attention to that slot goes to the layer's other
  // slots; a layer of one slot is left with none and adds no memory.
  void predict_without_slots(const SeriesView& series, const OriginsView& origins,
                             std::int64_t member, std::int64_t layer, std::span<double> forecasts,
                             const std::function<void()>& poll = {}) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace memattn
