// memattn._memattn.PanelForecaster: the forecaster of many series, for memattn.forecast.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "access_gate.h"
#include "bindings.h"
#include "gil.h"
#include "memattn/panel_forecaster.h"
#include "new_array.h"
#include "progress.h"
#include "span_of.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

using Values = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Indices = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Covariates =
    std::optional<nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>>;

// The series of a call, for the forecaster that has these options.
memattn::SeriesView view_of(const Values& values, const Indices& offsets,
                            const Covariates& covariates,
                            const memattn::PanelForecasterOptions& options) {
  memattn::SeriesView view{span_of("values", values), span_of("offsets", offsets)};
  if (!covariates) return view;
  if (std::cmp_not_equal(covariates->shape(1), options.covariates)) {
    throw std::invalid_argument("PanelForecaster: covariates: found " +
                                std::to_string(covariates->shape(1)) + " columns, expected " +
                                std::to_string(options.covariates) +
                                ", as many as the options say");
  }
  view.covariates = span_of("covariates", *covariates);
  return view;
}

using PanelModel = Gated<memattn::PanelForecaster>;

constexpr const char* kLossNames[] = {"smape", "mae", "huber", "pinball"};  // as in ErrorLoss

memattn::ErrorLoss loss_of(const std::string& name) {
  for (int i = 0; i < 4; ++i) {
    if (name == kLossNames[i]) return static_cast<memattn::ErrorLoss>(i);
  }
  throw std::invalid_argument("PanelForecaster: loss: found '" + name +
                              "', expected 'smape', 'mae', 'huber' or 'pinball'");
}

constexpr const char* kWindowsNames[] = {"last_values", "past_seasons"};  // as in PanelWindows

memattn::PanelWindows windows_of(const std::string& name) {
  for (int i = 0; i < 2; ++i) {
    if (name == kWindowsNames[i]) return static_cast<memattn::PanelWindows>(i);
  }
  throw std::invalid_argument("PanelForecaster: windows: found '" + name +
                              "', expected 'last_values' or 'past_seasons'");
}

constexpr std::int64_t kAllMembers = -1;

using Parameters = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using ParametersOut = nb::ndarray<nb::numpy, float, nb::ndim<1>>;

ParametersOut copied(std::span<const float> source) {
  auto values = std::make_unique<float[]>(source.size());
  std::ranges::copy(source, values.get());
  const nb::capsule owner(values.get(),
                          [](void* data) noexcept { delete[] static_cast<float*>(data); });
  float* const data = values.release();
  return ParametersOut(data, {source.size()}, owner);
}

bool fit(PanelModel& model, const Values& values, const Indices& offsets,
         std::optional<nb::callable> progress, const Covariates& covariates) {
  return model.write("PanelForecaster.fit", [&](memattn::PanelForecaster& forecaster) {
    const memattn::SeriesView series = view_of(values, offsets, covariates, forecaster.options());
    const GilRelease release;
    return forecaster.fit(series, report_to(progress), poll_for_signals());
  });
}

std::pair<std::int64_t, std::vector<ParametersOut>> training_state(const PanelModel& model) {
  const memattn::PanelTrainingState state = model.read(
      "PanelForecaster.training_state",
      [](const memattn::PanelForecaster& forecaster) { return forecaster.training_state(); });
  std::vector<ParametersOut> members;
  for (const std::vector<float>& member : state.members) members.push_back(copied(member));
  return {state.steps_done, std::move(members)};
}

bool resume(PanelModel& model, const Values& values, const Indices& offsets,
            std::int64_t steps_done, const std::vector<Parameters>& members,
            std::optional<nb::callable> progress, const Covariates& covariates) {
  return model.write("PanelForecaster.resume", [&](memattn::PanelForecaster& forecaster) {
    const memattn::SeriesView series = view_of(values, offsets, covariates, forecaster.options());
    memattn::PanelTrainingState state{.steps_done = steps_done, .members = {}};
    for (const Parameters& member : members) {
      const std::span values_of_member = span_of("members", member);
      state.members.emplace_back(values_of_member.begin(), values_of_member.end());
    }
    const GilRelease release;
    return forecaster.resume(series, state, report_to(progress), poll_for_signals());
  });
}

