// Optimizers as Keras defines them, over flat parameter buffers. They know no layer: give them
// parameters and gradients of one length, step after step, in one order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "memattn/export.h"

namespace memattn {

// One optimizer belongs to one parameter buffer and to one thread at a time. Copying copies its
// state.
template <typename T>
class MEMATTN_EXPORT Optimizer {
 public:
  virtual ~Optimizer() = default;

  // One step: parameters (P) are changed in place from gradients (P). The first call fixes P.
  // Throws std::invalid_argument, before anything is written, when the lengths differ.
  virtual void step(std::span<T> parameters, std::span<const T> gradients) = 0;

  double learning_rate() const { return learning_rate_; }
  // Takes effect at the next step. Throws std::invalid_argument unless finite and not negative.
  void set_learning_rate(double learning_rate);

  // Steps taken so far.
  std::int64_t iterations() const { return iterations_; }

 protected:
  explicit Optimizer(double learning_rate);
  Optimizer(const Optimizer&) = default;
  Optimizer& operator=(const Optimizer&) = default;

  double learning_rate_ = 0;
  std::int64_t iterations_ = 0;
  std::size_t size_ = 0;  // P, from the first step on
};

struct SgdOptions {
  double learning_rate = 0.01;
  double momentum = 0.0;  // in [0, 1]
  bool nesterov = false;
};

// v = momentum * v - learning_rate * g;  w += v, or with nesterov w += momentum * v - learning_rate
// * g.
template <typename T>
class MEMATTN_EXPORT Sgd : public Optimizer<T> {
 public:
  explicit Sgd(const SgdOptions& options = {});
  void step(std::span<T> parameters, std::span<const T> gradients) override;

 private:
  SgdOptions options_;
  std::vector<T> velocity_;  // (P) when momentum > 0, else empty
};

struct AdamOptions {
  double learning_rate = 0.001;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-7;      // outside the square root and not corrected for bias, as in Keras
  double weight_decay = 0.0;  // > 0: AdamW, w -= learning_rate * weight_decay * w before the update
};

// m = beta_1 m + (1 - beta_1) g;  v = beta_2 v + (1 - beta_2) g^2;
// w -= learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon).
// Kingma and Ba 2015, section 2 (the reordered form); Loshchilov and Hutter 2019 for weight_decay.
template <typename T>
class MEMATTN_EXPORT Adam : public Optimizer<T> {
 public:
  explicit Adam(const AdamOptions& options = {});
  void step(std::span<T> parameters, std::span<const T> gradients) override;

  // m and v (P) after the steps taken so far; empty before the first.
  std::span<const T> mean() const { return mean_; }
  std::span<const T> square() const { return square_; }
  // Takes the place of an optimizer with the same options that has taken `iterations` steps and
  // has these m and v: the next steps are the same bits. Throws std::invalid_argument, before
  // anything is changed, when iterations is negative, the lengths differ, a value is not finite or
  // one of v negative.
  void restore(std::int64_t iterations, std::span<const T> mean, std::span<const T> square);

 private:
  AdamOptions options_;
  std::vector<T> mean_;    // (P)
  std::vector<T> square_;  // (P)
};

// Adam with decoupled weight decay; Keras' default is 0.004.
template <typename T>
class MEMATTN_EXPORT AdamW : public Adam<T> {
 public:
  explicit AdamW(AdamOptions options = {.weight_decay = 0.004});
};

// Scales gradients in place so that their l2 norm is at most max_norm, and returns the norm before.
// A norm that is not finite makes every gradient NaN, as in Keras: it must not pass unseen.
template <typename T>
MEMATTN_EXPORT T clip_by_global_norm(std::span<T> gradients, double max_norm);

extern template class Optimizer<float>;
extern template class Optimizer<double>;
extern template class Sgd<float>;
extern template class Sgd<double>;
extern template class Adam<float>;
extern template class Adam<double>;
extern template class AdamW<float>;
extern template class AdamW<double>;

}  // namespace memattn
