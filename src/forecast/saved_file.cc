#include "forecast/saved_file.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "check.h"
#include "io/json.h"
#include "io/printable.h"
#include "io/sha256.h"
#include "kernels/bfloat16.h"

namespace memattn {
namespace {

constexpr std::string_view kFormat = "memattn.Forecaster", kWhat = "a saved Forecaster";
constexpr std::string_view kChecksumKey = "\"checksum\": \"";
constexpr std::size_t kDigits = 64;      // in a checksum
constexpr std::size_t kPiece = 1 << 20;  // bytes that are hashed at once
constexpr std::int64_t kMostMembers = 10'000;
constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();

// The checksum is computed over the file with zeros in place of the checksum.
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

// The settings of a forecaster, each a list of a value and a reason.
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
    if (found == nullptr) fail(name, "none", "a setting");
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

  const std::string& text(std::string_view name) const {
    const std::string* const found = at(name).string();
    if (found == nullptr) fail(name, describe(at(name)), "a string");
    return *found;
  }
  // Returns the value that a string stands for.
  template <typename Value>
  Value one_of(std::string_view name,
               std::initializer_list<std::pair<std::string_view, Value>> choices) const {
    std::string expected;
    for (const auto& [word, value] : choices) {
      if (text(name) == word) return value;
      expected += (expected.empty() ? "" : ", ") + in_quotes(word);
    }
    fail(name, describe(at(name)), expected);
  }
  void expect(std::string_view name, std::string_view expected) const {
    if (text(name) != expected) {
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

void set_lookbacks(const Settings& settings, PanelForecasterOptions& options) {
  const JsonArray* const lookbacks = settings.at("lookbacks").array();
  const std::int64_t members = settings.whole("members", 1, kMostMembers);
  if (lookbacks == nullptr || std::ssize(*lookbacks) != members) {
    settings.fail("lookbacks", describe(settings.at("lookbacks")),
                  "a list with one for each member");
  }
  for (const JsonValue& one : *lookbacks) {
    options.lookbacks.push_back(settings.whole("lookbacks", one, 1, kMost));
  }
  const JsonArray* const layers = settings.at("layers").array();
  if (layers == nullptr) {
    options.layers = settings.whole("layers", 0, 2);
    return;
  }
  // Each lookback has networks of each depth.
  if (layers->empty() || layers->size() > 2) {
    settings.fail("layers", describe(settings.at("layers")), "a number or a list of one or two");
  }
  const std::vector<std::int64_t> each = std::move(options.lookbacks);
  options.lookbacks.clear();
  for (const JsonValue& depth : *layers) {
    options.lookbacks.insert(options.lookbacks.end(), each.begin(), each.end());
    options.member_layers.resize(options.lookbacks.size(), settings.whole("layers", depth, 0, 2));
  }
}

PanelForecasterOptions options_of(const Settings& settings, const std::vector<double>& levels) {
  PanelForecasterOptions options;
  options.horizon = settings.whole("horizon", 1);
  if (settings.find("prior_horizon") != nullptr) {
    options.horizon = settings.whole("prior_horizon", options.horizon);
  }
  options.season = settings.whole("season", 1);
  if (settings.find("long_season") != nullptr) {
    options.long_season = settings.whole("long_season", 2);
  }
  options.min_history = settings.whole("min_history", 1);
  options.windows = settings.one_of<PanelWindows>(
      "windows",
      {{"last_values", PanelWindows::kLastValues}, {"past_seasons", PanelWindows::kPastSeasons}});
  if (settings.find("num_heads") != nullptr) options.num_heads = settings.whole("num_heads", 1, 64);
  const bool* const logs = settings.at("logs").boolean();
  if (logs == nullptr) settings.fail("logs", describe(settings.at("logs")), "true or false");
  options.logs = *logs;
  set_lookbacks(settings, options);
  options.loss = settings.one_of<ErrorLoss>("loss", {{"smape", ErrorLoss::kSmape},
                                                     {"mae", ErrorLoss::kMae},
                                                     {"huber", ErrorLoss::kHuber},
                                                     {"quantile", ErrorLoss::kPinball}});
  if (levels.empty()) return options;
  for (const double level : levels) {
    const double tail = (100 - level) / 200;
    options.quantiles.push_back(tail);
    options.quantiles.push_back(1 - tail);
  }
  options.quantiles.push_back(0.5);
  std::ranges::sort(options.quantiles);
  return options;
}

// Reads a tensor with this many dimensions, all of its values.
template <typename T>
std::vector<T> read_tensor(const SafetensorsReader& reader, std::string_view name,
                           std::string_view dtype, std::size_t dimensions) {
  const TensorInfo* const tensor = reader.find(name);
  if (tensor == nullptr || tensor->dtype != dtype || tensor->shape.size() != dimensions) {
    reader.fail(
        concat("tensor ", name),
        tensor ? concat(tensor->dtype, " of shape ", std::span<const std::int64_t>(tensor->shape))
               : "none",
        concat(dtype, " of ", dimensions, dimensions == 1 ? " dimension" : " dimensions"));
  }
  std::vector<T> values(static_cast<std::size_t>(tensor->end - tensor->begin) / sizeof(T));
  reader.read(*tensor, std::as_writable_bytes(std::span(values)));
  return values;
}

// Reads the weights as float32.
std::vector<float> read_weights(const SafetensorsReader& reader) {
  const TensorInfo* const tensor = reader.find("weights");
  std::vector<float> weights;
  if (tensor == nullptr || tensor->dtype != "BF16") {
    weights = read_tensor<float>(reader, "weights", "F32", 1);
  } else {
    for (const std::uint16_t half : read_tensor<std::uint16_t>(reader, "weights", "BF16", 1)) {
      weights.push_back(kernels::from_bfloat16(half));
    }
  }
  for (const float weight : weights) {
    if (!std::isfinite(weight)) reader.fail("tensor weights", to_text(weight), "finite numbers");
  }
  return weights;
}

// Reads the series of a file that has some.
void read_series(const SafetensorsReader& reader, SavedNetworks& saved) {
  saved.values = read_tensor<double>(reader, "values", "F64", 1);
  saved.offsets = read_tensor<std::int64_t>(reader, "offsets", "I64", 1);
  const std::vector<std::int64_t>& offsets = saved.offsets;
  const std::int64_t size = std::ssize(saved.values);
  if (offsets.empty() || offsets.front() != 0 || offsets.back() != size ||
      std::ranges::adjacent_find(offsets, std::greater_equal()) != offsets.end()) {
    reader.fail("tensor offsets", "numbers out of order",
                concat("ascending numbers from 0 to ", size));
  }
  for (const double value : saved.values) {
    if (std::abs(value) > kLargestValue) {
      reader.fail("tensor values", to_text(value), concat("numbers up to ", kLargestValue));
    }
  }
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    if (std::isnan(saved.values[static_cast<std::size_t>(offsets[i])]) ||
        std::isnan(saved.values[static_cast<std::size_t>(offsets[i + 1] - 1)])) {
      reader.fail("tensor values", "a series whose first or last value is missing", "both values");
    }
  }
  const std::vector<char> text = read_tensor<char>(reader, "ids", "U8", 1);
  const JsonLimits limits = {.depth = 2, .values = offsets.size() + 1};
  const std::string expected = concat("a list of ", offsets.size() - 1, " different ids");
  JsonValue list;
  try {
    list = parse_json({text.data(), text.size()}, limits);
  } catch (const JsonError& error) {
    reader.fail("tensor ids", error.what(), expected);
  }
  const JsonArray* const ids = list.array();
  if (ids == nullptr || ids->size() + 1 != offsets.size()) {
    reader.fail("tensor ids", describe(list), expected);
  }
  for (const JsonValue& id : *ids) {
    const std::optional<std::int64_t> number = id.integer();
    if (id.string() == nullptr && !number) {
      reader.fail("tensor ids", describe(id), "strings or whole numbers");
    }
    saved.ids.push_back(number ? to_text(*number) : *id.string());
  }
  std::vector<std::string_view> sorted(saved.ids.begin(), saved.ids.end());
  std::ranges::sort(sorted);
  const auto twice = std::ranges::adjacent_find(sorted);
  if (twice != sorted.end())
    reader.fail("tensor ids", concat(in_quotes(*twice), " twice"), expected);
}

std::optional<SavedErrors> read_errors(const SafetensorsReader& reader, std::int64_t horizon,
                                       std::size_t levels) {
  if (reader.find("calibration.errors") == nullptr) return std::nullopt;
  SavedErrors errors;
  errors.values = read_tensor<double>(reader, "calibration.errors", "F64", 3);
  const auto roughness = read_tensor<double>(reader, "calibration.roughness", "F64", 1);
  const auto logs = read_tensor<std::uint8_t>(reader, "calibration.logs", "U8", 1);
  std::vector<std::int64_t> ages(roughness.size(), 1);
  std::vector<double> change(roughness.size(), 1);
  if (reader.find("calibration.age") != nullptr) {  // missing in older files
    ages = read_tensor<std::int64_t>(reader, "calibration.age", "I64", 1);
    change = read_tensor<double>(reader, "calibration.change", "F64", 1);
  }
  const std::vector<std::int64_t> shape = {
      std::ssize(roughness), std::max<std::int64_t>(static_cast<std::int64_t>(levels), 1), horizon};
  const std::vector<std::int64_t>& found = reader.find("calibration.errors")->shape;
  if (found != shape || logs.size() != roughness.size() || ages.size() != roughness.size() ||
      change.size() != roughness.size()) {
    reader.fail("tensor calibration.errors", to_text(std::span(found)),
                concat(std::span(shape), " and the other tensors of the same length"));
  }
  for (std::size_t i = 0; i < roughness.size(); ++i) {
    const bool good = std::isfinite(roughness[i]) && roughness[i] >= 0 && logs[i] <= 1 &&
                      ages[i] >= 1 && std::isfinite(change[i]) && change[i] > 0;
    if (!good) {
      reader.fail("calibration", concat("invalid values of window ", i),
                  "units of at least 0, logs of 0 or 1, ages of at least 1, changes above 0");
    }
    errors.domains.push_back({logs[i] == 1, roughness[i], change[i], 0});
  }
  if (levels == 0 && std::ranges::any_of(errors.values, [](double one) { return one < 0; })) {
    reader.fail("tensor calibration.errors", "an error below 0", "errors of at least 0");
  }
  errors.ages = std::move(ages);
  return errors;
}

JsonValue config_of(const SafetensorsReader& reader) {
  try {
    return parse_json(reader.metadata_value("config", kWhat));
  } catch (const JsonError& error) {
    reader.fail("config", error.what(), "a Forecaster's options");
  }
}

// Reads the season of the series from the config; the networks may have another season.
std::int64_t season_of(const SafetensorsReader& reader, const JsonObject& config) {
  const auto found = config.find("season");
  const std::optional<std::int64_t> season =
      found == config.end() ? std::nullopt : found->second.integer();
  if (!season || *season < 1 || *season > kMost) {
    reader.fail("config: season", found == config.end() ? "none" : describe(found->second),
                concat("a whole number from 1 to ", kMost));
  }
  return *season;
}

void check_version(const SafetensorsReader& reader) {
  const std::string& format = reader.metadata_value("format", kWhat);
  if (format != kFormat) reader.fail("__metadata__: format", in_quotes(format), kFormat);
  const std::string& version = reader.metadata_value("format_version", kWhat);
  if (version != "1" && version != "2") {
    reader.fail("__metadata__: format_version", in_quotes(version),
                "\"1\" or \"2\"; a file of a newer version needs a newer memattn");
  }
}

// Returns the names of the covariates for an error message.
std::string covariates_of(const JsonObject& config) {
  std::string names;
  const auto found = config.find("covariates");
  const JsonObject* const covariates = found == config.end() ? nullptr : found->second.object();
  const auto columns = covariates ? covariates->find("columns") : JsonObject::const_iterator();
  const JsonArray* const array =
      covariates && columns != covariates->end() ? columns->second.array() : nullptr;
  if (array == nullptr) return names;
  for (const JsonValue& column : *array) {
    const JsonArray* const parts = column.array();
    if (parts == nullptr || parts->empty() || parts->front().string() == nullptr) continue;
    names += (names.empty() ? ": " : ", ") + in_quotes(*parts->front().string());
  }
  return names;
}

std::vector<std::int64_t> member_sizes(const SafetensorsReader& reader,
                                       const PanelForecasterOptions& options, std::int64_t found) {
  std::vector<std::int64_t> counts;
  try {
    counts = options.count_member_params();  // without creating a member
  } catch (const std::invalid_argument& error) {
    reader.fail("config: settings", error.what(), "valid settings");
  }
  std::int64_t total = 0;
  for (const std::int64_t count : counts) total += count;
  if (total != found) {
    reader.fail("tensor weights", to_text(found), concat(total, ", as many as the settings imply"));
  }
  return counts;
}

SavedNetworks read(const SafetensorsReader& reader, bool prior) {
  check_version(reader);
  check_sum(reader);
  const JsonValue config = config_of(reader);
  const JsonObject* const object = config.object();
  const auto found = object ? object->find("settings") : JsonObject::const_iterator();
  if (object == nullptr || found == object->end() || found->second.object() == nullptr) {
    reader.fail("config", "no settings", "the settings of a Forecaster");
  }
  const Settings settings(reader, *found->second.object());
  if (settings.find("left_out") != nullptr || object->contains("covariates")) {
    reader.fail("config", concat("a forecaster with covariates", covariates_of(*object)),
                "one without; load it in Python with Forecaster.load");
  }
  if (prior) {
    settings.expect("loss", "quantile");
    settings.expect("windows", "last_values");
  }
  const bool quantiles = settings.text("loss") == "quantile";
  const std::vector<double> levels = quantiles ? levels_of(settings) : std::vector<double>();
  const PanelForecasterOptions options = options_of(settings, levels);
  const TensorInfo* const tensor = reader.find("weights");
  if (tensor == nullptr || tensor->shape.size() != 1) {
    reader.fail("tensor weights", tensor ? tensor->dtype : "none", "F32 or BF16 of one dimension");
  }
  const std::vector<std::int64_t> counts = member_sizes(reader, options, tensor->shape[0]);
  const std::vector<float> weights = read_weights(reader);
  SavedNetworks saved(PanelForecaster(options), levels);
  std::span<const float> rest(weights);
  for (std::size_t member = 0; member < counts.size(); ++member) {
    const auto count = static_cast<std::size_t>(counts[member]);
    saved.forecaster.set_parameters(static_cast<std::int64_t>(member), rest.first(count));
    rest = rest.subspan(count);
  }
  if (settings.find("rows_seen") != nullptr) saved.rows_seen = settings.whole("rows_seen", 3);
  if (prior) {
    saved.horizon = options.horizon;
    saved.season = options.season;
    saved.uses_prior = true;
    return saved;
  }
  saved.horizon = settings.whole("horizon", 1);
  saved.trained = settings.whole("steps", 0) > 0;
  if (settings.find("prior") != nullptr) {
    saved.uses_prior = settings.one_of<bool>(
        "prior", {{"alone", true}, {"started from", true}, {"not used", false}});
  }
  saved.season = season_of(reader, *object);
  read_series(reader, saved);
  saved.errors = read_errors(reader, saved.horizon, levels.size());
  return saved;
}

}  // namespace

Errors SavedErrors::at(std::int64_t place, std::int64_t places, std::int64_t horizon,
                       std::int64_t season) const {
  return {.values = values,
          .places = places,
          .place = place,
          .horizon = horizon,
          .domains = domains,
          .ages = ages,
          .half_life = half_life_of(season, horizon, 1),
          .apart = 1};
}

SavedNetworks read_saved(const SafetensorsReader& reader) { return read(reader, false); }

SavedNetworks read_prior(const SafetensorsReader& reader) { return read(reader, true); }

}  // namespace memattn