// Calls fill(forecaster, options, view) without the GIL, with a view of a new array of
// shape_of(options), and returns the array.
template <typename T, typename ShapeOf, typename Fill>
auto filled_array(const PanelModel& model, const char* function, ShapeOf shape_of, Fill fill) {
  return model.read(function, [&](const memattn::PanelForecaster& forecaster) {
    const auto sizes = shape_of(forecaster.options());
    std::size_t shape[std::tuple_size_v<decltype(sizes)>];
    std::ranges::transform(sizes, shape,
                           [](std::int64_t size) { return static_cast<std::size_t>(size); });
    auto [array, view] = make_array<T>(shape);
    const GilRelease release;
    fill(forecaster, view);
    return array;
  });
}

auto predict(const PanelModel& model, const Values& values, const Indices& offsets,
             const Indices& series, const Indices& times, std::int64_t member,
             const Covariates& covariates, bool half) {
  const memattn::OriginsView origins{span_of("series", series), span_of("times", times)};
  const auto precision = half ? memattn::Precision::kBFloat16 : memattn::Precision::kFloat32;
  return filled_array<double>(
      model, "PanelForecaster.predict",
      [&](const memattn::PanelForecasterOptions& options) {
        return std::array{std::ssize(origins.series), options.outputs(), options.horizon};
      },
      [&](const memattn::PanelForecaster& forecaster, std::span<double> forecasts) {
        const memattn::SeriesView panel =
            view_of(values, offsets, covariates, forecaster.options());
        if (member == kAllMembers) {
          forecaster.predict(panel, origins, forecasts, poll_for_signals(), precision);
        } else {
          forecaster.predict(panel, origins, member, forecasts, poll_for_signals(), precision);
        }
      });
}

auto predict_with_memory_of(const PanelModel& model, const Values& values, const Indices& offsets,
                            const Indices& series, const Indices& times,
                            const Indices& donor_series, const Indices& donor_times,
                            const Covariates& covariates) {
  const memattn::OriginsView origins{span_of("series", series), span_of("times", times)};
  const memattn::OriginsView donors{span_of("donor_series", donor_series),
                                    span_of("donor_times", donor_times)};
  return filled_array<double>(
      model, "PanelForecaster.predict_with_memory_of",
      [&](const memattn::PanelForecasterOptions& options) {
        return std::array{std::ssize(origins.series), options.outputs(), options.horizon};
      },
      [&](const memattn::PanelForecaster& forecaster, std::span<double> forecasts) {
        const memattn::SeriesView panel =
            view_of(values, offsets, covariates, forecaster.options());
        forecaster.predict_with_memory_of(panel, origins, donors, forecasts, poll_for_signals());
      });
}

auto attention_scores(const PanelModel& model, const Values& values, const Indices& offsets,
                      const Indices& series, const Indices& times, std::int64_t member,
                      const Covariates& covariates) {
  const memattn::OriginsView origins{span_of("series", series), span_of("times", times)};
  return filled_array<float>(
      model, "PanelForecaster.attention_scores",
      [&](const memattn::PanelForecasterOptions& options) {
        return std::array{std::ssize(origins.series), options.layers_of(member),
                          options.memory_size};
      },
      [&](const memattn::PanelForecaster& forecaster, std::span<float> scores) {
        const memattn::SeriesView panel =
            view_of(values, offsets, covariates, forecaster.options());
        forecaster.attention_scores(panel, origins, member, scores, poll_for_signals());
      });
}

auto predict_without_slots(const PanelModel& model, const Values& values, const Indices& offsets,
                           const Indices& series, const Indices& times, std::int64_t member,
                           std::int64_t layer, const Covariates& covariates) {
  const memattn::OriginsView origins{span_of("series", series), span_of("times", times)};
  return filled_array<double>(
      model, "PanelForecaster.predict_without_slots",
      [&](const memattn::PanelForecasterOptions& options) {
        return std::array{options.memory_size, std::ssize(origins.series), options.outputs(),
                          options.horizon};
      },
      [&](const memattn::PanelForecaster& forecaster, std::span<double> forecasts) {
        const memattn::SeriesView panel =
            view_of(values, offsets, covariates, forecaster.options());
        forecaster.predict_without_slots(panel, origins, member, layer, forecasts,
                                         poll_for_signals());
      });
}

ParametersOut parameters(const PanelModel& model, std::int64_t member) {
  return model.read("PanelForecaster.parameters", [&](const memattn::PanelForecaster& forecaster) {
    return copied(forecaster.parameters(member));
  });
}

