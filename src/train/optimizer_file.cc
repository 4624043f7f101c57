// The file of an optimizer: safetensors with the options in its metadata (docs/format.md).
#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "check.h"
#include "io/printable.h"
#include "io/safetensors.h"
#include "memattn/errors.h"
#include "memattn/optimizers.h"

namespace memattn {
namespace {

constexpr std::string_view kFormat = "memattn.Optimizer";
constexpr std::string_view kFormatVersion = "1";
// The metadata keys of every kind; each kind adds its options.
constexpr std::array<std::string_view, 7> kCommonKeys = {
    "format", "format_version", "kind", "dtype", "learning_rate", "iterations", "parameters"};

template <typename T>
constexpr std::string_view type_name() {
  return sizeof(T) == sizeof(float) ? "float32" : "float64";
}

template <typename T>
void write_file(const std::filesystem::path& path, std::string_view kind,
                const OptimizerState<T>& state, std::map<std::string, std::string> options) {
  std::map<std::string, std::string> metadata = std::move(options);
  metadata["format"] = kFormat;
  metadata["format_version"] = kFormatVersion;
  metadata["kind"] = kind;
  metadata["dtype"] = type_name<T>();
  metadata["learning_rate"] = to_text(state.learning_rate);
  metadata["iterations"] = to_text(state.iterations);
  metadata["parameters"] = to_text(state.parameters);
  std::vector<TensorView> tensors;
  const std::array<std::int64_t, 1> shape = {state.parameters};
  for (const auto& [name, values] : state.moments) {
    tensors.push_back({name, kDtype<T>, shape, std::as_bytes(std::span(values))});
  }
  write_safetensors(path, tensors, metadata);
}

// An open file whose format and version have been checked. Nothing else in it is trusted.
class OptimizerFile {
 public:
  explicit OptimizerFile(const std::filesystem::path& path) : reader_(path) {
    if (text("format") != kFormat) fail("format", kFormat);
    if (text("format_version") != kFormatVersion) {
      fail("format_version", "\"1\"; a file of a newer version needs a newer memattn");
    }
    if (text("dtype") != "float32" && text("dtype") != "float64") {
      fail("dtype", "float32 or float64");
    }
  }

  const std::string& dtype() const { return text("dtype"); }

  void check_kind(std::string_view kind, std::string_view dtype,
                  std::initializer_list<std::string_view> options) const {
    if (text("kind") != kind) {
      fail("kind", concat(kind, "; load this file with the class of its own kind"));
    }
    if (text("dtype") != dtype) {
      fail("dtype", concat(dtype, "; load this file as ",
                           text("dtype") == "float64" ? "double (float64)" : "float (float32)"));
    }
    for (const auto& [key, value] : reader_.metadata()) {
      if (std::ranges::find(kCommonKeys, key) == kCommonKeys.end() &&
          std::ranges::find(options, key) == options.end()) {
        reader_.fail("__metadata__", concat("key ", in_quotes(key)),
                     concat("only the keys of ", kind));
      }
    }
  }

  double number(const char* key) const { return parsed<double>(key, "a number"); }

  bool flag(const char* key) const {
    if (text(key) != "true" && text(key) != "false") fail(key, "true or false");
    return text(key) == "true";
  }

  // Returns an optimizer with these options in the state of the file.
  template <typename T, typename Kind, typename Options>
  Kind make(const Options& options) const try {
    Kind optimizer(options);
    OptimizerState<T> state = optimizer.state();  // names the moments that these options ask for
    state.iterations = parsed<std::int64_t>("iterations", "an integer of 64 bits");
    state.parameters = parsed<std::int64_t>("parameters", "an integer of 64 bits");
    // All tensors are checked before memory is allocated for one. None is longer than the file.
    for (const auto& [name, values] : state.moments)
      check_moment(name, kDtype<T>, state.parameters);
    for (const TensorInfo& tensor : reader_.tensors()) {
      if (!state.moments.contains(tensor.name)) {
        reader_.fail("header", concat("tensor ", in_quotes(tensor.name)),
                     "only the optimizer's tensors");
      }
    }
    for (auto& [name, values] : state.moments) {
      values.resize(static_cast<std::size_t>(state.parameters));
      reader_.read(*reader_.find(name), std::span<T>(values));
    }
    optimizer.restore(std::move(state));
    return optimizer;
  } catch (const std::invalid_argument& error) {
    throw FormatError(concat(reader_.path(), ": ", error.what()));
  }

 private:
  const std::string& text(const char* key) const { return reader_.metadata_value(key, "one"); }

