// The forecaster: options, training on windows, prediction.
#include "memattn/forecaster.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include "check.h"
#include "forecast/forecast_model.h"
#include "forecast/windows.h"
#include "train/loss.h"
#include "train/training_loop.h"

namespace memattn {
namespace {

// Windows that predict takes through the network together: enough for the matrix products, few
// enough for their activations to stay in cache.
constexpr std::int64_t kWindowsAtOnce = 64;

// Where the loss turns from square to straight, in deviations of the window.
constexpr double kHuberDelta = 1.0;

// A window that stands still but for a rounding has next to no deviation, and whatever follows is
// huge in units of it. The gradient is bounded by the loss; this bounds the loss that is shown.
constexpr double kLargestTarget = 100.0;

constexpr double kLargestValue = 1e300;  // see normalize_window

constexpr std::int64_t kLargestSize = std::numeric_limits<std::int32_t>::max();

void check_size(std::string_view argument, std::int64_t value, std::int64_t smallest = 1) {
  if (value < smallest || value > kLargestSize) {
    fail_argument("ForecasterOptions", argument, value,
                  concat("a number from ", smallest, " to ", kLargestSize));
  }
}

void check_number(std::string_view argument, double value, bool zero_allowed) {
  if (!(std::isfinite(value) && (value > 0 || (zero_allowed && value == 0)))) {
    fail_argument("ForecasterOptions", argument, value,
                  zero_allowed ? "a finite number, at least 0" : "a finite positive number");
  }
}

// Counted in double, where options that are too large do not wrap around.
double count_params(const ForecasterOptions& options) {
  const auto lookback = static_cast<double>(options.lookback);
  const auto horizon = static_cast<double>(options.horizon);
  const auto patch_size = static_cast<double>(options.patch_size);
  const auto units = static_cast<double>(options.units);
  const auto projected = static_cast<double>(options.num_heads) * units;
  const auto tokens = static_cast<double>(options.lookback / options.patch_size);
  return lookback * horizon + (patch_size + tokens) * units +
         static_cast<double>(options.memory_size) * units + 4 * projected * units + 3 * projected +
         units + tokens * units * horizon + horizon;
}

const ForecasterOptions& validated(const ForecasterOptions& options) {
  options.validate();
  return options;
}

void check_series(std::span<const std::span<const double>> series) {
  for (std::size_t s = 0; s < series.size(); ++s) {
    for (std::size_t i = 0; i < series[s].size(); ++i) {
      if (!(std::abs(series[s][i]) <= kLargestValue)) {
        fail_argument("Forecaster::fit", concat("series[", s, "][", i, "]"), series[s][i],
                      concat("a finite number, at most ", kLargestValue, " in size"));
      }
    }
  }
}

// The training windows and the network on them.
class WindowObjective final : public Objective {
 public:
  WindowObjective(const ForecasterOptions& options, const WindowSet& windows,
                  ForecastModel<float>& model)
      : options_(options), windows_(windows), model_(model) {}

  std::int64_t count_params() const override { return model_.count_params(); }

  double evaluate(std::span<const std::int64_t> examples, std::span<float> gradients) override {
    const auto lookback = static_cast<std::size_t>(options_.lookback);
    const auto horizon = static_cast<std::size_t>(options_.horizon);
    inputs_.resize(examples.size() * lookback);
    targets_.resize(examples.size() * horizon);
    for (std::size_t i = 0; i < examples.size(); ++i) {
      const std::span<const double> values = windows_[examples[i]];
      normalize(values.first(lookback), values.last(horizon),
                std::span(inputs_).subspan(i * lookback, lookback),
                std::span(targets_).subspan(i * horizon, horizon));
    }
    output_.resize(targets_.size());
    grad_output_.resize(targets_.size());
    model_.forward(inputs_, output_, activations_);
    huber_backward<float>(output_, targets_, kHuberDelta, grad_output_);
    model_.backward(inputs_, grad_output_, activations_, gradients);
    return huber<float>(output_, targets_, kHuberDelta);
  }

