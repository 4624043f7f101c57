#include "forecast/prior_file.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "check.h"
#include "io/json.h"
#include "io/printable.h"
#include "io/sha256.h"

namespace memattn {
namespace {

constexpr std::string_view kFormat = "memattn.Forecaster", kWhat = "a saved Forecaster";
constexpr std::string_view kChecksumKey = "\"checksum\": \"";
constexpr std::size_t kDigits = 64;      // of a checksum
constexpr std::size_t kPiece = 1 << 20;  // bytes that are hashed at once
constexpr std::int64_t kMostMembers = 10'000;
constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();

// The checksum is of the file with zeros in its place.
void check_sum(const SafetensorsReader& reader) {
  const std::string& told = reader.metadata_value("checksum", kWhat);
  std::uint64_t length = 0;
  reader.read_bytes(0, std::as_writable_bytes(std::span(&length, 1)));
  std::string header(8 + length, '\0');
  reader.read_bytes(0, std::as_writable_bytes(std::span(header)));
  const std::string entry = concat(kChecksumKey, told, "\"");
  const std::size_t place = header.find(entry, 8);
  if (told.size() != kDigits || place == std::string::npos ||
      header.find(entry, place + 1) != std::string::npos) {
    reader.fail("__metadata__: checksum", in_quotes(told), "a checksum of 64 digits, as written");
  }
  header.replace(place + kChecksumKey.size(), kDigits, kDigits, '0');
  Sha256 hash;
  hash.update(std::as_bytes(std::span(header)));
  std::vector<std::byte> piece;
  for (std::uint64_t at = header.size(); at < reader.size(); at += piece.size()) {
    piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, reader.size() - at)));
    reader.read_bytes(at, piece);
    hash.update(piece);
  }
  const std::string found = hash.finish();
  if (found != told) {
    reader.fail("file", concat("content with the checksum ", found),
                concat(told, ", which stands in it: it is damaged or has been edited"));
  }
}

// The settings of a forecaster: each a list of a value and a reason.
class Settings {
 public:
  Settings(const SafetensorsReader& reader, const JsonObject& settings)
      : reader_(reader), settings_(settings) {}

  const JsonValue* find(std::string_view name) const {
    const auto found = settings_.find(name);
    if (found == settings_.end()) return nullptr;
    const JsonArray* const pair = found->second.array();
    if (pair == nullptr || pair->size() != 2) {
      fail(name, describe(found->second), "a value and a reason");
    }
    return pair->data();
  }

  const JsonValue& at(std::string_view name) const {
    const JsonValue* const found = find(name);
    if (found == nullptr) fail(name, "no such key", "a setting");
    return *found;
  }

  std::int64_t whole(std::string_view name, std::int64_t least, std::int64_t most = kMost) const {
    return whole(name, at(name), least, most);
  }
  std::int64_t whole(std::string_view name, const JsonValue& value, std::int64_t least,
                     std::int64_t most) const {
    const std::optional<std::int64_t> found = value.integer();
    if (!found || *found < least || *found > most) {
      fail(name, describe(value), concat("a whole number from ", least, " to ", most));
    }
    return *found;
  }

  void expect(std::string_view name, std::string_view expected) const {
    const std::string* const found = at(name).string();
    if (found == nullptr || *found != expected) {
      fail(name, describe(at(name)), concat(in_quotes(expected), ", as Forecaster.pretrain makes"));
    }
  }

  [[noreturn]] void fail(std::string_view name, std::string_view found,
                         std::string_view expected) const {
    reader_.fail(concat("config: settings: ", name), found, expected);
  }

 private:
  const SafetensorsReader& reader_;
  const JsonObject& settings_;
};

std::vector<double> levels_of(const Settings& settings) {
  const JsonValue& value = settings.at("levels");
  std::vector<double> levels;
  if (const JsonArray* const array = value.array()) {
    for (const JsonValue& one : *array) {
      const double level = one.number().value_or(0);
      const double before = levels.empty() ? 0 : levels.back();
      if (!(level >= 1 && level < 100 && level > before)) {
        settings.fail("levels", describe(one), "percents from 1 to below 100, ascending");
      }
      levels.push_back(level);
    }
  }
  if (levels.empty()) settings.fail("levels", describe(value), "a list of percents");
  return levels;
}

