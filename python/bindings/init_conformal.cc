// memattn._memattn: intervals from the errors of the past, for memattn/forecast/conformal.py.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings.h"
#include "forecast/conformal.h"
#include "forecast/interruptible_work.h"
#include "gil.h"
#include "new_array.h"
#include "span_of.h"

namespace nb = nanobind;
using memattn::Ends;
using memattn::ErrorScores;
using memattn::WindowDomain;
using nb::literals::operator""_a;

namespace {

template <typename T, std::size_t kDims>
using Array = nb::ndarray<const T, nb::ndim<kDims>, nb::c_contig, nb::device::cpu>;
using Doubles = Array<double, 1>;
using Table = Array<double, 2>;
using Numbers = Array<std::int64_t, 1>;
using Flags = Array<bool, 1>;

void check_length(const char* argument, std::size_t found, std::size_t expected) {
  if (found == expected) return;
  throw std::invalid_argument(std::string(argument) + ": found " + std::to_string(found) +
                              " values, expected " + std::to_string(expected));
}

std::vector<WindowDomain> domains_of(const Flags& logs, const Doubles& roughness,
                                     const Doubles& change) {
  check_length("roughness", roughness.size(), logs.size());
  check_length("change", change.size(), logs.size());
  std::vector<WindowDomain> domains(logs.size());
  for (std::size_t i = 0; i < domains.size(); ++i) {
    domains[i] = {logs.data()[i], span_of("roughness", roughness)[i], span_of("change", change)[i],
                  0};
  }
  return domains;
}

auto window_domains(const Doubles& values, const Numbers& offsets, const Numbers& series,
                    const Numbers& stops, std::int64_t season, bool logs) {
  const std::span all = span_of("values", values);
  const std::span starts = span_of("offsets", offsets), of = span_of("series", series);
  const std::span until = span_of("stops", stops);
  check_length("stops", until.size(), of.size());
  // Windows of one series that stand together, so that its values are looked at once.
  std::vector<std::size_t> runs;
  for (std::size_t i = 0; i < of.size(); ++i) {
    const auto k = static_cast<std::size_t>(of[i]);
    if (of[i] < 0 || k + 1 >= starts.size() || starts[k] < 0 || until[i] < 1 ||
        until[i] > starts[k + 1] - starts[k] ||
        starts[k + 1] > static_cast<std::int64_t>(all.size())) {
      throw std::invalid_argument("window_domains: windows: found one outside of its series");
    }
    if (i == 0 || of[i] != of[i - 1]) runs.push_back(i);
  }
  runs.push_back(of.size());
  std::vector<WindowDomain> domains(of.size());
  auto [in_logs, in_logs_view] = make_array<bool>({of.size()});
  auto [roughness, roughness_view] = make_array<double>({of.size()});
  auto [change, change_view] = make_array<double>({of.size()});
  auto [least, least_view] = make_array<double>({of.size()});
  {
    const GilRelease release;
    memattn::InterruptibleWork work;
    work.run(static_cast<std::int64_t>(runs.size()) - 1, [&](std::int64_t run) {
      const std::size_t first = runs[static_cast<std::size_t>(run)];
      const std::size_t count = runs[static_cast<std::size_t>(run) + 1] - first;
      const auto k = static_cast<std::size_t>(of[first]);
      const auto start = static_cast<std::size_t>(starts[k]);
      const auto size = static_cast<std::size_t>(starts[k + 1]) - start;
      memattn::find_domains(all.subspan(start, size), until.subspan(first, count), season, logs,
                            std::span(domains).subspan(first, count));
    });
    for (std::size_t i = 0; i < domains.size(); ++i) {
      in_logs_view[i] = domains[i].logs;
      roughness_view[i] = domains[i].roughness;
      change_view[i] = domains[i].change;
      least_view[i] = domains[i].least;
    }
  }
  return std::tuple(in_logs, roughness, change, least);
}

ErrorScores error_scores(const Array<double, 3>& errors, std::int64_t place, const Flags& logs,
                         const Doubles& roughness, const Doubles& change, const Numbers& ages,
                         double half_life, std::int64_t apart, bool in_logs) {
  const std::vector<WindowDomain> domains = domains_of(logs, roughness, change);
  check_length("errors", errors.shape(0), domains.size());
  check_length("ages", ages.size(), domains.size());
  const auto places = static_cast<std::int64_t>(errors.shape(1));
  if (place < 0 || place >= places) throw std::invalid_argument("place: found none of the errors'");
  const memattn::Errors all = {.values = span_of("errors", errors),
                               .places = places,
                               .place = place,
                               .horizon = static_cast<std::int64_t>(errors.shape(2)),
                               .domains = domains,
                               .ages = span_of("ages", ages),
                               .half_life = half_life,
                               .apart = apart};
  const GilRelease release;
  return ErrorScores(all, in_logs);
}

auto half_widths(const ErrorScores& scores, const Flags& logs, const Doubles& roughness,
                 const Doubles& change, double level) {
  const std::vector<WindowDomain> domains = domains_of(logs, roughness, change);
  const auto horizon = static_cast<std::size_t>(scores.horizon());
  auto [widths, view] = make_array<double>({domains.size(), horizon});
  const GilRelease release;
  for (std::size_t k = 0; k < horizon; ++k) {
    for (std::size_t i = 0; i < domains.size(); ++i) {
      view[i * horizon + k] = scores.half_width(domains[i], static_cast<std::int64_t>(k), level);
    }
  }
  return widths;
}

auto conformal_quantile(const Table& scores, double level, const Doubles& weights,
                        std::int64_t apart) {
  check_length("weights", weights.size(), scores.shape(0));
  const auto horizon = static_cast<std::int64_t>(scores.shape(1));
  const memattn::RankedScores ranked(span_of("scores", scores), horizon,
                                     span_of("weights", weights), apart);
  auto [quantiles, view] = make_array<double>({scores.shape(1)});
  for (std::int64_t k = 0; k < horizon; ++k) {
    view[static_cast<std::size_t>(k)] = ranked.quantile(k, level);
  }
  return quantiles;
}

// Arrays of ends (2, W, horizon) of windows of a domain, from `ends_of`(domain, point, i).
template <typename Function>
auto ends_of_all(const Flags& logs, const Doubles& least, const Table& points,
                 const Function& ends_of) {
  const std::size_t windows = points.shape(0), horizon = points.shape(1);
  check_length("logs", logs.size(), windows);
  check_length("least", least.size(), windows);
  const std::span all = span_of("points", points), bottom = span_of("least", least);
  auto [found, view] = make_array<double>({std::size_t{2}, windows, horizon});
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::size_t window = i / horizon;
    const WindowDomain domain = {logs.data()[window], 0, 1, bottom[window]};
    const Ends ends = ends_of(domain, all[i], i);
    view[i] = ends.low;
    view[all.size() + i] = ends.high;
  }
  return found;
}

