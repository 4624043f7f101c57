// Sizes of the prepared buffers, and what is done about weights that are not finite.
#include "kernels/fold_support.h"

#include <algorithm>

namespace memattn::kernels {
template <typename T>
void resize_prepared(const Dims& dims, bool folded, Prepared<T>& prepared) {
  const auto [U, S, H, D, Dv] = dims;
  const auto resize = [](AlignedVector<T>& buffer, std::int64_t size) {
    buffer.resize(static_cast<std::size_t>(size));
  };
  prepared.dims = dims;
  prepared.folded = folded;
  resize(prepared.keys, S * H * D);
  resize(prepared.keys_transposed, H * D * S);
  resize(prepared.values, S * H * Dv);
  for (AlignedVector<T>* of_folded :
       {&prepared.a, &prepared.a_packed, &prepared.b, &prepared.b_packed}) {
    resize(*of_folded, folded ? U * H * S : 0);
  }
  resize(prepared.c, folded ? H * S : 0);
  resize(prepared.keys_packed, folded ? 0 : H * S * D);
}

template <typename T>
const T* used_rows(bool finite, std::int64_t slots, std::int64_t width, const T* a, const T* used,
                   T* copy) noexcept {
  if (finite) return a;
  for (std::int64_t s = 0; s < slots; ++s) {
    for (std::int64_t j = 0; j < width; ++j) {
      copy[s * width + j] = used[s] != 0 ? a[s * width + j] : T(0);
    }
  }
  return copy;
}

template <typename T>
TokenSums<T>::TokenSums(const Dims& dims, bool folded, T* base) {
  const auto [U, S, H, D, Dv] = dims;
  const auto take = [&](std::int64_t count) {
    T* place = base ? base + size : nullptr;
    size += count;
    return place;
  };
  used = take(S);
  output_bias = take(U);
  if (folded) {
    a_transposed = take(H * S * U);
    c = take(H * S);
    b = take(H * S * U);
  } else {
    query_kernel = take(U * H * D);
    query_bias = take(H * D);
    output_kernel = take(H * Dv * U);
    keys = take(S * H * D);
    values = take(S * H * Dv);
  }
}

#define MEMATTN_INSTANTIATE(T)                                    \
  template struct TokenSums<T>;                                   \
  template void resize_prepared(const Dims&, bool, Prepared<T>&); \
  template const T* used_rows(bool, std::int64_t, std::int64_t, const T*, const T*, T*) noexcept;
MEMATTN_INSTANTIATE(float)
MEMATTN_INSTANTIATE(double)

}  // namespace memattn::kernels
