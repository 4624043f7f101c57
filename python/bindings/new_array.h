// Arrays that the extension makes and NumPy owns.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

// An array of `shape` that owns its zeroed values, and a view of them.
template <typename T = double, std::size_t kDims>
auto make_array(const std::size_t (&shape)[kDims]) {
  std::size_t size = 1;
  for (const std::size_t extent : shape) size *= extent;
  auto values = std::make_unique<T[]>(size);
  const std::span<T> view(values.get(), size);
  const nanobind::capsule owner(values.get(),
                                [](void* data) noexcept { delete[] static_cast<T*>(data); });
  static_cast<void>(values.release());
  return std::pair(nanobind::ndarray<nanobind::numpy, T, nanobind::ndim<kDims>>(view.data(), kDims,
                                                                                shape, owner),
                   view);
}
