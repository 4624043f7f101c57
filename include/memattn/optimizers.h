// Optimizers as in Keras, over flat parameter buffers. They are independent of layers: pass
// parameters and gradients of the same length and order in every step.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "memattn/export.h"

namespace memattn {

// The state of an optimizer, without parameters, gradients and options. An optimizer with the same
// options that restores it continues to the bit.
template <typename T>
struct OptimizerState {
  double learning_rate = 0;
  std::int64_t iterations = 0;  // steps taken
  std::int64_t parameters = 0;  // P; 0 before the first step, which sets it
  // Sgd with momentum: "velocity"; Adam: "mean" and "square". (P) each.
  std::map<std::string, std::vector<T>> moments = {};

  bool operator==(const OptimizerState&) const = default;
};

// An optimizer serves one parameter buffer and one thread at a time. A copy has its own state; a
// moved-from optimizer is as before its first step.
//
// Errors: std::invalid_argument, which names the option or argument, and std::bad_alloc. A call
// that throws has no effect.
template <typename T>
class MEMATTN_EXPORT Optimizer {
 public:
  virtual ~Optimizer() = default;

  // Takes one step: changes parameters (P) in place from gradients (P). P is at least 1 and set by
  // the first step, the only one that allocates. The two must not overlap with each other or with
  // the optimizer's own buffers.
  virtual void step(std::span<T> parameters, std::span<const T> gradients) = 0;

  [[nodiscard]] double learning_rate() const { return learning_rate_; }
  // Takes effect at the next step. Finite in T and not negative.
  void set_learning_rate(double learning_rate);

  // Steps taken so far.
  [[nodiscard]] std::int64_t iterations() const { return iterations_; }

  [[nodiscard]] virtual OptimizerState<T> state() const = 0;
  // Continues from the state of another optimizer; the options stay. Throws std::invalid_argument
  // for an impossible state: moments that are missing, have other names or not P values each; P > 0
  // after 0 iterations, or P = 0 after more; a negative "square".
  virtual void restore(OptimizerState<T> state) = 0;

  // Writes options and state to one safetensors file (docs/format.md), replacing it atomically and
  // durably. Throws std::system_error. Each class has a static load() for its files, which throws
  // std::system_error, or FormatError for a file of another kind, class or type.
  virtual void save(const std::filesystem::path& path) const = 0;

 protected:
  explicit Optimizer(double learning_rate) : learning_rate_(learning_rate) {}
  Optimizer(const Optimizer&) = default;
  Optimizer& operator=(const Optimizer&) = default;
  Optimizer(Optimizer&& other) noexcept;
  Optimizer& operator=(Optimizer&& other) noexcept;

  // Checks the arguments of step(); messages begin with `function`.
  void check_step(std::string_view function, std::span<const T> parameters,
                  std::span<const T> gradients) const;
  // Checks the state passed to restore(): its numbers, and that it has these moments with P values
  // each.
  void check_state(std::string_view function, const OptimizerState<T>& state,
                   std::span<const std::string_view> moments) const;

  double learning_rate_ = 0;
  std::int64_t iterations_ = 0;
  std::int64_t size_ = 0;  // P, from the first step on
};

struct SgdOptions {
  double learning_rate = 0.01;  // finite, at least 0
  double momentum = 0.0;        // in [0, 1]
  bool nesterov = false;        // without momentum it changes nothing, as in Keras
};

// v = momentum * v - learning_rate * g;  w += v, or with nesterov w += momentum * v - learning_rate
// * g.
template <typename T>
class MEMATTN_EXPORT Sgd : public Optimizer<T> {
 public:
  explicit Sgd(const SgdOptions& options = {});
  Sgd(const Sgd&) = default;
  Sgd(Sgd&&) noexcept = default;
  Sgd& operator=(const Sgd& other) { return *this = Sgd(other); }  // all of it or nothing
  Sgd& operator=(Sgd&&) noexcept = default;

  void step(std::span<T> parameters, std::span<const T> gradients) override;

  // Returns the options, with the learning rate of the next step.
  [[nodiscard]] SgdOptions options() const;
  [[nodiscard]] OptimizerState<T> state() const override;
  void restore(OptimizerState<T> state) override;
  void save(const std::filesystem::path& path) const override;
  [[nodiscard]] static Sgd load(const std::filesystem::path& path);

