// The forecaster: its ensemble, its training, and forecasts from many origins at once.
#include "memattn/panel_forecaster.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "check.h"
#include "forecast/ensemble_forecasts.h"
#include "forecast/interruptible_work.h"
#include "forecast/panel_inputs.h"
#include "forecast/panel_member.h"
#include "forecast/panel_options.h"
#include "kernels/random.h"
#include "layer/checks.h"

namespace memattn {
namespace {

using Poll = std::function<void()>;

// The number of origins that pass through the networks together: enough for the matrix products,
// and few enough for their activations to stay in cache. Not measured.
constexpr std::size_t kOriginsAtOnce = 256;

constexpr std::uint64_t kMemberStream = 0x6d656d626572;

std::vector<PanelMember> make_members(const PanelForecasterOptions& options) {
  std::vector<PanelMember> members;
  members.reserve(static_cast<std::size_t>(options.members()));
  const std::uint64_t key = kernels::mix(options.seed, kMemberStream);
  for (std::size_t place = 0; place < options.lookbacks.size(); ++place) {
    for (std::int64_t i = 0; i < options.seeds; ++i) {
      members.emplace_back(options, place, kernels::mix(key, members.size()));
    }
  }
  return members;
}

void check_trainable(std::string_view function, const SeriesView& series,
                     const PanelForecasterOptions& options) {
  check_series(function, series, options);
  std::int64_t longest = 0;
  for (std::size_t i = 1; i < series.offsets.size(); ++i) {
    longest = std::max(longest, series.offsets[i] - series.offsets[i - 1]);
  }
  if (longest - options.min_history >= options.origin_stride) return;
  fail_argument(function, "series",
                concat(series.offsets.size() - 1, " series of at most ", longest, " values"),
                options.origin_stride == 1
                    ? concat("more than min_history = ", options.min_history, " in one of them")
                    : concat("at least min_history + origin_stride = ",
                             options.min_history + options.origin_stride, " in one of them"));
}

[[noreturn]] void fail_diverged(std::string_view function, std::string_view what,
                                std::int64_t step) {
  throw std::runtime_error(concat(function, ": the training diverged: ", what, " in step ", step,
                                  "; use a lower learning_rate"));
}

bool is_finite(const PanelMember& member) {
  return std::ranges::all_of(member.network().parameters(),
                             [](float weight) { return std::isfinite(weight); });
}

// Runs body(first, some) for origins first .. first + some - 1, in pieces that cover all `count`.
template <typename Body>
void for_some_origins(InterruptibleWork& work, std::size_t count, Body body) {
  const std::size_t pieces = (count + kOriginsAtOnce - 1) / kOriginsAtOnce;
  work.run(static_cast<std::int64_t>(pieces), [&](std::int64_t i) {
    const std::size_t first = static_cast<std::size_t>(i) * kOriginsAtOnce;
    body(first, std::min(kOriginsAtOnce, count - first));
  });
}

}  // namespace

struct PanelForecaster::Impl {
  explicit Impl(const PanelForecasterOptions& these)
      : options(validated(these)), members(make_members(options)) {}

  // Implements fit, and with `from`, resume.
  bool train(std::string_view function, const SeriesView& series, const PanelTrainingState* from,
             const std::function<bool(const PanelProgress&)>& progress, const Poll& poll);

  // Returns members in the state `from`, or before their first step without it.
  std::vector<PanelMember> members_at(std::string_view function,
                                      const PanelTrainingState* from) const;

  const PanelMember& member_at(std::string_view function, std::int64_t member) const {
    if (member < 0 || member >= options.members()) {
      fail_argument(function, "member", member,
                    concat("a number from 0 to ", options.members() - 1));
    }
    return members[static_cast<std::size_t>(member)];
  }

  // With as many `donors` as origins, the memory layers add to each origin what they add at its
  // donor.
  void predict(std::string_view function, const SeriesView& series, const OriginsView& origins,
               std::span<const PanelMember> used, std::span<double> forecasts, const Poll& poll,
               const OriginsView* donors = nullptr,
               Precision precision = Precision::kFloat32) const;

