// The panel forecaster: an ensemble trained in step, and forecasts of many origins in one pass.
#include "memattn/panel_forecaster.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "check.h"
#include "forecast/panel.h"
#include "forecast/panel_member.h"
#include "kernels/executor.h"
#include "kernels/random.h"

namespace memattn {
namespace {

// Differences and sums of such values, and products of two of them, are finite.
constexpr double kLargestValue = 1e150;

// Origins that go through the networks together: enough for the matrix products, few enough for
// what they need to stay in cache.
constexpr std::size_t kOriginsAtOnce = 256;

constexpr std::uint64_t kMemberStream = 0x6d656d626572;

const PanelForecasterOptions& validated(const PanelForecasterOptions& options) {
  options.validate();
  return options;
}

void check_series(std::string_view function, const SeriesView& series) {
  const auto size = static_cast<std::int64_t>(series.values.size());
  const std::span<const std::int64_t> offsets = series.offsets;
  if (offsets.empty() || offsets.front() != 0 || offsets.back() != size) {
    fail_argument(
        function, "offsets",
        offsets.empty() ? std::string("none") : concat(offsets.front(), " to ", offsets.back()),
        concat("numbers from 0 to ", size, ", the number of values"));
  }
  for (std::size_t i = 1; i < offsets.size(); ++i) {
    if (offsets[i] < offsets[i - 1] || offsets[i] > size) {
      fail_argument(function, concat("offsets[", i, "]"), offsets[i],
                    concat("a number from ", offsets[i - 1], " to ", size));
    }
  }
  for (std::size_t i = 0; i < series.values.size(); ++i) {
    if (!(std::abs(series.values[i]) <= kLargestValue)) {
      fail_argument(function, concat("values[", i, "]"), series.values[i],
                    concat("a finite number, at most ", kLargestValue, " in size"));
    }
  }
}

std::vector<Origin> checked_origins(std::string_view function, const SeriesView& series,
                                    const OriginsView& origins) {
  const auto count = static_cast<std::int64_t>(series.offsets.size()) - 1;
  if (origins.times.size() != origins.series.size()) {
    fail_argument(function, "times", concat(origins.times.size(), " values"),
                  concat(origins.series.size(), " values, as many as series"));
  }
  std::vector<Origin> result;
  result.reserve(origins.series.size());
  for (std::size_t i = 0; i < origins.series.size(); ++i) {
    const Origin origin{origins.series[i], origins.times[i]};
    if (origin.series < 0 || origin.series >= count) {
      fail_argument(function, concat("series[", i, "]"), origin.series,
                    concat("a number from 0 to ", count - 1));
    }
    const auto place = static_cast<std::size_t>(origin.series);
    const std::int64_t length = series.offsets[place + 1] - series.offsets[place];
    if (origin.time < 1 || origin.time > length) {
      fail_argument(
          function, concat("times[", i, "]"), origin.time,
          concat("a number from 1 to ", length, ", the length of series ", origin.series));
    }
    result.push_back(origin);
  }
  return result;
}

void check_size(std::string_view function, std::string_view argument, std::size_t found,
                std::size_t expected, std::string_view what) {
  if (found == expected) return;
  fail_argument(function, argument, concat(found, " values"), concat(expected, " values, ", what));
}

// Runs body(i) for 0 .. count - 1 on the pool, and throws what the first of them that throws does.
template <typename Body>
void parallel_for_throwing(std::int64_t count, Body body) {
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(count));
  kernels::parallel_for(count, [&](std::int64_t i) noexcept {
    try {
      body(i);
    } catch (...) {
      errors[static_cast<std::size_t>(i)] = std::current_exception();
    }
  });
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

// Runs body(first, some) for origins first .. first + some - 1, all of `count` in the end.
template <typename Body>
void for_some_origins(std::size_t count, Body body) {
  const std::size_t pieces = (count + kOriginsAtOnce - 1) / kOriginsAtOnce;
  parallel_for_throwing(static_cast<std::int64_t>(pieces), [&](std::int64_t i) {
    const std::size_t first = static_cast<std::size_t>(i) * kOriginsAtOnce;
    body(first, std::min(kOriginsAtOnce, count - first));
  });
}

}  // namespace

struct PanelForecaster::Impl {
  explicit Impl(const PanelForecasterOptions& these)
      : options(validated(these)), members(make_members()) {}