auto moved_ends(const Flags& logs, const Doubles& least, const Table& points, const Table& low,
                const Table& high, const std::optional<Table>& widths) {
  check_length("low", low.size(), points.size());
  check_length("high", high.size(), points.size());
  if (widths) check_length("widths", widths->size(), points.size());
  const std::span lows = span_of("low", low), highs = span_of("high", high);
  return ends_of_all(logs, least, points,
                     [&](const WindowDomain& domain, double point, std::size_t i) {
                       const std::optional<double> width =
                           widths ? std::optional(span_of("widths", *widths)[i]) : std::nullopt;
                       return memattn::moved_ends(domain, point, {lows[i], highs[i]}, width);
                     });
}

auto ends_between(const Flags& logs, const Doubles& least, const Table& points,
                  const Array<double, 4>& known, const std::vector<double>& levels, double level) {
  const std::size_t count = levels.size(), size = points.size();
  if (count == 0) throw std::invalid_argument("levels: found none, expected those of the ends");
  check_length("known", known.size(), count * 2 * size);
  const std::span ends = span_of("known", known);
  std::vector<double> reaches;
  for (const double one : levels) reaches.push_back(memattn::normal_reach(one));
  const double reach = memattn::normal_reach(level);
  std::vector<Ends> of_levels(count);
  return ends_of_all(logs, least, points,
                     [&](const WindowDomain& domain, double point, std::size_t i) {
                       for (std::size_t k = 0; k < count; ++k) {
                         of_levels[k] = {ends[2 * k * size + i], ends[(2 * k + 1) * size + i]};
                       }
                       return memattn::ends_between(domain, point, of_levels, reaches, reach);
                     });
}

auto fill_holes(const Doubles& values) {
  const std::span given = span_of("values", values);
  auto [filled, view] = make_array<double>({given.size()});
  std::ranges::copy(given, view.begin());
  memattn::fill_holes(view);
  return filled;
}

}  // namespace

void init_conformal(nb::module_& m) {
  nb::class_<ErrorScores>(m, "ErrorScores", "Errors of windows as scores, in order.")
      .def_prop_ro("power", &ErrorScores::power, "Of roughness, that divided errors in logs.")
      .def("half_widths", &half_widths, "logs"_a, "roughness"_a, "change"_a, "level"_a,
           "How far intervals of windows reach (W, horizon).");
  m.def("error_scores", &error_scores, "errors"_a, "place"_a, "logs"_a, "roughness"_a, "change"_a,
        "ages"_a, "half_life"_a, "apart"_a, "in_logs"_a,
        "The scores of errors (n, K, horizon) at a place of K.");
  m.def("window_domains", &window_domains, "values"_a, "offsets"_a, "series"_a, "stops"_a,
        "season"_a, "logs"_a, "Logs, roughness, change and least of windows (W,).");
  m.def("half_life_of", &memattn::half_life_of, "season"_a, "horizon"_a, "apart"_a,
        "The rows in which the weight of an error halves.");
  m.def("conformal_quantile", &conformal_quantile, "scores"_a, "level"_a, "weights"_a, "apart"_a,
        "The quantile of scores (n, horizon) of each step.");
  m.def("moved_ends", &moved_ends, "logs"_a, "least"_a, "points"_a, "low"_a, "high"_a,
        "widths"_a.none(), "Ends (2, W, horizon) of a level, moved by widths.");
  m.def("ends_between", &ends_between, "logs"_a, "least"_a, "points"_a, "known"_a, "levels"_a,
        "level"_a, "Ends (2, W, horizon) of a level from those of others (K, 2, W, horizon).");
  m.def("fill_holes", &fill_holes, "values"_a, "Values with straight lines in place of NaN.");
  m.attr("ROUGHNESS_POWERS") = nb::cast(
      std::vector(std::begin(memattn::kRoughnessPowers), std::end(memattn::kRoughnessPowers)));
  m.attr("RECENT_ROWS") = memattn::kRecentRows;
  m.attr("SHARED_WINDOWS") = memattn::kSharedWindows;
}