  PanelForecasterOptions options;
  std::vector<PanelMember> members;      // members of one lookback are adjacent
  std::vector<PanelMember> interrupted;  // of a training that an exception from `progress` ended
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
  return impl_->member_at("PanelForecaster::parameters", member).network().parameters();
}

void PanelForecaster::set_parameters(std::int64_t member, std::span<const float> parameters) {
  constexpr std::string_view kFunction = "PanelForecaster::set_parameters";
  const std::int64_t size = impl_->member_at(kFunction, member).network().count_params();
  check_size(kFunction, "parameters", parameters.size(), concat("the weights of member ", member),
             {size});
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (!std::isfinite(parameters[i])) {
      fail_argument(kFunction, concat("parameters[", i, "]"), parameters[i], "a finite number");
    }
  }
  impl_->members[static_cast<std::size_t>(member)].set_parameters(parameters);
  impl_->interrupted.clear();
}

bool PanelForecaster::fit(const SeriesView& series,
                          const std::function<bool(const PanelProgress&)>& progress,
                          const Poll& poll) {
  return impl_->train("PanelForecaster::fit", series, nullptr, progress, poll);
}

PanelTrainingState PanelForecaster::training_state() const {
  PanelTrainingState state;
  for (const PanelMember& member :
       impl_->interrupted.empty() ? impl_->members : impl_->interrupted) {
    state.steps_done = member.steps_done();
    state.members.push_back(member.training_state());
  }
  return state;
}

bool PanelForecaster::resume(const SeriesView& series, const PanelTrainingState& state,
                             const std::function<bool(const PanelProgress&)>& progress,
                             const Poll& poll) {
  return impl_->train("PanelForecaster::resume", series, &state, progress, poll);
}

std::vector<PanelMember> PanelForecaster::Impl::members_at(std::string_view function,
                                                           const PanelTrainingState* from) const {
  std::vector<PanelMember> started = make_members(options);
  if (from == nullptr) return started;
  if (from->members.size() != started.size()) {
    fail_argument(function, "state", concat(from->members.size(), " members"),
                  concat(started.size(), " members"));
  }
  for (std::size_t i = 0; i < started.size(); ++i) {
    started[i].restore(from->steps_done, from->members[i]);
  }
  return started;
}

bool PanelForecaster::Impl::train(std::string_view function, const SeriesView& series,
                                  const PanelTrainingState* from,
                                  const std::function<bool(const PanelProgress&)>& progress,
                                  const Poll& poll) {
  check_trainable(function, series, options);
  // Trained separately and moved to `members` at the end, so an exception in between changes
  // nothing.
  std::vector<PanelMember> trained = members_at(function, from);
  const Panel panel(series, panel_rules(options), poll);
  const OriginSampler sampler(panel, options.min_history, options.origin_stride);
  PanelProgress now{.step = from ? from->steps_done : 0, .steps = options.steps};
  std::vector<double> losses(trained.size());
  bool stopped = false;
  while (now.step < options.steps && !stopped) {
    // In lockstep, so that all members of a stopped training stop at the same step.
    InterruptibleWork().run(options.members(), [&](std::int64_t i) {
      const auto place = static_cast<std::size_t>(i);
      losses[place] = trained[place].step(panel, sampler);
      if (trained[place].done()) trained[place].finish();
    });
    ++now.step;
    now.loss = 0;
    for (const double loss : losses) now.loss += loss / static_cast<double>(losses.size());
    if (!std::isfinite(now.loss)) {
      fail_diverged(function, concat("the loss became ", now.loss), now.step);
    }
    if (!progress) continue;
    try {
      stopped = !progress(now);
    } catch (...) {
      interrupted = std::move(trained);
      throw;
    }
  }
  if (!std::ranges::all_of(trained, is_finite)) {
    fail_diverged(function, "a weight is not finite", now.step);
  }
  members = std::move(trained);
  interrupted.clear();
  return now.step == now.steps;
}

void PanelForecaster::predict(const SeriesView& series, const OriginsView& origins,
                              std::span<double> forecasts, const Poll& poll,
                              Precision precision) const {
  impl_->predict("PanelForecaster::predict", series, origins, impl_->members, forecasts, poll,
                 nullptr, precision);
}

void PanelForecaster::predict(const SeriesView& series, const OriginsView& origins,
                              std::int64_t member, std::span<double> forecasts, const Poll& poll,
                              Precision precision) const {
  constexpr std::string_view kFunction = "PanelForecaster::predict";
  const PanelMember& asked = impl_->member_at(kFunction, member);
  impl_->predict(kFunction, series, origins, {&asked, 1}, forecasts, poll, nullptr, precision);
}

