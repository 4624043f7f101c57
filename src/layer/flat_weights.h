// The weights of a layer in one flat buffer, and the functions that change them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check.h"
#include "layer/checks.h"
#include "memattn/memory_augmented_attention.h"

namespace memattn {

// A change that throws leaves the weights as they were. The owner folds again after a change.
template <typename T>
class FlatWeights {
 public:
  FlatWeights(std::vector<WeightInfo> infos, std::vector<T> parameters)
      : infos_(std::move(infos)), parameters_(std::move(parameters)) {}
  // A copy has its own buffer to undo a change.
  FlatWeights(const FlatWeights& other) : FlatWeights(other.infos_, other.parameters_) {}
  FlatWeights& operator=(const FlatWeights&) = delete;

  const std::vector<WeightInfo>& infos() const { return infos_; }
  std::span<const T> parameters() const { return parameters_; }
  std::int64_t count() const { return static_cast<std::int64_t>(parameters_.size()); }
  std::int64_t bytes() const {
    return static_cast<std::int64_t>((parameters_.size() + before_edit_.size()) * sizeof(T));
  }

  const WeightInfo& info(std::string_view function, std::string_view name) const {
    const auto found = std::ranges::find(infos_, name, &WeightInfo::name);
    if (found != infos_.end()) return *found;
    std::string names;
    for (const WeightInfo& known : infos_) names += (names.empty() ? "" : ", ") + known.name;
    fail_argument(function, "name", concat("\"", name, "\""), "one of " + names);
  }

  std::span<const T> weight(std::string_view name) const {
    const WeightInfo& found = info("weight", name);
    return parameters().subspan(static_cast<std::size_t>(found.offset),
                                static_cast<std::size_t>(found.size));
  }

  void set_all(std::span<const T> values) {
    check_size("set_parameters", "parameters", values.size(), "count_params()", {count()});
    write(values, 0);
  }

  void set(std::string_view name, std::span<const T> values) {
    const WeightInfo& found = info("set_weight", name);
    check_size("set_weight", name, values.size(), "the size of " + to_text(found.shape),
               {found.size});
    write(values, found.offset);
  }

  void edit(const std::function<void(std::span<T> parameters)>& change) {
    before_edit_ = parameters_;
    try {
      change(parameters_);
    } catch (...) {
      std::ranges::copy(before_edit_, parameters_.begin());
      throw;
    }
  }

 private:
  // `values` may be part of the parameters themselves.
  void write(std::span<const T> values, std::int64_t offset) noexcept {
    if (values.empty()) return;
    std::memmove(parameters_.data() + offset, values.data(), values.size_bytes());
  }

  std::vector<WeightInfo> infos_;
  std::vector<T> parameters_;
  std::vector<T> before_edit_;  // restored if an edit throws; empty before the first edit
};

}  // namespace memattn
