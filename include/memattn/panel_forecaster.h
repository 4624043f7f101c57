// A forecaster of many series of one frequency, built on the layer: an ensemble of small networks,
// each trained on windows of all series.
//
// A series that is positive is forecast in logs, any other as it is. From an origin, the network
// sees the last `lookback` values less their season, relative to the last of them and in units of
// their mean step; it says what is to be added to the Naive2 forecast, the last value with the
// season put back. So an untrained model is Naive2 exactly, and a series that stands still is
// forecast to stand still. Series of many long seasons, hourly ones above all, may be seen in
// another way: PanelWindows.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "memattn/config.h"
#include "memattn/export.h"

namespace memattn {

// What the network sees of a series at an origin, and what it corrects.
enum class PanelWindows {
  kLastValues,  // the last values less their season, from the last of them; corrects Naive2
  // Whole seasons, from the mean of the last one and in units of the standard deviation up to the
  // origin: a linear path from the values of a step's own phase and one from the mean of each
  // season and the last three; the memory layers have season means, the last two and the mean
  // season. Corrects the average of the values of the same phase.
  kPastSeasons,
};

// What training makes small. An error is forecast less truth: of logs, or else in units of the mean
// step of the series or, with kPastSeasons, its standard deviation.
enum class PanelLoss {
  kSmape,    // 2 tanh(|error| / 2): in logs, sMAPE / 100
  kMae,      // |error|
  kHuber,    // error^2 / 2 up to huber_delta, straight beyond
  kPinball,  // of each of `quantiles`
};

struct PanelForecasterOptions {
  std::int64_t horizon = 0;  // values to forecast
  std::int64_t season = 1;   // values a season; 1: none
  // Values that a member sees; one that starts with less history sees its first value repeated.
  // Each lookback gives `seeds` members, and the forecast is their mean, in logs for series in
  // logs. With kPastSeasons whole seasons.
  std::vector<std::int64_t> lookbacks = {};
  std::int64_t seeds = 1;
  std::int64_t min_history = 1;  // values before the first origin that training forecasts from
  PanelWindows windows = PanelWindows::kLastValues;
  bool logs = true;  // of series that are positive

  std::int64_t units = 64;  // of the memory layers, as the next two
  std::int64_t memory_size = 32;
  std::int64_t num_heads = 4;
  std::int64_t layers = 2;  // memory layers; 0: a linear model
  bool pre_norm = false;    // layer normalisation in front of each of them
  double dropout = 0;       // on what each of them adds, in training; in [0, 1)
  MemoryInitializer memory_initializer = {};

  PanelLoss loss = PanelLoss::kSmape;
  double huber_delta = 1;
  std::vector<double> quantiles = {};  // of kPinball and only there: in (0, 1), increasing

  std::int64_t steps = 600;  // of training, each on batch_size origins
  std::int64_t batch_size = 512;
  double learning_rate = 1e-3;  // of AdamW, at its highest: after warm_up steps, then to 0
  std::int64_t warm_up = 100;
  double weight_decay = 1e-2;
  double clip_norm = 1;
  double average_decay = 0;  // > 0: the weights are a moving average over the steps
  std::uint64_t seed = 0;

  std::int64_t members() const { return static_cast<std::int64_t>(lookbacks.size()) * seeds; }
  std::int64_t outputs() const {  // forecasts a step ahead: one, or one a quantile
    return loss == PanelLoss::kPinball ? static_cast<std::int64_t>(quantiles.size()) : 1;
  }

  // The number of weights of each member, which is not made for it; the options must be valid.
  std::vector<std::int64_t> count_member_params() const;

  // Throws std::invalid_argument naming the first option that cannot be.
  void validate() const;
};

// Series i is values[offsets[i]] .. values[offsets[i + 1] - 1], oldest first; offsets has one more
// element than there are series, starts at 0 and ends at values.size().
struct SeriesView {
  std::span<const double> values;
  std::span<const std::int64_t> offsets;
};

// Points to forecast from: the first times[i] values of series[i] are known, and no other is looked
// at.
struct OriginsView {
  std::span<const std::int64_t> series;
  std::span<const std::int64_t> times;
};

// Where a training stands between two steps: what the next ones depend on beside options and
// series.
struct PanelTrainingState {
  std::int64_t steps_done = 0;              // by every member
  std::vector<std::vector<float>> members;  // weights, Adam's moments, the moving average
};

struct PanelProgress {
  std::int64_t step = 0;   // steps done, by every member
  std::int64_t steps = 0;  // steps in all
  double loss = 0;         // of the latest step, the mean over members
};

// Members are trained side by side on as many threads as threads.h allows, and windows are forecast
// so; the result is the same bits at any number of threads. Not thread-safe while fit runs; the
// const methods may be called from many threads at once.
class MEMATTN_EXPORT PanelForecaster {
 public:
  explicit PanelForecaster(const PanelForecasterOptions& options);
  PanelForecaster(PanelForecaster&&) noexcept;
  PanelForecaster& operator=(PanelForecaster&&) noexcept;
  ~PanelForecaster();

  const PanelForecasterOptions& options() const;
  // Weights of all members together.
  std::int64_t count_params() const;

  // The weights of one member, flat, in an order that options() decides; valid until the next fit,
  // set_parameters or move. With the same options, they make another forecaster forecast the same
  // bits. Throws std::invalid_argument when there is no such member.
  std::span<const float> parameters(std::int64_t member) const;
  // Replaces them. Throws std::invalid_argument, before anything is changed, when there is no such
  // member, the size is not that of parameters(member), or a value is not finite.
  void set_parameters(std::int64_t member, std::span<const float> parameters);

  // Trains all members anew. Calls `progress` on the caller's thread after each step of all
  // members; false from it ends the training there, and the result is false: then, as after an
  // exception from it, the members are as they were after that step. Throws std::invalid_argument,
  // before anything is changed, when values are not finite or beyond 1e150 in size, offsets are out
  // of order, or no series is longer than min_history; std::runtime_error when the loss stops being
  // a number.
  bool fit(const SeriesView& series,
           const std::function<bool(const PanelProgress&)>& progress = {});

  // After a fit that was stopped, or ended by an exception from `progress`: where it stands.
  PanelTrainingState training_state() const;
  // Goes on from there, in this forecaster or in another one with the same options: with the same
  // series the result is the same bits as without the stop. As fit otherwise; std::invalid_argument
  // also when the state cannot be one of these options.
  bool resume(const SeriesView& series, const PanelTrainingState& state,
              const std::function<bool(const PanelProgress&)>& progress = {});

  // forecasts (N, outputs, horizon) from N origins, of one member or, with -1, of the ensemble.
  // Quantiles do not cross. Throws std::invalid_argument as fit does, when an origin is not inside
  // its series, has no value before it, or the sizes do not match.
  void predict(const SeriesView& series, const OriginsView& origins, std::span<double> forecasts,
               std::int64_t member = -1) const;

  // scores (N, layers, memory_size): how one member shares its attention among the slots of each
  // memory layer, the mean over heads; those of an origin and a layer sum to 1. Throws as predict.
  void attention_scores(const SeriesView& series, const OriginsView& origins, std::int64_t member,
                        std::span<float> scores) const;

  // forecasts (memory_size, N, outputs, horizon) of one member without one slot of a memory layer,
  // each slot in turn: what it was read goes to the others, and a memory of one slot is not read at
  // all. Throws as predict.
  void predict_without_slots(const SeriesView& series, const OriginsView& origins,
                             std::int64_t member, std::int64_t layer,
                             std::span<double> forecasts) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace memattn
