// A forecaster of many series of one frequency, built on the layer: an ensemble of small networks,
// each trained on windows of all series.
//
// A positive series is forecast in logarithms, unless a value is more than 1000 times its
// neighbour; other series are forecast without logarithms. Forecasts of a series that was never
// negative are not negative. At an origin, the input of the network is the last `lookback` values,
// seasonally adjusted, relative to the last value and in units of their mean step. Its output is
// added to the Naive2 forecast: the last seasonally adjusted value with the season put back. So an
// untrained model equals Naive2, and a constant series has a constant forecast. Series with many
// long seasons, such as hourly series, may use other windows: PanelWindows.
//
//   memattn::PanelForecasterOptions options;
//   options.horizon = 12;
//   options.lookbacks = {24};
//   memattn::PanelForecaster forecaster(options);
//   forecaster.fit({values, offsets});
//   forecaster.predict({values, offsets}, {series, times}, forecasts);
//
// Covariates are a table with a row for each value of the series and for each of the `horizon`
// steps after it. Blocks select parts of the table as inputs at an origin, by columns and by rows
// relative to the origin:
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

// The inputs of a network at an origin, and the forecast that its output is added to.
enum class PanelWindows {
  // The last values, seasonally adjusted, relative to the last one; added to Naive2, or with a long
  // season to the last adjusted value with that season put back.
  kLastValues,
  // Whole seasons, relative to the mean of the last one, in units of the standard deviation of all
  // values up to the origin; added to the average of past values of the same phase. The inputs of
  // the memory layers are the mean of each season, the values of the last two seasons, and the mean
  // season. The inputs of a linear part are the mean of each season and the last three seasons. In
  // a second linear part, each step ahead has only the past values of its own phase.
  kPastSeasons,
};

// A rectangle of the table of covariates, at each origin: the columns first_column, ...,
// first_column + columns - 1, in the rows first_row, ..., first_row + rows - 1. Row 0 is the first
// step ahead, row -1 the last known value. Rows from 0 on must be known when the forecast is made:
// a block must not select them from a column that is only known in the past, which is not checked.
// Rows before the start of a series repeat its first row. No row may lie beyond the horizon. Blocks
// may overlap.
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
  // Values in a longer season of 2 to 1000 whole seasons, for kLastValues; 0: none. Hourly values
  // have 24 and 168. The seasonal adjustment of a window then uses the estimate that has predicted
  // best so far, from slow averages of both seasons to a copy of the last season, instead of
  // Naive2's. Inputs and errors are in units of the mean change over a season.
  std::int64_t long_season = 0;
  // Values in the input window of a member, whole seasons with kPastSeasons. A shorter history
  // repeats its first value (kPastSeasons: its first season). Each lookback has `seeds` members.
  // The forecast is the mean of all members, in logarithms for a series in logarithms.
  std::vector<std::int64_t> lookbacks = {};
  std::int64_t seeds = 1;
  std::int64_t min_history = 1;  // values before the first training origin
  PanelWindows windows = PanelWindows::kLastValues;
  bool logs = true;  // forecast positive series in logarithms

  std::int64_t covariates = 0;  // columns of the table SeriesView::covariates
  // The parts of the table that are inputs of the memory layers and of the linear part. Each input
  // has `outputs() * horizon + units` weights.
  std::vector<CovariateBlock> blocks = {};
  // Training uses origins that are a multiple of this many values before the end of their series,
  // such as 24 for hourly series that end at midnight and forecasts that begin there.
  std::int64_t origin_stride = 1;

  std::int64_t units = 64;        // width of each memory layer
  std::int64_t memory_size = 32;  // slots of each memory layer
  std::int64_t num_heads = 4;     // of each memory layer
  std::int64_t layers = 2;        // memory layers; 0: a linear model
  // Memory layers of the members of each lookback; empty: `layers` for all. Lookbacks may repeat:
  // {24, 24} with {0, 2} makes linear members and members with memory layers.
  std::vector<std::int64_t> member_layers = {};
  bool pre_norm = false;     // layer normalisation before each memory layer
  double dropout = 0;        // on the output of each memory layer, in training; in [0, 1)
  double input_dropout = 0;  // on the input of the memory layers, in training; in [0, 1)
  MemoryInitializer memory_initializer = {};

  // Loss of the error, forecast - truth, in units of the series' mean step (kPastSeasons: its
  // standard deviation). In logarithms the unit is 20 mean steps, at most 1; with a long season the
  // mean change over a season.
  ErrorLoss loss = ErrorLoss::kSmape;
  double huber_delta = 1;              // of kHuber
  std::vector<double> quantiles = {};  // of kPinball, else empty: in (0, 1), increasing

  std::int64_t steps = 600;       // training steps
  std::int64_t batch_size = 512;  // origins in each step
  double learning_rate = 1e-3;    // of AdamW: reached after warm_up steps, then decaying to 0
  std::int64_t warm_up = 100;     // steps
  double weight_decay = 1e-2;
  double clip_norm = 1;      // largest norm of a gradient
  double average_decay = 0;  // > 0: the weights are a moving average over the steps
  std::uint64_t seed = 0;

  // Returns the number of members; the options must be valid.
  std::int64_t members() const { return static_cast<std::int64_t>(lookbacks.size()) * seeds; }
  // Returns the number of forecasts of each step ahead: the number of quantiles, or 1.
  std::int64_t outputs() const {
    return loss == ErrorLoss::kPinball ? static_cast<std::int64_t>(quantiles.size()) : 1;
  }

  // Returns the number of memory layers of a member; the options must be valid. Throws
  // std::invalid_argument when there is no such member.
  [[nodiscard]] std::int64_t layers_of(std::int64_t member) const;

  // Returns the number of weights of each member without creating one. Throws the errors of
  // validate.
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
  // after the last value. All must be finite, also in rows that no block selects. Columns should
  // vary by about 1; values are clipped to [-10, 10].
  std::span<const float> covariates = {};
};