PanelForecasterOptions options_of(const Settings& settings, const std::vector<double>& levels) {
  PanelForecasterOptions options;
  options.horizon = settings.whole("horizon", 1);
  if (settings.find("prior_horizon") != nullptr) {
    options.horizon = settings.whole("prior_horizon", options.horizon);
  }
  options.season = settings.whole("season", 1);
  if (settings.find("long_season") != nullptr) {
    options.long_season = settings.whole("long_season", 0);
  }
  options.min_history = settings.whole("min_history", 1);
  options.layers = settings.whole("layers", 0, 2);
  if (settings.find("num_heads") != nullptr) options.num_heads = settings.whole("num_heads", 1, 64);
  const bool* const logs = settings.at("logs").boolean();
  if (logs == nullptr) settings.fail("logs", describe(settings.at("logs")), "true or false");
  options.logs = *logs;
  const JsonArray* const lookbacks = settings.at("lookbacks").array();
  const std::int64_t members = settings.whole("members", 1, kMostMembers);
  if (lookbacks == nullptr || std::ssize(*lookbacks) != members) {
    settings.fail("lookbacks", describe(settings.at("lookbacks")), "a list of one a member");
  }
  for (const JsonValue& one : *lookbacks) {
    options.lookbacks.push_back(settings.whole("lookbacks", one, 1, kMost));
  }
  options.loss = ErrorLoss::kPinball;
  for (const double level : levels) {
    const double tail = (100 - level) / 200;
    options.quantiles.push_back(tail);
    options.quantiles.push_back(1 - tail);
  }
  options.quantiles.push_back(0.5);
  std::ranges::sort(options.quantiles);
  return options;
}

// The weights as float32; bfloat16 is the upper half of one.
std::vector<float> read_weights(const SafetensorsReader& reader, const TensorInfo& tensor) {
  const auto count = static_cast<std::size_t>(tensor.shape[0]);
  std::vector<float> weights(count);
  if (tensor.dtype == "F32") {
    reader.read(tensor, std::span(weights));
  } else {
    std::vector<std::uint16_t> halves(count);
    reader.read(tensor, std::as_writable_bytes(std::span(halves)));
    std::ranges::transform(halves, weights.begin(), [](std::uint16_t half) {
      return std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16);
    });
  }
  for (const float weight : weights) {
    if (!std::isfinite(weight)) reader.fail("tensor weights", to_text(weight), "finite numbers");
  }
  return weights;
}

JsonValue config_of(const SafetensorsReader& reader) {
  try {
    return parse_json(reader.metadata_value("config", kWhat));
  } catch (const JsonError& error) {
    reader.fail("config", error.what(), "the choices of a Forecaster");
  }
}

}  // namespace

PriorNetworks read_prior(const SafetensorsReader& reader) {
  const std::string& format = reader.metadata_value("format", kWhat);
  if (format != kFormat) reader.fail("__metadata__: format", in_quotes(format), kFormat);
  const std::string& version = reader.metadata_value("format_version", kWhat);
  if (version != "1" && version != "2") {
    reader.fail("__metadata__: format_version", in_quotes(version),
                "\"1\" or \"2\"; a file of a newer version needs a newer memattn");
  }
  check_sum(reader);
  const JsonValue config = config_of(reader);
  const JsonObject* const object = config.object();
  const auto found = object ? object->find("settings") : JsonObject::const_iterator();
  if (object == nullptr || found == object->end() || found->second.object() == nullptr) {
    reader.fail("config", "no settings", "those of a Forecaster");
  }
  const Settings settings(reader, *found->second.object());
  if (settings.find("left_out") != nullptr) {
    settings.fail("left_out", "a forecaster with covariates", "one without");
  }
  settings.expect("loss", "quantile");
  settings.expect("windows", "last_values");
  std::vector<double> levels = levels_of(settings);
  const PanelForecasterOptions options = options_of(settings, levels);
  const TensorInfo* const tensor = reader.find("weights");
  if (tensor == nullptr || tensor->shape.size() != 1 ||
      (tensor->dtype != "F32" && tensor->dtype != "BF16")) {
    reader.fail("tensor weights", tensor ? tensor->dtype : "none", "F32 or BF16 of one dimension");
  }
  std::vector<std::int64_t> counts;
  try {
    counts = options.count_member_params();  // without making one
  } catch (const std::invalid_argument& error) {
    reader.fail("config: settings", error.what(), "those of a model");
  }
  std::int64_t total = 0;
  for (const std::int64_t count : counts) total += count;
  if (total != tensor->shape[0]) {
    reader.fail("tensor weights", to_text(tensor->shape[0]),
                concat(total, ", as many as the settings ask for"));
  }
  const std::vector<float> weights = read_weights(reader, *tensor);
  PriorNetworks prior{PanelForecaster(options), std::move(levels), 0};
  std::span<const float> rest(weights);
  for (std::size_t member = 0; member < counts.size(); ++member) {
    const auto count = static_cast<std::size_t>(counts[member]);
    prior.forecaster.set_parameters(static_cast<std::int64_t>(member), rest.first(count));
    rest = rest.subspan(count);
  }
  if (settings.find("rows_seen") != nullptr) prior.rows_seen = settings.whole("rows_seen", 3);
  return prior;
}

}  // namespace memattn