  void update(const std::function<void(std::span<float>)>& edit) override { model_.update(edit); }

 private:
  // What the network sees of a window and what it should add to seasonal-naive, in deviations.
  void normalize(std::span<const double> window, std::span<const double> future,
                 std::span<float> input, std::span<float> target) const {
    const double deviation = normalize_window(window, input);
    for (std::size_t k = 0; k < future.size(); ++k) {
      const double missing =
          future[k] - seasonal_naive(window, options_.season, static_cast<std::int64_t>(k));
      target[k] =
          deviation > 0
              ? static_cast<float>(std::clamp(missing / deviation, -kLargestTarget, kLargestTarget))
              : 0.0f;
    }
  }

  const ForecasterOptions& options_;
  const WindowSet& windows_;
  ForecastModel<float>& model_;
  std::vector<float> inputs_, targets_, output_, grad_output_;
  ForecastActivations<float> activations_;
};

}  // namespace

void ForecasterOptions::validate() const {
  check_size("horizon", horizon);
  check_size("season", season);
  check_size("patch_size", patch_size);
  check_size("lookback", lookback, std::max(season, patch_size));
  check_size("units", units);
  check_size("memory_size", memory_size);
  check_size("num_heads", num_heads);
  check_size("epochs", epochs);
  check_size("batch_size", batch_size);
  check_number("learning_rate", learning_rate, false);
  check_number("weight_decay", weight_decay, true);
  check_number("clip_norm", clip_norm, false);
  const double parameters = memattn::count_params(*this);
  if (parameters > static_cast<double>(kLargestSize)) {
    fail_argument("ForecasterOptions", "the sizes together", concat(parameters, " parameters"),
                  concat("at most ", kLargestSize));
  }
  const double scores = static_cast<double>(num_heads) * static_cast<double>(memory_size) *
                        static_cast<double>(std::max(lookback / patch_size, units));
  if (scores > static_cast<double>(kLargestSize)) {
    fail_argument("ForecasterOptions", "num_heads * memory_size * the larger of tokens and units",
                  scores, concat("at most ", kLargestSize));
  }
}

struct Forecaster::Impl {
  explicit Impl(const ForecasterOptions& given) : options(validated(given)), model(given) {}

  // Windows [first, first + count) as the network sees them, and their deviations.
  void normalize(std::span<const double> windows, std::int64_t first, std::int64_t count,
                 std::vector<float>& inputs, std::vector<double>& deviations) const {
    const auto lookback = static_cast<std::size_t>(options.lookback);
    inputs.resize(static_cast<std::size_t>(count) * lookback);
    deviations.resize(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < deviations.size(); ++i) {
      deviations[i] = normalize_window(
          windows.subspan((static_cast<std::size_t>(first) + i) * lookback, lookback),
          std::span(inputs).subspan(i * lookback, lookback));
    }
  }

  // The number of windows in `windows`, of which each gives `per_window` values of output.
  std::int64_t check(std::string_view function, std::span<const double> windows,
                     std::string_view argument, std::span<double> output,
                     std::int64_t per_window) const {
    const auto lookback = static_cast<std::size_t>(options.lookback);
    if (windows.size() % lookback != 0) {
      fail_argument(function, "windows", concat(windows.size(), " values"),
                    concat("a multiple of lookback = ", lookback));
    }
    const std::size_t count = windows.size() / lookback;
    if (output.size() != count * static_cast<std::size_t>(per_window)) {
      fail_argument(function, argument, concat(output.size(), " values"),
                    concat(count, " windows * ", per_window, " = ",
                           count * static_cast<std::size_t>(per_window)));
    }
    return static_cast<std::int64_t>(count);
  }