// Origins of forecasts: only the first times[i] values of series[i] are used.
struct OriginsView {
  std::span<const std::int64_t> series;
  std::span<const std::int64_t> times;
};

// The state of a training, without options and series.
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
// Threads: training and forecasts run members in parallel, on as many threads as threads.h allows.
// Results are equal to the bit for any number of threads. Several threads may call the const
// methods at the same time; a call that changes the forecaster must not overlap with any other.
//
// Errors: every method throws std::invalid_argument for invalid arguments before it computes
// anything, and std::bad_alloc if memory runs out. A method that throws leaves the weights
// unchanged.
//
// Interruption: fit, resume and all forecasts call `poll`, if given, on the caller's thread between
// parts of their work, which rarely take longer than 0.1 s. An exception from `poll` ends the call
// and reaches the caller; outputs are then partly written. During training, `progress` is called
// instead: fit and resume call `poll` only before the first step.
//
// A moved-from forecaster may only be assigned to or destroyed.
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

  // Returns the weights of one member as a flat span, in an order that depends on options(). Set in
  // another forecaster with the same options, they give equal forecasts to the bit. The span is
  // valid until the next fit, resume, set_parameters or move.
  [[nodiscard]] std::span<const float> parameters(std::int64_t member) const;
  // Replaces the weights of one member. They must be finite.
  void set_parameters(std::int64_t member, std::span<const float> parameters);

  // Trains all members from their initial weights. Calls `progress` on the caller's thread after
  // each step of all members. If it returns false, training ends with the weights of that step, and
  // fit returns false, unless it was the last step. Values must be finite with a magnitude of at
  // most 1e150, and at least one series must have min_history + origin_stride values. At origins
  // less than `horizon` before the end, blocks include rows after the series. Throws
  // std::runtime_error if the training diverges, that is, if weights are no longer finite.
  bool fit(const SeriesView& series, const std::function<bool(const PanelProgress&)>& progress = {},
           const std::function<void()>& poll = {});

  // Returns the state of the latest training for resume: at its end, where `progress` stopped it,
  // or at the step after which `progress` threw (the weights are then those from before the
  // training). set_parameters discards the state of an interrupted training.
  [[nodiscard]] PanelTrainingState training_state() const;
  // Continues a training from its state, in this forecaster or another one with the same options.
  // With the same series, the result equals that of an uninterrupted training to the bit. Otherwise
  // like fit.
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

  // Computes forecasts (N, outputs, horizon) from N origins, with the output of the memory layers
  // taken from a donor, another origin. This shows how much forecasts depend on the memory layers.
  // Linear members forecast as usual.
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
