// The cost table of docs/siblings-math.md.
#include "layer/way_choice.h"

#include <array>
#include <limits>

#include "check.h"

namespace memattn {
namespace {

using kernels::Way;

// In the order of SequenceRoute, after kAuto.
constexpr std::array<Way, kSequenceWays> kWays = {{
    {true, true, Way::Logits::kProject, Way::Read::kProject},
    {false, false, Way::Logits::kLeft, Way::Read::kSource},
    {false, false, Way::Logits::kRight, Way::Read::kSource},
    {false, false, Way::Logits::kRight, Way::Read::kValue},
    {false, true, Way::Logits::kRight, Way::Read::kValue},
    {true, true, Way::Logits::kLeft, Way::Read::kSource},
    {true, false, Way::Logits::kLeft, Way::Read::kSource},
}};

}  // namespace

std::int64_t index_of(SequenceRoute route) { return static_cast<std::int64_t>(route) - 1; }

SequenceRoute route_at(std::int64_t index) { return static_cast<SequenceRoute>(index + 1); }

Way way_of(SequenceRoute route) {
  const std::int64_t index = index_of(route);
  if (index < 0 || index >= kSequenceWays) {
    fail_argument("set_route", "route", static_cast<int>(route), "one of SequenceRoute");
  }
  return kWays[static_cast<std::size_t>(index)];
}

TokenWork token_work(const kernels::SequenceDims& dims, const Way& way, std::int64_t steps2) {
  const kernels::WayWidths widths(dims, way);
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  const double T2 = number(steps2), H = number(dims.num_heads), U = number(dims.units);
  const double F1 = number(dims.source1_units), F2 = number(dims.source2_units);
  const double G1 = number(widths.source1), G2 = number(widths.source2);
  const double I = number(widths.key), J = number(widths.value);
  TokenWork work{H * T2 * (I + J), 0};
  if (way.dense1 && !(dims.one_source && way.dense2)) work.query += F1 * U;
  if (way.dense2) work.source += F2 * U;
  if (way.logits != Way::Logits::kRight) work.query += H * G1 * I;
  if (way.logits != Way::Logits::kLeft) work.source += H * G2 * I;
  if (way.read != Way::Read::kSource) work.source += H * G2 * J;
  if (way.read != Way::Read::kValue) work.query += H * J * U;
  return work;
}

WayCost cost_of(const kernels::SequenceDims& dims, const Way& way, std::int64_t steps1,
                std::int64_t steps2) {
  const kernels::WayWidths widths(dims, way);
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  const double H = number(dims.num_heads), U = number(dims.units);
  const double F1 = number(dims.source1_units), F2 = number(dims.source2_units);
  const double D = number(dims.key_dim), Dv = number(dims.value_dim);
  const double G1 = number(widths.source1), G2 = number(widths.source2);
  const TokenWork token = token_work(dims, way, steps2);
  WayCost cost{number(steps1) * token.query + number(steps2) * token.source, 0};
  if (!way.dense1) cost.fold += H * F1 * U * D;
  if (!way.dense2) cost.fold += H * F2 * U * (D + Dv);
  if (way.logits != Way::Logits::kProject) cost.fold += H * G1 * G2 * D;
  if (way.read != Way::Read::kProject) cost.fold += H * G2 * Dv * U;
  return cost;
}

namespace {

// Returns the multiply-adds of empty lanes in the products of queries and keys: the lanes of a
// sequence are rounded up to vectors of 16. Counting them makes (32, 10 -> 10, U 64, H 4) train on
// kLeftReadDense, 1,070 µs a step on an AVX-512 Xeon, rather than on kRightValueDense2, 1,220.
double empty_lanes(const kernels::SequenceDims& dims, const Way& way, std::int64_t steps1,
                   std::int64_t steps2) {
  constexpr std::int64_t kLanes = 16;
  const kernels::WayWidths widths(dims, way);
  const std::int64_t together = kernels::lane_heads(way, dims.num_heads, steps1);
  const std::int64_t lanes = steps1 * together;
  const std::int64_t empty = (lanes + kLanes - 1) / kLanes * kLanes - lanes;
  return static_cast<double>(empty) * static_cast<double>(dims.num_heads / together) *
         static_cast<double>(steps2) * static_cast<double>(widths.key + widths.value);
}

}  // namespace

// Ignores the batch and the number of queries, assuming as many queries as keys, so that a split of
// a call changes no bit. Speed over float32 with AVX512-BF16 on a Zen 5, by multiply-adds for each
// rounded value: cross-xtft 7.6 and 0.86, hier-xtft 7 and 11 and 0.84, cross 56 and 1.42.
bool rounding_pays(const kernels::SequenceDims& dims, const Way& way, std::int64_t steps2) {
  constexpr double kLeast = 16;
  const kernels::WayWidths widths(dims, way);
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  const double T2 = number(steps2), H = number(dims.num_heads), U = number(dims.units);
  const double G1 = number(widths.source1), I = number(widths.key), J = number(widths.value);
  const bool right = way.logits == Way::Logits::kRight;
  const bool keys_of_all = way.logits == Way::Logits::kLeft;
  const bool values_of_all = way.read == Way::Read::kSource;
  const bool output = way.read != Way::Read::kValue;
  const double products = (right ? 0 : G1 * I) + T2 * (I + J) + (output ? J * U : 0);
  const double rounded = G1 / H + (right ? 0 : I) + T2 + (output ? J : 0) +
                         (keys_of_all ? I / H : I) + (values_of_all ? J / H : J);
  return products >= kLeast * rounded;
}

SequenceRoute cheapest_route(const kernels::SequenceDims& dims, std::int64_t batch,
                             std::int64_t steps1, std::int64_t steps2, bool training) {
  double least = std::numeric_limits<double>::infinity();
  std::int64_t best = 0;
  for (std::int64_t i = 0; i < kSequenceWays; ++i) {
    const WayCost cost = cost_of(dims, kWays[static_cast<std::size_t>(i)], steps1, steps2);
    const double element =
        cost.element + empty_lanes(dims, kWays[static_cast<std::size_t>(i)], steps1, steps2);
    const double total = training ? static_cast<double>(batch) * element + cost.fold : element;
    if (total < least) {
      least = total;
      best = i;
    }
  }
  return route_at(best);
}

}  // namespace memattn
