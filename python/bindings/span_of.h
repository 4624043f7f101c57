// Memory that Python hands in, as spans. An array may lie at any address, but to read one that is
// not aligned for its type is undefined in C++. python/memattn copies such arrays; what comes here
// all the same is refused.
#pragma once

#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

// Throws std::invalid_argument, naming the argument, when the address cannot be that of a T.
template <typename T>
void check_aligned(const char* argument, std::uintptr_t address) {
  if (address % alignof(T) != 0) {
    throw std::invalid_argument(
        std::string(argument) + ": found an array at an address that is no multiple of " +
        std::to_string(alignof(T)) +
        ", expected an aligned one; numpy.require(array, requirements=\"A\") makes one");
  }
}

// The values of a contiguous array.
template <typename... Kind>
auto span_of(const char* argument, const nanobind::ndarray<Kind...>& array) {
  const std::span values(array.data(), array.size());
  check_aligned<typename decltype(values)::value_type>(
      argument, reinterpret_cast<std::uintptr_t>(values.data()));
  return values;
}