  std::vector<PanelMember> make_members() const {
    std::vector<PanelMember> made;
    made.reserve(static_cast<std::size_t>(options.members()));
    for (const std::int64_t lookback : options.lookbacks) {
      for (std::int64_t i = 0; i < options.seeds; ++i) {
        const std::uint64_t key = kernels::mix(options.seed, kMemberStream);
        made.emplace_back(options, lookback, kernels::mix(key, made.size()));
      }
    }
    return made;
  }

  // fit, and with `from` resume.
  bool train(std::string_view function, const SeriesView& series, const PanelTrainingState* from,
             const std::function<bool(const PanelProgress&)>& progress);

  std::size_t place_of(std::string_view function, std::int64_t member) const {
    if (member < 0 || member >= options.members()) {
      fail_argument(function, "member", member,
                    concat("a number from 0 to ", options.members() - 1));
    }
    return static_cast<std::size_t>(member);
  }

  void predict_some(const Panel& panel, std::span<const Origin> origins,
                    std::span<const PanelMember> used, std::span<double> forecasts,
                    const SlotLeftOut* left_out = nullptr) const;

  PanelForecasterOptions options;
  std::vector<PanelMember> members;  // those of one lookback side by side
};

PanelForecaster::PanelForecaster(const PanelForecasterOptions& options)
    : impl_(std::make_unique<Impl>(options)) {}
PanelForecaster::PanelForecaster(PanelForecaster&&) noexcept = default;
PanelForecaster& PanelForecaster::operator=(PanelForecaster&&) noexcept = default;
PanelForecaster::~PanelForecaster() = default;

const PanelForecasterOptions& PanelForecaster::options() const { return impl_->options; }

std::int64_t PanelForecaster::count_params() const {
  std::int64_t total = 0;
  for (const PanelMember& member : impl_->members) total += member.network().count_params();
  return total;
}

std::span<const float> PanelForecaster::parameters(std::int64_t member) const {
  const std::size_t place = impl_->place_of("PanelForecaster::parameters", member);
  return impl_->members[place].network().parameters();
}

void PanelForecaster::set_parameters(std::int64_t member, std::span<const float> parameters) {
  constexpr std::string_view kFunction = "PanelForecaster::set_parameters";
  PanelMember& changed = impl_->members[impl_->place_of(kFunction, member)];
  const std::int64_t size = changed.network().count_params();
  if (static_cast<std::int64_t>(parameters.size()) != size) {
    fail_argument(kFunction, "parameters", concat(parameters.size(), " values"),
                  concat(size, " values, the weights of member ", member));
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!std::isfinite(parameters[i])) {
      fail_argument(kFunction, concat("parameters[", i, "]"), parameters[i], "a finite number");
    }
  }
  changed.set_parameters(parameters);
}

bool PanelForecaster::fit(const SeriesView& series,
                          const std::function<bool(const PanelProgress&)>& progress) {
  return impl_->train("PanelForecaster::fit", series, nullptr, progress);
}

PanelTrainingState PanelForecaster::training_state() const {
  PanelTrainingState state;
  for (const PanelMember& member : impl_->members) {
    state.steps_done = member.steps_done();
    state.members.push_back(member.training_state());
  }
  return state;
}

bool PanelForecaster::resume(const SeriesView& series, const PanelTrainingState& state,
                             const std::function<bool(const PanelProgress&)>& progress) {
  return impl_->train("PanelForecaster::resume", series, &state, progress);
}