void PanelForecaster::Impl::predict(std::string_view function, const SeriesView& series,
                                    const OriginsView& origins, std::span<const PanelMember> used,
                                    std::span<double> forecasts, const Poll& poll,
                                    const OriginsView* donors, Precision precision) const {
  check_origins(function, series, origins, options);
  // One panel holds all series that origins and donors need.
  std::vector<std::int64_t> which, times;
  OriginsView needed = origins;
  if (donors != nullptr) {
    check_origins(function, series, *donors, options);
    check_size(function, "donors", donors->series.size(), "origins", {std::ssize(origins.series)});
    for (const OriginsView& some : {origins, *donors}) {
      which.insert(which.end(), some.series.begin(), some.series.end());
      times.insert(times.end(), some.times.begin(), some.times.end());
    }
    needed = {which, times};
  }
  check_size(function, "forecasts", forecasts.size(), "origins * outputs * horizon",
             {std::ssize(origins.series), options.outputs(), options.horizon});
  const auto width = static_cast<std::size_t>(options.outputs() * options.horizon);
  const PanelAtOrigins at = prepare_origins(series, needed, panel_rules(options), poll);
  const std::span<const Origin> all(at.origins);
  const std::size_t count = origins.series.size();
  InterruptibleWork work(poll);
  for_some_origins(work, count, [&](std::size_t first, std::size_t some) {
    forecast_ensemble(
        at.panel, all.subspan(first, some), used, forecasts.subspan(first * width, some * width),
        work, donors ? all.subspan(count + first, some) : std::span<const Origin>(), precision);
  });
}

void PanelForecaster::predict_with_memory_of(const SeriesView& series, const OriginsView& origins,
                                             const OriginsView& donors, std::span<double> forecasts,
                                             const Poll& poll) const {
  constexpr std::string_view kFunction = "PanelForecaster::predict_with_memory_of";
  impl_->predict(kFunction, series, origins, impl_->members, forecasts, poll, &donors);
}

void PanelForecaster::attention_scores(const SeriesView& series, const OriginsView& origins,
                                       std::int64_t member, std::span<float> scores,
                                       const Poll& poll) const {
  constexpr std::string_view kFunction = "PanelForecaster::attention_scores";
  const PanelForecasterOptions& options = impl_->options;
  const PanelMember& asked = impl_->member_at(kFunction, member);
  check_origins(kFunction, series, origins, options);
  const std::int64_t layers = options.layers_of(member);
  check_size(kFunction, "scores", scores.size(), "origins * layers * memory_size",
             {std::ssize(origins.series), layers, options.memory_size});
  if (scores.empty()) return;
  const auto width = static_cast<std::size_t>(layers * options.memory_size);
  const PanelAtOrigins at = prepare_origins(series, origins, panel_rules(options), poll);
  InterruptibleWork work(poll);
  for_some_origins(work, at.origins.size(), [&](std::size_t first, std::size_t some) {
    read_attention(at.panel, std::span(at.origins).subspan(first, some), asked,
                   scores.subspan(first * width, some * width));
  });
}

void PanelForecaster::predict_without_slots(const SeriesView& series, const OriginsView& origins,
                                            std::int64_t member, std::int64_t layer,
                                            std::span<double> forecasts, const Poll& poll) const {
  constexpr std::string_view kFunction = "PanelForecaster::predict_without_slots";
  const PanelForecasterOptions& options = impl_->options;
  const PanelMember& asked = impl_->member_at(kFunction, member);
  const std::int64_t layers = options.layers_of(member);
  if (layer < 0 || layer >= layers) {
    fail_argument(kFunction, "layer", layer,
                  layers == 0 ? concat("none, for member ", member, " has no memory layer")
                              : concat("a number from 0 to ", layers - 1));
  }
  check_origins(kFunction, series, origins, options);
  check_size(kFunction, "forecasts", forecasts.size(), "memory_size * origins * outputs * horizon",
             {options.memory_size, std::ssize(origins.series), options.outputs(), options.horizon});
  const auto width = static_cast<std::size_t>(options.outputs() * options.horizon);
  const PanelAtOrigins at = prepare_origins(series, origins, panel_rules(options), poll);
  InterruptibleWork work(poll);
  for_some_origins(work, at.origins.size(), [&](std::size_t first, std::size_t some) {
    forecast_without_slots(at.panel, std::span(at.origins).subspan(first, some), asked, layer,
                           forecasts.subspan(first * width), at.origins.size() * width, work);
  });
}

}  // namespace memattn
