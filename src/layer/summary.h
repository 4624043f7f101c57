// A layer as a table for people.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "memattn/memory_augmented_attention.h"

namespace memattn {

// `heading`, a line for each weight with its shape and count, and their sum.
std::string summary_table(std::string_view heading, const std::vector<WeightInfo>& infos);

}  // namespace memattn
