// The values of the config's enumerations, and what they are called in JSON.
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "memattn/config.h"

namespace memattn {

inline constexpr std::array<std::pair<MemoryInitializer::Kind, std::string_view>, 3> kKindNames = {{
    {MemoryInitializer::Kind::kNormal, "normal"},
    {MemoryInitializer::Kind::kGlorotUniform, "glorot_uniform"},
    {MemoryInitializer::Kind::kZeros, "zeros"},
}};
inline constexpr std::array<std::pair<FullyMasked, std::string_view>, 2> kFullyMaskedNames = {{
    {FullyMasked::kZero, "zero"},
    {FullyMasked::kUniform, "uniform"},
}};

}  // namespace memattn