bool PanelForecaster::Impl::train(std::string_view function, const SeriesView& series,
                                  const PanelTrainingState* from,
                                  const std::function<bool(const PanelProgress&)>& progress) {
  check_series(function, series);
  const Panel panel(series.values, series.offsets, panel_rules(options));
  const OriginSampler sampler(panel, options.min_history);
  if (sampler.count() == 0) {
    std::int64_t longest = 0;
    for (std::int64_t i = 0; i < panel.size(); ++i) longest = std::max(longest, panel.length(i));
    fail_argument(function, "series",
                  concat(panel.size(), " series of at most ", longest, " values"),
                  concat("more than min_history = ", options.min_history, " in one of them"));
  }
  std::vector<PanelMember> started = make_members();
  PanelProgress now{.steps = options.steps};
  if (from != nullptr) {
    if (from->members.size() != started.size()) {
      fail_argument(function, "state", concat(from->members.size(), " members"),
                    concat(started.size(), " members"));
    }
    for (std::size_t i = 0; i < started.size(); ++i) {
      started[i].restore(from->steps_done, from->members[i]);
    }
    now.step = from->steps_done;
  }
  members = std::move(started);
  std::vector<double> losses(members.size());
  while (now.step < options.steps) {
    // In step, so that whoever stops the training stops all members at one point.
    parallel_for_throwing(options.members(), [&](std::int64_t i) {
      const auto place = static_cast<std::size_t>(i);
      losses[place] = members[place].step(panel, sampler);
      if (members[place].done()) members[place].finish();
    });
    ++now.step;
    now.loss = 0;
    for (const double loss : losses) now.loss += loss / static_cast<double>(losses.size());
    if (!std::isfinite(now.loss)) {
      throw std::runtime_error(concat(function, ": loss: found ", now.loss, " in step ", now.step,
                                      ", expected a finite number; lower learning_rate"));
    }
    if (progress && !progress(now)) return now.step == now.steps;
  }
  return true;
}

void PanelForecaster::predict(const SeriesView& series, const OriginsView& origins,
                              std::span<double> forecasts, std::int64_t member) const {
  constexpr std::string_view kFunction = "PanelForecaster::predict";
  const PanelForecasterOptions& options = impl_->options;
  if (member < -1 || member >= options.members()) {
    fail_argument(kFunction, "member", member,
                  concat("a number from 0 to ", options.members() - 1, ", or -1 for all"));
  }
  check_series(kFunction, series);
  const std::vector<Origin> all = checked_origins(kFunction, series, origins);
  const std::size_t width = static_cast<std::size_t>(options.outputs() * options.horizon);
  check_size(kFunction, "forecasts", forecasts.size(), all.size() * width,
             "origins * outputs * horizon");
  const std::span<const PanelMember> members = impl_->members;
  const auto used = member < 0 ? members : members.subspan(static_cast<std::size_t>(member), 1);
  const Panel panel(series.values, series.offsets, panel_rules(options));
  for_some_origins(all.size(), [&](std::size_t first, std::size_t some) {
    impl_->predict_some(panel, std::span(all).subspan(first, some), used,
                        forecasts.subspan(first * width, some * width));
  });
}

void PanelForecaster::attention_scores(const SeriesView& series, const OriginsView& origins,
                                       std::int64_t member, std::span<float> scores) const {
  constexpr std::string_view kFunction = "PanelForecaster::attention_scores";
  const PanelForecasterOptions& options = impl_->options;
  const PanelMember& asked = impl_->members[impl_->place_of(kFunction, member)];
  check_series(kFunction, series);
  const std::vector<Origin> all = checked_origins(kFunction, series, origins);
  const auto width = static_cast<std::size_t>(options.layers * options.memory_size);
  check_size(kFunction, "scores", scores.size(), all.size() * width,
             "origins * layers * memory_size");
  const Panel panel(series.values, series.offsets, panel_rules(options));
  for_some_origins(all.size(), [&](std::size_t first, std::size_t some) {
    OriginWindows<float> windows;
    MemoryNetworkActivations<float> activations;
    std::vector<float> output(some * static_cast<std::size_t>(options.outputs() * options.horizon));
    make_windows(panel, asked.shape(), std::span(all).subspan(first, some), windows);
    asked.network().forward(inputs_of(windows), output, activations);
    asked.network().attention_scores(activations, scores.subspan(first * width, some * width));
  });
}