  [[noreturn]] void fail(const char* key, std::string_view expected) const {
    reader_.fail(concat("__metadata__: ", key), in_quotes(text(key)), expected);
  }

  // Parses a number in the C locale, with nothing before or after it.
  template <typename Number>
  Number parsed(const char* key, std::string_view expected) const {
    const std::string& value = text(key);
    const char* const end = value.data() + value.size();
    Number number{};
    const auto result = std::from_chars(value.data(), end, number);
    if (result.ec != std::errc{} || result.ptr != end) fail(key, expected);
    return number;
  }

  void check_moment(const std::string& name, std::string_view dtype,
                    std::int64_t parameters) const {
    const std::string place = concat("tensor ", in_quotes(name));
    const std::array<std::int64_t, 1> shape = {parameters};
    const TensorInfo* tensor = reader_.find(name);
    if (!tensor) reader_.fail("header", "no " + place, concat("one of shape ", to_text(shape)));
    if (tensor->dtype != dtype) reader_.fail(place, "dtype " + tensor->dtype, dtype);
    if (!std::ranges::equal(tensor->shape, shape)) {
      reader_.fail(place, concat("shape ", to_text(tensor->shape)), to_text(shape));
    }
  }

  SafetensorsReader reader_;
};

std::map<std::string, std::string> options_text(const AdamOptions& options) {
  return {{"beta_1", to_text(options.beta_1)},
          {"beta_2", to_text(options.beta_2)},
          {"epsilon", to_text(options.epsilon)},
          {"weight_decay", to_text(options.weight_decay)}};
}

template <typename T, typename Kind, typename Options>
Kind load_adam(const std::filesystem::path& path, std::string_view kind) {
  const OptimizerFile file(path);
  file.check_kind(kind, type_name<T>(), {"beta_1", "beta_2", "epsilon", "weight_decay"});
  return file.make<T, Kind>(Options{.learning_rate = file.number("learning_rate"),
                                    .beta_1 = file.number("beta_1"),
                                    .beta_2 = file.number("beta_2"),
                                    .epsilon = file.number("epsilon"),
                                    .weight_decay = file.number("weight_decay")});
}

}  // namespace

std::string optimizer_file_dtype(const std::filesystem::path& path) {
  return OptimizerFile(path).dtype();
}

template <typename T>
void Sgd<T>::save(const std::filesystem::path& path) const {
  write_file(path, "SGD", this->state(),
             {{"momentum", to_text(options_.momentum)}, {"nesterov", to_text(options_.nesterov)}});
}

template <typename T>
Sgd<T> Sgd<T>::load(const std::filesystem::path& path) {
  const OptimizerFile file(path);
  file.check_kind("SGD", type_name<T>(), {"momentum", "nesterov"});
  return file.make<T, Sgd>(SgdOptions{.learning_rate = file.number("learning_rate"),
                                      .momentum = file.number("momentum"),
                                      .nesterov = file.flag("nesterov")});
}

template <typename T>
void Adam<T>::save(const std::filesystem::path& path) const {
  write_file(path, "Adam", this->state(), options_text(options_));
}

template <typename T>
Adam<T> Adam<T>::load(const std::filesystem::path& path) {
  return load_adam<T, Adam, AdamOptions>(path, "Adam");
}

template <typename T>
void AdamW<T>::save(const std::filesystem::path& path) const {
  write_file(path, "AdamW", this->state(), options_text(Adam<T>::options()));
}

template <typename T>
AdamW<T> AdamW<T>::load(const std::filesystem::path& path) {
  return load_adam<T, AdamW, AdamWOptions>(path, "AdamW");
}

template void Sgd<float>::save(const std::filesystem::path&) const;
template void Sgd<double>::save(const std::filesystem::path&) const;
template Sgd<float> Sgd<float>::load(const std::filesystem::path&);
template Sgd<double> Sgd<double>::load(const std::filesystem::path&);
template void Adam<float>::save(const std::filesystem::path&) const;
template void Adam<double>::save(const std::filesystem::path&) const;
template Adam<float> Adam<float>::load(const std::filesystem::path&);
template Adam<double> Adam<double>::load(const std::filesystem::path&);
template void AdamW<float>::save(const std::filesystem::path&) const;
template void AdamW<double>::save(const std::filesystem::path&) const;
template AdamW<float> AdamW<float>::load(const std::filesystem::path&);
template AdamW<double> AdamW<double>::load(const std::filesystem::path&);

}  // namespace memattn
