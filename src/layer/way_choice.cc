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

WayCost cost_of(const kernels::SequenceDims& dims, const Way& way, std::int64_t steps1,
                std::int64_t steps2) {
  const kernels::WayWidths widths(dims, way);
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  const double T1 = number(steps1), T2 = number(steps2), H = number(dims.num_heads);
  const double U = number(dims.units), F1 = number(dims.source1_units);
  const double F2 = number(dims.source2_units), D = number(dims.key_dim);
  const double Dv = number(dims.value_dim), G1 = number(widths.source1);
  const double G2 = number(widths.source2), I = number(widths.key), J = number(widths.value);
  WayCost cost{0, 0};
  if (way.dense1 && !(dims.one_source && way.dense2)) cost.element += T1 * F1 * U;
  if (way.dense2) cost.element += T2 * F2 * U;
  cost.element += H * T1 * T2 * (I + J);
  if (way.logits != Way::Logits::kRight) cost.element += H * T1 * G1 * I;
  if (way.logits != Way::Logits::kLeft) cost.element += H * T2 * G2 * I;
  if (way.read != Way::Read::kSource) cost.element += H * T2 * G2 * J;
  if (way.read != Way::Read::kValue) cost.element += H * T1 * J * U;
  if (!way.dense1) cost.fold += H * F1 * U * D;
  if (!way.dense2) cost.fold += H * F2 * U * (D + Dv);
  if (way.logits != Way::Logits::kProject) cost.fold += H * G1 * G2 * D;
  if (way.read != Way::Read::kProject) cost.fold += H * G2 * Dv * U;
  return cost;
}

SequenceRoute cheapest_route(const kernels::SequenceDims& dims, std::int64_t batch,
                             std::int64_t steps1, std::int64_t steps2, bool training) {
  double least = std::numeric_limits<double>::infinity();
  std::int64_t best = 0;
  for (std::int64_t i = 0; i < kSequenceWays; ++i) {
    const WayCost cost = cost_of(dims, kWays[static_cast<std::size_t>(i)], steps1, steps2);
    const double total =
        training ? static_cast<double>(batch) * cost.element + cost.fold : cost.element;
    if (total < least) {
      least = total;
      best = i;
    }
  }
  return route_at(best);
}

}  // namespace memattn