void set_parameters(PanelModel& model, std::int64_t member, const Parameters& values) {
  model.write("PanelForecaster.set_parameters", [&](memattn::PanelForecaster& forecaster) {
    forecaster.set_parameters(member, span_of("values", values));
  });
}

std::int64_t count_params(const PanelModel& model) {
  return model.read("PanelForecaster.count_params", [](const memattn::PanelForecaster& forecaster) {
    return forecaster.count_params();
  });
}

std::int64_t members(const PanelModel& model) {
  return model.read("PanelForecaster.members", [](const memattn::PanelForecaster& forecaster) {
    return forecaster.options().members();
  });
}

// first_column, columns, first_row, rows
using Block = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;

std::vector<memattn::CovariateBlock> blocks_of(const std::vector<Block>& blocks) {
  std::vector<memattn::CovariateBlock> result;
  for (const auto& [first_column, columns, first_row, rows] : blocks) {
    result.push_back({first_column, columns, first_row, rows});
  }
  return result;
}

memattn::PanelForecasterOptions options_of(
    std::int64_t horizon, std::vector<std::int64_t> lookbacks, std::int64_t season,
    std::int64_t long_season, std::int64_t seeds, std::int64_t min_history,
    const std::string& windows, bool logs, std::int64_t covariates,
    const std::vector<Block>& blocks, std::int64_t origin_stride, std::int64_t units,
    std::int64_t memory_size, std::int64_t num_heads, std::int64_t layers,
    std::vector<std::int64_t> member_layers, bool pre_norm, double dropout, double input_dropout,
    bool zero_memory, const std::string& loss, double huber_delta, std::vector<double> quantiles,
    std::int64_t steps, std::int64_t batch_size, double learning_rate, std::int64_t warm_up,
    double weight_decay, double clip_norm, double average_decay, std::uint64_t seed) {
  memattn::MemoryInitializer memory;
  if (zero_memory) memory.kind = memattn::MemoryInitializer::Kind::kZeros;
  return {.horizon = horizon,
          .season = season,
          .long_season = long_season,
          .lookbacks = std::move(lookbacks),
          .seeds = seeds,
          .min_history = min_history,
          .windows = windows_of(windows),
          .logs = logs,
          .covariates = covariates,
          .blocks = blocks_of(blocks),
          .origin_stride = origin_stride,
          .units = units,
          .memory_size = memory_size,
          .num_heads = num_heads,
          .layers = layers,
          .member_layers = std::move(member_layers),
          .pre_norm = pre_norm,
          .dropout = dropout,
          .input_dropout = input_dropout,
          .memory_initializer = memory,
          .loss = loss_of(loss),
          .huber_delta = huber_delta,
          .quantiles = std::move(quantiles),
          .steps = steps,
          .batch_size = batch_size,
          .learning_rate = learning_rate,
          .warm_up = warm_up,
          .weight_decay = weight_decay,
          .clip_norm = clip_norm,
          .average_decay = average_decay,
          .seed = seed};
}

// Functions that take what options_of takes.
template <typename... Arguments>
struct OfOptions {
  static void construct(PanelModel* self, Arguments... arguments) {
    new (self) PanelModel(memattn::PanelForecaster(options_of(std::move(arguments)...)));
  }

  static std::vector<std::int64_t> count_weights(Arguments... arguments) {
    return options_of(std::move(arguments)...).count_member_params();
  }
};

template <typename... Arguments>
OfOptions<Arguments...> of_options(memattn::PanelForecasterOptions (*)(Arguments...));
using Of = decltype(of_options(&options_of));

}  // namespace