void PanelForecaster::predict_without_slots(const SeriesView& series, const OriginsView& origins,
                                            std::int64_t member, std::int64_t layer,
                                            std::span<double> forecasts) const {
  constexpr std::string_view kFunction = "PanelForecaster::predict_without_slots";
  const PanelForecasterOptions& options = impl_->options;
  const std::size_t place = impl_->place_of(kFunction, member);
  if (layer < 0 || layer >= options.layers) {
    fail_argument(kFunction, "layer", layer,
                  options.layers == 0 ? std::string("none, for there is no memory layer")
                                      : concat("a number from 0 to ", options.layers - 1));
  }
  check_series(kFunction, series);
  const std::vector<Origin> all = checked_origins(kFunction, series, origins);
  const auto slots = static_cast<std::size_t>(options.memory_size);
  const std::size_t width = static_cast<std::size_t>(options.outputs() * options.horizon);
  check_size(kFunction, "forecasts", forecasts.size(), slots * all.size() * width,
             "memory_size * origins * outputs * horizon");
  const auto used = std::span<const PanelMember>(impl_->members).subspan(place, 1);
  const Panel panel(series.values, series.offsets, panel_rules(options));
  for (std::size_t slot = 0; slot < slots; ++slot) {
    const SlotLeftOut left_out{layer, static_cast<std::int64_t>(slot)};
    for_some_origins(all.size(), [&](std::size_t first, std::size_t some) {
      impl_->predict_some(panel, std::span(all).subspan(first, some), used,
                          forecasts.subspan((slot * all.size() + first) * width, some * width),
                          &left_out);
    });
  }
}

void PanelForecaster::Impl::predict_some(const Panel& panel, std::span<const Origin> origins,
                                         std::span<const PanelMember> used,
                                         std::span<double> forecasts,
                                         const SlotLeftOut* left_out) const {
  const auto horizon = static_cast<std::size_t>(options.horizon);
  const auto outputs = static_cast<std::size_t>(options.outputs());
  OriginWindows<float> windows;
  MemoryNetworkActivations<float> activations;
  std::vector<float> output(forecasts.size());
  std::vector<double> baseline;  // of the first member; in past seasons, others have another one
  std::fill(forecasts.begin(), forecasts.end(), 0.0);
  for (std::size_t m = 0; m < used.size(); ++m) {
    if (m == 0 || used[m].shape().lookback != used[m - 1].shape().lookback) {
      make_windows(panel, used[m].shape(), origins, windows);
      if (m == 0) baseline = windows.baseline;
    }
    used[m].network().forward(inputs_of(windows), output, activations, -1, left_out);
    for (std::size_t n = 0; n < origins.size(); ++n) {
      for (std::size_t i = 0; i < outputs * horizon; ++i) {
        const std::size_t place = n * horizon + i % horizon;
        forecasts[n * outputs * horizon + i] +=
            windows.baseline[place] - baseline[place] +
            windows.scale[n] * static_cast<double>(output[n * outputs * horizon + i]);
      }
    }
  }
  std::vector<double> quantiles(outputs);
  const auto count = static_cast<double>(used.size());
  for (std::size_t n = 0; n < origins.size(); ++n) {
    const PanelSeries& series = panel.at(origins[n]);
    double* const forecast = forecasts.data() + n * outputs * horizon;
    for (std::size_t k = 0; k < horizon; ++k) {
      for (std::size_t q = 0; q < outputs; ++q) {
        quantiles[q] =
            series.from_domain(baseline[n * horizon + k] + forecast[q * horizon + k] / count);
      }
      std::ranges::sort(quantiles);
      for (std::size_t q = 0; q < outputs; ++q) forecast[q * horizon + k] = quantiles[q];
    }
  }
}

}  // namespace memattn
