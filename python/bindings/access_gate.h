// A model behind a gate: many threads may read it or one may change it. Computations release the
// GIL, so one Python thread could read a model while another one changes it. The models do not
// allow that; behind the gate it is an error.
#pragma once

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

// The model can be reached through read and write alone, so no call can go past the gate.
template <typename Model>
class Gated {
 public:
  explicit Gated(Model model) : model_(std::move(model)) {}
  Gated(const Gated&) = delete;
  Gated& operator=(const Gated&) = delete;

  // Returns use(model) for a const model. Throws std::runtime_error while another call changes it;
  // `function` is the caller's name in the message.
  template <typename Use>
  auto read(const char* function, Use use) const {
    const Reading reading(users_, function);
    return use(model_);
  }

  // Returns use(model). Throws std::runtime_error while another call reads or changes the model.
  template <typename Use>
  auto write(const char* function, Use use) {
    const Writing writing(users_, function);
    return use(model_);
  }

 private:
  using Users = std::atomic<std::int64_t>;  // calls that read the model; -1: one changes it

  class Reading {
   public:
    Reading(Users& users, const char* function) : users_(users) {
      std::int64_t before = users_.load();
      do {
        if (before < 0) {
          throw std::runtime_error(std::string(function) +
                                   ": a fit of this model is still running; wait for its end");
        }
      } while (!users_.compare_exchange_weak(before, before + 1));
    }
    ~Reading() { --users_; }
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;

   private:
    Users& users_;
  };

  class Writing {
   public:
    Writing(Users& users, const char* function) : users_(users) {
      std::int64_t none = 0;
      if (!users_.compare_exchange_strong(none, -1)) {
        throw std::runtime_error(std::string(function) +
                                 ": another call is using this model; wait for its end");
      }
    }
    ~Writing() { users_ = 0; }
    Writing(const Writing&) = delete;
    Writing& operator=(const Writing&) = delete;

   private:
    Users& users_;
  };

  Model model_;
  mutable Users users_ = 0;
};