void init_panel(nb::module_& m) {
  const memattn::PanelForecasterOptions defaults;
  nb::class_<PanelModel> type(m, "PanelForecaster", "An ensemble of networks for many series.");
  const auto with_options = [&](const auto& define) {
    define(nb::kw_only(), "horizon"_a, "lookbacks"_a, "season"_a = defaults.season,
           "long_season"_a = defaults.long_season, "seeds"_a = defaults.seeds,
           "min_history"_a = defaults.min_history, "windows"_a = kWindowsNames[0],
           "logs"_a = defaults.logs, "covariates"_a = defaults.covariates,
           "blocks"_a = std::vector<Block>(), "origin_stride"_a = defaults.origin_stride,
           "units"_a = defaults.units, "memory_size"_a = defaults.memory_size,
           "num_heads"_a = defaults.num_heads, "layers"_a = defaults.layers,
           "member_layers"_a = std::vector<std::int64_t>(), "pre_norm"_a = defaults.pre_norm,
           "dropout"_a = defaults.dropout, "input_dropout"_a = defaults.input_dropout,
           "zero_memory"_a = false, "loss"_a = kLossNames[0],
           "huber_delta"_a = defaults.huber_delta, "quantiles"_a = std::vector<double>(),
           "steps"_a = defaults.steps, "batch_size"_a = defaults.batch_size,
           "learning_rate"_a = defaults.learning_rate, "warm_up"_a = defaults.warm_up,
           "weight_decay"_a = defaults.weight_decay, "clip_norm"_a = defaults.clip_norm,
           "average_decay"_a = defaults.average_decay, "seed"_a = defaults.seed);
  };
  with_options([&](const auto&... arguments) {
    type.def("__init__", &Of::construct, arguments...);
    type.def_static("count_weights", &Of::count_weights, arguments...,
                    "The weights of each member, counted without making one.");
  });
  type.def_prop_ro("members", &members);
  type.def("count_params", &count_params);
  type.def("parameters", &parameters, "member"_a, "A copy of the weights of one member, flat.");
  type.def("set_parameters", &set_parameters, "member"_a, "parameters"_a);
  type.def(
      "fit", &fit, "values"_a, "offsets"_a, "progress"_a = nb::none(), "covariates"_a = nb::none(),
      nb::sig("def fit(self, values: numpy.typing.NDArray[numpy.float64], offsets: "
              "numpy.typing.NDArray[numpy.int64], progress: collections.abc.Callable[[int, "
              "int, float], object] | None = None, covariates: "
              "numpy.typing.NDArray[numpy.float32] | None = None) -> bool"),
      "Trains all members on the series values[offsets[i]:offsets[i + 1]]; progress(step,\n"
      "steps, loss) is called at most every 50 ms and after the last step, and stops the\n"
      "training by returning False. covariates is a table with a row for each value and, after\n"
      "each series, `horizon` rows more, of as many columns as the options say.");
  type.def("training_state", &training_state,
           "Where a fit that was stopped stands: steps done, and a flat array for each member.");
  type.def("resume", &resume, "values"_a, "offsets"_a, "steps_done"_a, "members"_a,
           "progress"_a = nb::none(), "covariates"_a = nb::none(),
           nb::sig("def resume(self, values: numpy.typing.NDArray[numpy.float64], offsets: "
                   "numpy.typing.NDArray[numpy.int64], steps_done: int, members: "
                   "list[numpy.typing.NDArray[numpy.float32]], progress: "
                   "collections.abc.Callable[[int, int, float], object] | None = None, "
                   "covariates: numpy.typing.NDArray[numpy.float32] | None = None) -> bool"),
           "Goes on from training_state(), with the bits of a fit that was never stopped.");
  type.def(
      "predict", &predict, "values"_a, "offsets"_a, "series"_a, "times"_a, "member"_a = kAllMembers,
      "covariates"_a = nb::none(), "half"_a = false,
      "Forecasts (N, outputs, horizon) from the first times[i] values of series[i], of one\n"
      "member or, with -1, of all together; with half the memory layers multiply in bfloat16.");
  type.def("predict_with_memory_of", &predict_with_memory_of, "values"_a, "offsets"_a, "series"_a,
           "times"_a, "donor_series"_a, "donor_times"_a, "covariates"_a = nb::none(),
           "Forecasts (N, outputs, horizon) as predict, but the memory layers add to each origin\n"
           "what they add at its donor, another origin.");
  type.def("attention_scores", &attention_scores, "values"_a, "offsets"_a, "series"_a, "times"_a,
           "member"_a, "covariates"_a = nb::none(),
           "How one member shares its attention among the slots (N, its layers, memory_size), the\n"
           "mean over heads; those of an origin and a layer sum to 1.");
  type.def("predict_without_slots", &predict_without_slots, "values"_a, "offsets"_a, "series"_a,
           "times"_a, "member"_a, "layer"_a, "covariates"_a = nb::none(),
           "Forecasts (memory_size, N, outputs, horizon) of one member without one slot of a\n"
           "memory layer, each slot in turn: the other slots are read instead.");
}