  ForecasterOptions options;
  ForecastModel<float> model;
};

Forecaster::Forecaster(const ForecasterOptions& options) : impl_(std::make_unique<Impl>(options)) {}
Forecaster::Forecaster(Forecaster&&) noexcept = default;
Forecaster& Forecaster::operator=(Forecaster&&) noexcept = default;
Forecaster::~Forecaster() = default;

const ForecasterOptions& Forecaster::options() const { return impl_->options; }
std::int64_t Forecaster::count_params() const { return impl_->model.count_params(); }
std::int64_t Forecaster::tokens() const { return impl_->model.tokens(); }

bool Forecaster::fit(std::span<const std::span<const double>> series,
                     const std::function<bool(const FitProgress&)>& progress) {
  const ForecasterOptions& options = impl_->options;
  check_series(series);
  const std::int64_t needed = options.lookback + options.horizon;
  const WindowSet windows(series, needed);
  if (windows.size() == 0) {
    std::size_t longest = 0;
    for (const auto& values : series) longest = std::max(longest, values.size());
    fail_argument("Forecaster::fit", "series",
                  concat(series.size(), " series of at most ", longest, " values"),
                  concat("at least ", needed, " values (lookback ", options.lookback, " + horizon ",
                         options.horizon, ") in one of them"));
  }
  impl_->model = ForecastModel<float>(options);
  WindowObjective objective(options, windows, impl_->model);
  const TrainingOptions training{.epochs = options.epochs,
                                 .batch_size = options.batch_size,
                                 .learning_rate = options.learning_rate,
                                 .weight_decay = options.weight_decay,
                                 .clip_norm = options.clip_norm,
                                 .seed = options.seed};
  return train(objective, windows.size(), training, [&](const TrainingProgress& done) {
    return !progress || progress({done.step, done.steps, done.loss});
  });
}

void Forecaster::predict(std::span<const double> windows, std::span<double> forecasts) const {
  const ForecasterOptions& options = impl_->options;
  const std::int64_t count =
      impl_->check("Forecaster::predict", windows, "forecasts", forecasts, options.horizon);
  std::vector<float> inputs, output;
  std::vector<double> deviations;
  ForecastActivations<float> activations;
  for (std::int64_t first = 0; first < count; first += kWindowsAtOnce) {
    const std::int64_t some = std::min(kWindowsAtOnce, count - first);
    impl_->normalize(windows, first, some, inputs, deviations);
    output.resize(static_cast<std::size_t>(some * options.horizon));
    impl_->model.forward(inputs, output, activations);
    for (std::int64_t i = 0; i < some; ++i) {
      const auto window = windows.subspan(static_cast<std::size_t>((first + i) * options.lookback),
                                          static_cast<std::size_t>(options.lookback));
      for (std::int64_t k = 0; k < options.horizon; ++k) {
        forecasts[static_cast<std::size_t>((first + i) * options.horizon + k)] =
            seasonal_naive(window, options.season, k) +
            deviations[static_cast<std::size_t>(i)] *
                static_cast<double>(output[static_cast<std::size_t>(i * options.horizon + k)]);
      }
    }
  }
}

void Forecaster::attention_scores(std::span<const double> windows, std::span<double> scores) const {
  const ForecasterOptions& options = impl_->options;
  const std::int64_t per_window = options.num_heads * tokens() * options.memory_size;
  const std::int64_t count =
      impl_->check("Forecaster::attention_scores", windows, "scores", scores, per_window);
  std::vector<float> inputs, values;
  std::vector<double> deviations;
  for (std::int64_t first = 0; first < count; first += kWindowsAtOnce) {
    const std::int64_t some = std::min(kWindowsAtOnce, count - first);
    impl_->normalize(windows, first, some, inputs, deviations);
    values.resize(static_cast<std::size_t>(some * per_window));
    impl_->model.attention_scores(inputs, values);
    std::copy(values.begin(), values.end(), scores.begin() + first * per_window);
  }
}

}  // namespace memattn
