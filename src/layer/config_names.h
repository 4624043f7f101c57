// The names of layers and of enumeration values in files and messages.
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "memattn/config.h"

namespace memattn {

// The name of a config's layer.
template <typename Config>
inline constexpr std::string_view kLayerName = {};
template <>
inline constexpr std::string_view kLayerName<MemoryAugmentedAttentionConfig> =
    "MemoryAugmentedAttention";
template <>
inline constexpr std::string_view kLayerName<CrossAttentionConfig> = "CrossAttention";
template <>
inline constexpr std::string_view kLayerName<HierarchicalAttentionConfig> = "HierarchicalAttention";

inline constexpr std::array<std::pair<MemoryInitializer::Kind, std::string_view>, 3> kKindNames = {{
    {MemoryInitializer::Kind::kNormal, "normal"},
    {MemoryInitializer::Kind::kGlorotUniform, "glorot_uniform"},
    {MemoryInitializer::Kind::kZeros, "zeros"},
}};
inline constexpr std::array<std::pair<FullyMasked, std::string_view>, 2> kFullyMaskedNames = {{
    {FullyMasked::kZero, "zero"},
    {FullyMasked::kUniform, "uniform"},
}};

inline constexpr std::array<std::pair<Precision, std::string_view>, 2> kPrecisionNames = {{
    {Precision::kFloat32, "float32"},
    {Precision::kBFloat16, "bfloat16"},
}};

}  // namespace memattn
