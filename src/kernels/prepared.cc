// The sizes of the prepared buffers.
#include "kernels/prepared.h"

namespace memattn::kernels {

template <typename T, typename Stored>
void Prepared<T, Stored>::resize(const Dims& new_dims, bool is_folded) {
  const auto [U, S, H, D, Dv] = new_dims;
  const auto set = [](auto& buffer, std::int64_t size) {
    buffer.resize(static_cast<std::size_t>(size));
  };
  dims = new_dims;
  folded = is_folded;
  set(keys, S * H * D);
  set(keys_transposed, H * D * S);
  set(values, S * H * Dv);
  for (AlignedVector<Stored>* of_folded : {&a, &a_packed, &b, &b_packed}) {
    set(*of_folded, folded ? U * H * S : 0);
  }
  set(c, folded ? H * S : 0);
  set(keys_packed, folded ? 0 : H * S * D);
}

template <typename T, typename Stored>
std::int64_t Prepared<T, Stored>::bytes() const noexcept {
  std::size_t total = 0;
  const auto add = [&](const auto& buffer) { total += buffer.size() * sizeof(buffer[0]); };
  for (const auto* buffer : {&keys, &keys_transposed, &c}) add(*buffer);
  for (const auto* buffer : {&values, &a, &a_packed, &b, &b_packed, &keys_packed}) add(*buffer);
  return static_cast<std::int64_t>(total);
}

void PreparedPairs::resize(const Dims& dims, bool folded) {
  const auto [U, S, H, D, Dv] = dims;
  const auto set = [](AlignedVector<Pair>& buffer, bool there, std::int64_t size) {
    buffer.resize(there ? static_cast<std::size_t>(size) : 0);
  };
  for (AlignedVector<Pair>* left : {&a, &a_packed}) set(*left, folded, pairs_of(U) * H * S);
  spread.resize(folded ? static_cast<std::size_t>(H * S) : 0);
  for (AlignedVector<Pair>* right : {&b, &b_packed}) set(*right, folded, H * pairs_of(S) * U);
  set(values, !folded, H * pairs_of(S) * Dv);
}

std::int64_t PreparedPairs::bytes() const noexcept {
  std::size_t total = 0;
  for (const auto* buffer : {&a, &a_packed, &b, &b_packed, &values}) {
    total += buffer->size();
  }
  return static_cast<std::int64_t>(total * sizeof(Pair) + spread.size() * sizeof(float));
}

template struct Prepared<float>;
template struct Prepared<double>;

}  // namespace memattn::kernels
