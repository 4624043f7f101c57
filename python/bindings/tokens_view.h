// What a NumPy array holds, seen without a conversion, when it is just what the layer computes on.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

// The values of a (B, T, units) array while this lives. `fits()` is false, and nothing else may be
// asked, for any object but one whose class is numpy.ndarray itself, C-contiguous, aligned, of type
// T in the machine's byte order and of that width. Needs the GIL.
template <typename T>
class TokensView {
 public:
  TokensView(nanobind::handle object, nanobind::handle ndarray_class, std::int64_t units) {
    if (!object.type().is(ndarray_class)) return;
    // Strides are asked for, and looked at here: a request for contiguous memory that is refused
    // would cost an exception.
    if (PyObject_GetBuffer(object.ptr(), &buffer_, PyBUF_RECORDS_RO) != 0) {
      PyErr_Clear();  // a type that buffers cannot tell, a date for one
      return;
    }
    // NumPy marks what is not aligned, or in the other byte order, before the letter.
    constexpr std::string_view kFormat = std::is_same_v<T, float> ? "f" : "d";
    fits_ = buffer_.ndim == 3 && buffer_.shape[2] == units && buffer_.format == kFormat &&
            PyBuffer_IsContiguous(&buffer_, 'C') != 0;
  }
  ~TokensView() { PyBuffer_Release(&buffer_); }  // does nothing when there is none
  TokensView(const TokensView&) = delete;
  TokensView& operator=(const TokensView&) = delete;

  bool fits() const { return fits_; }
  bool writable() const { return buffer_.readonly == 0; }
  std::int64_t batch() const { return buffer_.shape[0]; }
  std::int64_t steps() const { return buffer_.shape[1]; }
  std::span<T> values() const {
    return {static_cast<T*>(buffer_.buf), static_cast<std::size_t>(buffer_.len) / sizeof(T)};
  }

 private:
  Py_buffer buffer_ = {};
  bool fits_ = false;
};
