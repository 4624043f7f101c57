// Columns, and numbers with thousands separators.
#include "layer/summary.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "check.h"

namespace memattn {
namespace {

// Formats 1234567 as 1,234,567.
std::string with_commas(std::int64_t count) {
  std::string text = to_text(count);
  for (auto i = static_cast<std::ptrdiff_t>(text.size()) - 3; i > 0; i -= 3) {
    text.insert(static_cast<std::size_t>(i), 1, ',');
  }
  return text;
}

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size() + 2), ' ');
  return text;
}

}  // namespace

std::string summary_table(std::string_view heading, const std::vector<WeightInfo>& infos) {
  std::size_t names = 16;
  for (const WeightInfo& info : infos) names = std::max(names, info.name.size() + 2);
  std::string text = concat(heading, "\n");
  std::int64_t total = 0;
  for (const WeightInfo& info : infos) {
    text += "  " + padded(info.name, names) + padded(to_text(info.shape), 20) +
            with_commas(info.size) + "\n";
    total += info.size;
  }
  return text + "  " + padded("total", names + 20) + with_commas(total) + "\n";
}

}  // namespace memattn
