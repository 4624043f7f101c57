// The choice of the route of an attention between two inputs: the seven routes, their costs, and
// the rule.
#pragma once

#include <cstdint>

#include "kernels/sequence.h"
#include "memattn/cross_attention.h"

namespace memattn {

inline constexpr std::int64_t kSequenceWays = 7;

// Returns the way of a route other than kAuto. Throws std::invalid_argument for an invalid number.
kernels::Way way_of(SequenceRoute route);

// Returns the index of a route other than kAuto, 0 to kSequenceWays - 1, and the inverse.
std::int64_t index_of(SequenceRoute route);
SequenceRoute route_at(std::int64_t index);

// The multiply-adds of a way in the forward pass, per token of source 1 and of source 2.
struct TokenWork {
  double query;
  double source;
};
TokenWork token_work(const kernels::SequenceDims& dims, const kernels::Way& way,
                     std::int64_t steps2);

// The multiply-adds of a way: the forward pass of one batch element, and the fold.
struct WayCost {
  double element;
  double fold;
};
WayCost cost_of(const kernels::SequenceDims& dims, const kernels::Way& way, std::int64_t steps1,
                std::int64_t steps2);

// Returns the cheapest route. With frozen weights it compares the cost of one element; with
// training, where each step folds again, the cost of the whole batch and the fold. Empty lanes
// count as full ones.
SequenceRoute cheapest_route(const kernels::SequenceDims& dims, std::int64_t batch,
                             std::int64_t steps1, std::int64_t steps2, bool training);

// Returns whether bfloat16 makes a forward pass faster, that is, whether a head's products are long
// enough to make up for rounding their operands. If not, a pass in bfloat16 computes in float32, on
// every machine.
bool rounding_pays(const kernels::SequenceDims& dims, const kernels::Way& way, std::int64_t steps2);

}  // namespace memattn
