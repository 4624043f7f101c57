// memattn._memattn.Forecaster: the forecasting model, for memattn.forecast.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "access_gate.h"
#include "bindings.h"
#include "memattn/forecaster.h"
#include "new_array.h"
#include "progress.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace {

using Series = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Windows = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

struct Model {
  explicit Model(const memattn::ForecasterOptions& options) : forecaster(options) {}

  memattn::Forecaster forecaster;
  AccessGate gate;
};

bool fit(Model& model, const std::vector<Series>& series, std::optional<nb::callable> progress) {
  const WriteAccess access(model.gate, "Forecaster.fit");
  std::vector<std::span<const double>> spans;
  for (const Series& values : series) spans.emplace_back(values.data(), values.size());

  const nb::gil_scoped_release release;
  return model.forecaster.fit(spans, report_to(progress));
}

void check_windows(const char* function, const Model& model, const Windows& windows) {
  const auto lookback = static_cast<std::size_t>(model.forecaster.options().lookback);
  if (windows.shape(1) != lookback) {
    throw std::invalid_argument(std::string(function) + ": windows: found shape (" +
                                std::to_string(windows.shape(0)) + ", " +
                                std::to_string(windows.shape(1)) + "), expected (N, " +
                                std::to_string(lookback) + ")");
  }
}

auto predict(Model& model, const Windows& windows) {
  const ReadAccess access(model.gate, "Forecaster");
  check_windows("Forecaster.predict", model, windows);
  const std::size_t shape[] = {windows.shape(0),
                               static_cast<std::size_t>(model.forecaster.options().horizon)};
  auto [forecasts, view] = make_array(shape);
  {
    const nb::gil_scoped_release release;
    model.forecaster.predict({windows.data(), windows.size()}, view);
  }
  return forecasts;
}

auto attention_scores(Model& model, const Windows& windows) {
  const ReadAccess access(model.gate, "Forecaster");
  check_windows("Forecaster.attention_scores", model, windows);
  const memattn::ForecasterOptions& options = model.forecaster.options();
  const std::size_t shape[] = {windows.shape(0), static_cast<std::size_t>(options.num_heads),
                               static_cast<std::size_t>(model.forecaster.tokens()),
                               static_cast<std::size_t>(options.memory_size)};
  auto [scores, view] = make_array(shape);
  {
    const nb::gil_scoped_release release;
    model.forecaster.attention_scores({windows.data(), windows.size()}, view);
  }
  return scores;
}

void construct(Model* self, std::int64_t lookback, std::int64_t horizon, std::int64_t season,
               std::int64_t patch_size, std::int64_t units, std::int64_t memory_size,
               std::int64_t num_heads, std::int64_t epochs, std::int64_t batch_size,
               double learning_rate, double weight_decay, double clip_norm, std::uint64_t seed) {
  new (self) Model(memattn::ForecasterOptions{.lookback = lookback,
                                              .horizon = horizon,
                                              .season = season,
                                              .patch_size = patch_size,
                                              .units = units,
                                              .memory_size = memory_size,
                                              .num_heads = num_heads,
                                              .epochs = epochs,
                                              .batch_size = batch_size,
                                              .learning_rate = learning_rate,
                                              .weight_decay = weight_decay,
                                              .clip_norm = clip_norm,
                                              .seed = seed});
}

// A read-only property for a field of ForecasterOptions.
template <auto kField>
void bind_option(nb::class_<Model>& type, const char* name) {
  type.def_prop_ro(name, [](const Model& self) { return self.forecaster.options().*kField; });
}

}  // namespace

void init_forecast(nb::module_& m) {
  using Options = memattn::ForecasterOptions;
  const Options defaults;
  nb::class_<Model> type(m, "Forecaster", "A small forecaster built on the layer.");
  type.def("__init__", &construct, nb::kw_only(), "lookback"_a, "horizon"_a,
           "season"_a = defaults.season, "patch_size"_a = defaults.patch_size,
           "units"_a = defaults.units, "memory_size"_a = defaults.memory_size,
           "num_heads"_a = defaults.num_heads, "epochs"_a = defaults.epochs,
           "batch_size"_a = defaults.batch_size, "learning_rate"_a = defaults.learning_rate,
           "weight_decay"_a = defaults.weight_decay, "clip_norm"_a = defaults.clip_norm,
           "seed"_a = defaults.seed);
  bind_option<&Options::lookback>(type, "lookback");
  bind_option<&Options::horizon>(type, "horizon");
  bind_option<&Options::season>(type, "season");
  bind_option<&Options::patch_size>(type, "patch_size");
  bind_option<&Options::units>(type, "units");
  bind_option<&Options::memory_size>(type, "memory_size");
  bind_option<&Options::num_heads>(type, "num_heads");
  bind_option<&Options::epochs>(type, "epochs");
  bind_option<&Options::batch_size>(type, "batch_size");
  bind_option<&Options::learning_rate>(type, "learning_rate");
  bind_option<&Options::weight_decay>(type, "weight_decay");
  bind_option<&Options::clip_norm>(type, "clip_norm");
  bind_option<&Options::seed>(type, "seed");
  type.def_prop_ro("tokens", [](const Model& self) { return self.forecaster.tokens(); });
  type.def("count_params", [](const Model& self) { return self.forecaster.count_params(); });
  type.def("fit", &fit, "series"_a, "progress"_a = nb::none(),
           nb::sig("def fit(self, series: collections.abc.Sequence[numpy.typing.NDArray["
                   "numpy.float64]], progress: collections.abc.Callable[[int, int, float], object]"
                   " | None = None) -> bool"),
           "Trains on every window of every series; progress(step, steps, loss) is called at most\n"
           "every 50 ms and after the last step, and stops the training by returning False.");
  type.def("predict", &predict, "windows"_a,
           "Forecasts (N, horizon) from windows (N, lookback), oldest value first.");
  type.def("attention_scores", &attention_scores, "windows"_a,
           "What the memory layer reads: (N, num_heads, tokens, memory_size).");
}