 private:
  SgdOptions options_;
  std::vector<T> velocity_;  // (P) when momentum > 0, else empty
};

struct AdamOptions {
  double learning_rate = 0.001;  // finite, at least 0
  double beta_1 = 0.9;           // in [0, 1)
  double beta_2 = 0.999;         // in [0, 1)
  double epsilon = 1e-7;         // above 0; added outside the square root, without bias correction
  double weight_decay = 0.0;     // finite, at least 0; above 0 this is AdamW
};

// m = beta_1 m + (1 - beta_1) g;  v = beta_2 v + (1 - beta_2) g^2;
// w -= learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon).
// Kingma and Ba 2015, section 2 (the reordered form). With weight_decay, decoupled from the
// gradient (Loshchilov and Hutter 2019): w -= learning_rate * weight_decay * w before the update.
template <typename T>
class MEMATTN_EXPORT Adam : public Optimizer<T> {
 public:
  explicit Adam(const AdamOptions& options = {});
  Adam(const Adam&) = default;
  Adam(Adam&&) noexcept = default;
  Adam& operator=(const Adam& other) { return *this = Adam(other); }  // all of it or nothing
  Adam& operator=(Adam&&) noexcept = default;

  void step(std::span<T> parameters, std::span<const T> gradients) override;

  // Returns the options, with the learning rate of the next step.
  [[nodiscard]] AdamOptions options() const;
  [[nodiscard]] OptimizerState<T> state() const override;
  void restore(OptimizerState<T> state) override;
  void save(const std::filesystem::path& path) const override;
  [[nodiscard]] static Adam load(const std::filesystem::path& path);

  // m and v (P) after the latest step, without a copy; empty before the first step.
  [[nodiscard]] std::span<const T> mean() const { return mean_; }
  [[nodiscard]] std::span<const T> square() const { return square_; }

  [[deprecated("use restore(OptimizerState); removed in version 0.3")]] void restore(
      std::int64_t iterations, std::span<const T> mean, std::span<const T> square);

 protected:
  // `kind` is the name of the class in messages about options.
  Adam(std::string_view kind, const AdamOptions& options);

 private:
  AdamOptions options_;
  std::vector<T> mean_;    // (P)
  std::vector<T> square_;  // (P)
};

// AdamOptions with Keras' default for the weight decay of AdamW.
struct AdamWOptions {
  double learning_rate = 0.001;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-7;
  double weight_decay = 0.004;
};

// Adam with another name and another default of weight_decay.
template <typename T>
class MEMATTN_EXPORT AdamW : public Adam<T> {
 public:
  explicit AdamW(const AdamWOptions& options = {});

  [[nodiscard]] AdamWOptions options() const;
  void save(const std::filesystem::path& path) const override;
  [[nodiscard]] static AdamW load(const std::filesystem::path& path);
};

// Returns the type of the state in a file that an optimizer's save wrote, "float32" or "float64",
// to choose the class that loads it. Throws the errors of load.
[[nodiscard]] MEMATTN_EXPORT std::string optimizer_file_dtype(const std::filesystem::path& path);

// Scales gradients in place so that their l2 norm is at most max_norm, and returns the norm before.
// A norm that is not finite makes every gradient NaN, as in Keras, so that it is noticed. Throws
// std::invalid_argument unless max_norm is above 0.
MEMATTN_EXPORT float clip_by_global_norm(std::span<float> gradients, double max_norm);
MEMATTN_EXPORT double clip_by_global_norm(std::span<double> gradients, double max_norm);

template <typename T>
[[deprecated("leave <T> out; removed in version 0.3")]] T clip_by_global_norm(
    std::span<T> gradients, double max_norm) {
  return clip_by_global_norm(gradients, max_norm);  // the function for T, not this template
}

extern template class Optimizer<float>;
extern template class Optimizer<double>;
extern template class Sgd<float>;
extern template class Sgd<double>;
extern template class Adam<float>;
extern template class Adam<double>;
extern template class AdamW<float>;
extern template class AdamW<double>;

}  // namespace memattn
