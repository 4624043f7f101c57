// The choice of the route of an attention between two inputs: the seven routes, their costs, and
// the rule.
#pragma once

#include <cstdint>

#include "kernels/sequence.h"
#include "memattn/cross_attention.h"

namespace memattn {

inline constexpr std::int64_t kSequenceWays = 7;

// What a route other than kAuto is. Throws std::invalid_argument for a number that is none.
kernels::Way way_of(SequenceRoute route);

// The place of a route other than kAuto, 0 to kSequenceWays - 1, and the inverse.
std::int64_t index_of(SequenceRoute route);
SequenceRoute route_at(std::int64_t index);

// Multiply-adds of a way in the forward pass: of each token of source 1, and of source 2.
struct TokenWork {
  double query;
  double source;
};
TokenWork token_work(const kernels::SequenceDims& dims, const kernels::Way& way,
                     std::int64_t steps2);

// Multiply-adds of a way: of the forward pass of one batch element, and of the fold.
struct WayCost {
  double element;
  double fold;
};
WayCost cost_of(const kernels::SequenceDims& dims, const kernels::Way& way, std::int64_t steps1,
                std::int64_t steps2);

// The route of the least cost: of an element where weights are frozen; with training, where each
// step folds anew, of the whole batch and the fold. Empty lanes count as if they were full.
SequenceRoute cheapest_route(const kernels::SequenceDims& dims, std::int64_t batch,
                             std::int64_t steps1, std::int64_t steps2, bool training);

// Whether bfloat16 makes a forward pass faster: whether a head's products are long enough to make
// up for rounding what they multiply. Else a pass in bfloat16 computes in float32, on every
// machine.
bool rounding_pays(const kernels::SequenceDims& dims, const kernels::Way& way, std::int64_t steps2);

}  // namespace memattn
