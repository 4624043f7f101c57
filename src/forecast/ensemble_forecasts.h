// Forecasts of the members of an ensemble at origins of a panel.
#pragma once

#include <cstdint>
#include <span>

#include "forecast/interruptible_work.h"
#include "forecast/panel.h"
#include "forecast/panel_member.h"

namespace memattn {

// Fills forecasts (N, outputs, horizon) with the mean of the members' forecasts from N origins,
// computed in the domain of each series. Quantiles are put in order. Members of one lookback must
// be adjacent. With N `donors`, the memory layers add to each origin what they add at its donor.
// They compute in `precision`. Calls work.check() between members.
void forecast_ensemble(const Panel& panel, std::span<const Origin> origins,
                       std::span<const PanelMember> members, std::span<double> forecasts,
                       InterruptibleWork& work, std::span<const Origin> donors = {},
                       Precision precision = Precision::kFloat32);

// Fills scores (N, layers, memory_size) with the attention of one member, averaged over heads.
void read_attention(const Panel& panel, std::span<const Origin> origins, const PanelMember& member,
                    std::span<float> scores);

// Computes the forecasts (N, outputs, horizon) of one member without one slot of a memory layer,
// for each slot in turn. The forecasts without slot s start at forecasts[s * slot_stride]. Calls
// work.check() between slots.
void forecast_without_slots(const Panel& panel, std::span<const Origin> origins,
                            const PanelMember& member, std::int64_t layer,
                            std::span<double> forecasts, std::size_t slot_stride,
                            InterruptibleWork& work);

}  // namespace memattn
