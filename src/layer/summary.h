// The summary of a layer as a text table.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "memattn/memory_augmented_attention.h"

namespace memattn {

// Describes the arithmetic of a layer with weights of type T.
template <typename T>
constexpr std::string_view type_name(Precision precision) {
  if (!std::is_same_v<T, float>) return "float64";
  return precision == Precision::kFloat32 ? "float32" : "float32, products in bfloat16";
}

// Returns `heading`, a line for each weight with its shape and count, and the total.
std::string summary_table(std::string_view heading, const std::vector<WeightInfo>& infos);

}  // namespace memattn
