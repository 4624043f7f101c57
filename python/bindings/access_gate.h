// A gate in front of a model that many threads may read and one may change. The GIL is released in
// compute, so a Python thread could call predict while another one fits; the models do not allow
// that, and here it is an error.
#pragma once

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>

struct AccessGate {
  std::atomic<std::int64_t> users = 0;  // calls that read the model; -1: one changes it
};

class ReadAccess {
 public:
  ReadAccess(AccessGate& gate, const char* model) : users_(gate.users) {
    std::int64_t users = users_.load();
    do {
      if (users < 0) {
        throw std::runtime_error(std::string(model) + ": found a fit still running, expected none");
      }
    } while (!users_.compare_exchange_weak(users, users + 1));
  }
  ~ReadAccess() { --users_; }
  ReadAccess(const ReadAccess&) = delete;
  ReadAccess& operator=(const ReadAccess&) = delete;

 private:
  std::atomic<std::int64_t>& users_;
};

class WriteAccess {
 public:
  WriteAccess(AccessGate& gate, const char* function) : users_(gate.users) {
    std::int64_t users = 0;
    if (!users_.compare_exchange_strong(users, -1)) {
      throw std::runtime_error(std::string(function) +
                               ": found the model in use, expected no other call");
    }
  }
  ~WriteAccess() { users_ = 0; }
  WriteAccess(const WriteAccess&) = delete;
  WriteAccess& operator=(const WriteAccess&) = delete;

 private:
  std::atomic<std::int64_t>& users_;
};
