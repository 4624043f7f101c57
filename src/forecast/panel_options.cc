// Checks the forecaster's options, and derives from them the number of weights and the options of
// its parts.
#include "forecast/panel_options.h"

#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include "check.h"
#include "forecast/origin_windows.h"

namespace memattn {
namespace {

constexpr std::string_view kFunction = "PanelForecasterOptions";
constexpr std::int64_t kLargestSize = std::numeric_limits<std::int32_t>::max();
constexpr double kLargestDeviation = 1e18;    // of initial memories: their products stay finite
constexpr std::int64_t kMostSeasons = 1'000;  // in a long season
constexpr std::int64_t kMostMembers = 10'000, kMostQuantiles = 1'000, kMostLayers = 1'000,
                       kMostBlocks = 1'000;

void check_size(std::string_view option, std::int64_t found, std::int64_t smallest = 1,
                std::int64_t largest = kLargestSize) {
  check_between(kFunction, option, found, smallest, largest);
}

void check_count(std::string_view option, std::size_t found, std::int64_t smallest,
                 std::int64_t largest) {
  if (std::cmp_greater_equal(found, smallest) && std::cmp_less_equal(found, largest)) return;
  fail_argument(kFunction, option, concat(found, " values"), concat(smallest, " to ", largest));
}

template <typename Enum>
void check_enum(std::string_view option, Enum found, Enum last) {
  const auto value = static_cast<std::int64_t>(found);
  if (value < 0 || value > static_cast<std::int64_t>(last)) {
    fail_argument(kFunction, option, value,
                  concat("a value of its enum, 0 to ", static_cast<int>(last)));
  }
}

void check_long_season(const PanelForecasterOptions& options) {
  const std::int64_t found = options.long_season, season = options.season;
  if (found == 0) return;
  if (options.windows != PanelWindows::kLastValues || season < 2) {
    fail_argument(kFunction, "long_season", found,
                  "0 without a season or with windows of past seasons");
  }
  if (found < 2 * season || found % season != 0 || found / season > kMostSeasons) {
    fail_argument(kFunction, "long_season", found,
                  concat("0 or 2 to ", kMostSeasons, " times season = ", season));
  }
}

void check_lookbacks(const PanelForecasterOptions& options) {
  const std::vector<std::int64_t>& lookbacks = options.lookbacks;
  check_count("lookbacks", lookbacks.size(), 1, kMostMembers);
  check_size("seeds", options.seeds);
  check_size("lookbacks * seeds", options.members(), 1, kMostMembers);
  const bool past_seasons = options.windows == PanelWindows::kPastSeasons;
  if (past_seasons && options.season < 2) {
    fail_argument(kFunction, "season", options.season, "at least 2, with windows of past seasons");
  }
  for (std::size_t i = 0; i < lookbacks.size(); ++i) {
    const std::string option = concat("lookbacks[", i, "]");
    check_size(option, lookbacks[i]);
    if (past_seasons && lookbacks[i] % options.season != 0) {
      fail_argument(
          kFunction, option, lookbacks[i],
          concat("a multiple of season = ", options.season, ", with windows of past seasons"));
    }
  }
}

// Returns the number of memory layers of the members of lookbacks[place].
std::int64_t layers_at(const PanelForecasterOptions& options, std::size_t place) {
  return options.member_layers.empty() ? options.layers : options.member_layers[place];
}

void check_layers(const PanelForecasterOptions& options) {
  check_size("layers", options.layers, 0, kMostLayers);
  const std::vector<std::int64_t>& layers = options.member_layers;
  if (layers.empty()) return;
  if (layers.size() != options.lookbacks.size()) {
    fail_argument(kFunction, "member_layers", concat(layers.size(), " values"),
                  concat("none, or one for each of the ", options.lookbacks.size(), " lookbacks"));
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    check_size(concat("member_layers[", i, "]"), layers[i], 0, kMostLayers);
  }
}

void check_blocks(const PanelForecasterOptions& options) {
  check_size("covariates", options.covariates, 0);
  if (options.covariates == 0 && !options.blocks.empty()) {
    fail_argument(kFunction, "blocks", concat(options.blocks.size(), " blocks"),
                  "none, since covariates is 0");
  }
  check_count("blocks", options.blocks.size(), 0, kMostBlocks);
  for (std::size_t i = 0; i < options.blocks.size(); ++i) {
    const CovariateBlock& block = options.blocks[i];
    const std::string name = concat("blocks[", i, "]");
    check_size(name + ".columns", block.columns, 1, options.covariates);
    check_size(name + ".first_column", block.first_column, 0, options.covariates - block.columns);
    check_size(name + ".rows", block.rows);
    check_size(name + ".first_row", block.first_row, -kLargestSize, options.horizon - block.rows);
    // So that the sum over all blocks does not overflow.
    check_size(name + ".columns * rows", block.columns * block.rows);
  }
}

void check_quantiles(const PanelForecasterOptions& options) {
  const std::vector<double>& quantiles = options.quantiles;
  if (quantiles.empty() == (options.loss == ErrorLoss::kPinball)) {
    fail_argument(kFunction, "quantiles", concat(quantiles.size(), " quantiles"),
                  "at least one with the pinball loss, none with other losses");
  }
  check_count("quantiles", quantiles.size(), 0, kMostQuantiles);
  for (std::size_t i = 0; i < quantiles.size(); ++i) {
    const double lowest = i > 0 ? quantiles[i - 1] : 0.0;
    if (!(quantiles[i] > lowest && quantiles[i] < 1)) {
      fail_argument(kFunction, concat("quantiles[", i, "]"), quantiles[i],
                    concat("a number above ", lowest, " and below 1"));
    }
  }
}

// Checks the products of sizes for the members of one lookback. It computes them as doubles, which
// become large instead of wrapping around.
void check_products(const PanelForecasterOptions& options, std::size_t i) {
  const MemoryNetworkOptions network = network_options(options, i, 0);
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  const auto check = [&](std::string_view product, double found, std::string_view what) {
    if (found <= static_cast<double>(kLargestSize)) return;
    fail_argument(kFunction, product, concat(found, " ", what), concat("at most ", kLargestSize));
  };
  const std::string lookback =
      concat("lookbacks[", i, options.blocks.empty() ? "] + season" : "] + season + blocks");
  const double units = number(network.units), heads = number(network.num_heads),
               slots = number(network.memory_size), layers = number(network.layers),
               outputs = number(network.outputs),
               inputs = number(network.features) + number(network.skip_features);
  const double in = number(network.features) * units;
  const double memory = layers * (slots + 4 * heads * units) * units;
  const double out = (units + inputs) * outputs;
  check(concat("(", lookback, ") * units"), in, "weights in a member");
  const std::string depth =
      options.member_layers.empty() ? std::string("layers") : concat("member_layers[", i, "]");
  check(depth + " * (memory_size + 4 * num_heads * units) * units", memory, "weights in a member");
  check(concat("(", lookback, " + units) * horizon * quantiles"), out, "weights in a member");
  check(concat(lookback, ", horizon, units, memory_size, num_heads, ", depth, " together"),
        in + memory + out, "weights in a member");

  const double batch = number(options.batch_size);
  check(concat("batch_size * (", lookback, ")"), batch * inputs, "values in a batch");
  check("batch_size * units", batch * units, "values in a batch");
  check("batch_size * horizon * quantiles", batch * outputs, "values in a batch");
  if (network.layers == 0) return;
  check("batch_size * num_heads * memory_size", batch * heads * slots, "values in a batch");
  layer_config(network, 0, true).validate();  // checks what a layer keeps besides its weights
}

}  // namespace

void PanelForecasterOptions::validate() const {
  check_size("horizon", horizon);
  check_size("season", season);
  check_enum("windows", windows, PanelWindows::kPastSeasons);
  check_long_season(*this);
  check_lookbacks(*this);
  check_size("min_history", min_history);
  check_blocks(*this);
  check_size("origin_stride", origin_stride);
  check_size("units", units);
  check_size("memory_size", memory_size);
  check_size("num_heads", num_heads);
  check_layers(*this);
  check_fraction(kFunction, "dropout", dropout);
  check_fraction(kFunction, "input_dropout", input_dropout);
  check_enum("memory_initializer.kind", memory_initializer.kind, MemoryInitializer::Kind::kZeros);
  if (memory_initializer.kind == MemoryInitializer::Kind::kNormal) {
    check_positive(kFunction, "memory_initializer.stddev", memory_initializer.stddev,
                   kLargestDeviation);
  }
  check_enum("loss", loss, ErrorLoss::kPinball);
  check_positive(kFunction, "huber_delta", huber_delta, kLargestTarget);
  check_quantiles(*this);
  check_size("steps", steps);
  check_size("batch_size", batch_size);
  check_positive(kFunction, "learning_rate", learning_rate);
  check_size("warm_up", warm_up, 0);
  check_not_negative(kFunction, "weight_decay", weight_decay);
  check_positive(kFunction, "clip_norm", clip_norm);
  check_fraction(kFunction, "average_decay", average_decay);
  for (std::size_t i = 0; i < lookbacks.size(); ++i) check_products(*this, i);
}

std::int64_t PanelForecasterOptions::layers_of(std::int64_t member) const {
  check_between("PanelForecasterOptions::layers_of", "member", member, 0, members() - 1);
  return layers_at(*this, static_cast<std::size_t>(member / seeds));
}

std::vector<std::int64_t> PanelForecasterOptions::count_member_params() const {
  validate();
  std::vector<std::int64_t> counts;
  for (std::size_t i = 0; i < lookbacks.size(); ++i) {
    counts.insert(counts.end(), static_cast<std::size_t>(seeds),
                  memattn::count_params(network_options(*this, i, seed)));
  }
  return counts;
}

WindowShape window_shape(const PanelForecasterOptions& options, std::size_t place) {
  return {options.lookbacks[place], options.horizon, options.season,     options.windows,
          options.covariates,       options.blocks,  options.long_season};
}

MemoryNetworkOptions network_options(const PanelForecasterOptions& options, std::size_t place,
                                     std::uint64_t seed) {
  const WindowShape shape = window_shape(options, place);
  return {.features = shape.features(),
          .skip_features = shape.skip_features(),
          .past_seasons = {shape.seasons(), shape.season, shape.horizon},
          .outputs = options.outputs() * options.horizon,
          .units = options.units,
          .memory_size = options.memory_size,
          .num_heads = options.num_heads,
          .layers = layers_at(options, place),
          .pre_norm = options.pre_norm,
          .dropout = options.dropout,
          .input_dropout = options.input_dropout,
          .memory_initializer = options.memory_initializer,
          .seed = seed};
}

TrainerOptions trainer_options(const PanelForecasterOptions& options) {
  return {.steps = options.steps,
          .warm_up = options.warm_up,
          .learning_rate = options.learning_rate,
          .weight_decay = options.weight_decay,
          .clip_norm = options.clip_norm,
          .average_decay = options.average_decay};
}

PanelRules panel_rules(const PanelForecasterOptions& options) {
  return {.season = options.season,
          .long_season = options.long_season,
          .logs = options.logs,
          .past_seasons = options.windows == PanelWindows::kPastSeasons,
          .covariates = options.covariates,
          .horizon = options.horizon};
}

}  // namespace memattn
