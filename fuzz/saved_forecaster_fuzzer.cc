// Any config, header and tensors as the file of a forecaster with a valid checksum give
// FormatError, or forecasters that forecast. Zero bytes separate the three parts, as in
// python_targets.py.
#include <stdint.h>

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "memattn/quick_forecaster.h"
#include "memattn/saved_forecaster.h"
#include "memory_file.h"
#include "testing/state_file.h"

namespace {

// Returns the text up to the next zero byte, and removes both from `rest`.
std::string_view next_part(std::string_view& rest) {
  const size_t end = std::min(rest.find('\0'), rest.size());
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

template <typename Forecaster>
void forecast(const std::string& content) {
  fuzz::run([&] {
    const auto forecaster = Forecaster::load(std::as_bytes(std::span(content)));
    const std::vector<double> values = {3, 1, 4, 1, 5, 9, 2, 6};
    std::vector<double> forecasts(static_cast<size_t>(forecaster.horizon()));
    forecaster.forecast(values, forecasts);
    if constexpr (std::is_same_v<Forecaster, memattn::SavedForecaster>) {
      std::vector<double> levels(forecaster.levels().begin(), forecaster.levels().end());
      if (forecaster.has_intervals() && levels.empty()) levels = {80};
      std::vector<double> bounds(levels.size() * 2 * forecasts.size());
      if (!forecaster.ids().empty()) forecaster.forecast_series(0, forecasts, levels, bounds);
    }
  });
}

// Returns whether the text between the braces of the header is UTF-8 and makes an object.
bool is_object(std::string_view text) {
  try {
    return memattn::parse_json(text).object() != nullptr;
  } catch (const memattn::JsonError&) {
    return false;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const std::string_view config = next_part(rest);
  std::string_view header = next_part(rest);
  if (!is_object(header) || !is_object(config)) return -1;  // not worth keeping
  header = header.substr(header.find('{') + 1);
  header = header.substr(0, header.rfind('}'));
  if (header.find_first_not_of(" \t\r\n") == std::string_view::npos) header = {};
  const std::string content = memattn::testing::state_file(config, header, rest, "2");
  forecast<memattn::SavedForecaster>(content);
  forecast<memattn::QuickForecaster>(content);
  return 0;
}
