// Plain matrix products for the small networks around the layer (src/forecast), over row-major
// arrays with row strides. Every element of C is summed in the order of the inner index.
#pragma once

#include <cstdint>

namespace memattn::kernels {

// c (m, n) += a (m, k) * b (k, n); lda, ldb, ldc are the distances between rows.
template <typename T>
void matmul_add(std::int64_t m, std::int64_t n, std::int64_t k, const T* a, std::int64_t lda,
                const T* b, std::int64_t ldb, T* c, std::int64_t ldc) noexcept {
  for (std::int64_t i = 0; i < m; ++i) {
    T* __restrict row = c + i * ldc;
    std::int64_t p = 0;
    // Four rows of b at once: a quarter of the traffic to `row`, the same order of additions.
    for (; p + 4 <= k; p += 4) {
      const T a0 = a[i * lda + p], a1 = a[i * lda + p + 1];
      const T a2 = a[i * lda + p + 2], a3 = a[i * lda + p + 3];
      const T* __restrict b0 = b + p * ldb;
      const T* __restrict b1 = b0 + ldb;
      const T* __restrict b2 = b1 + ldb;
      const T* __restrict b3 = b2 + ldb;
      for (std::int64_t j = 0; j < n; ++j) {
        row[j] = row[j] + a0 * b0[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j];
      }
    }
    for (; p < k; ++p) {
      const T factor = a[i * lda + p];
      const T* __restrict line = b + p * ldb;
      for (std::int64_t j = 0; j < n; ++j) row[j] += factor * line[j];
    }
  }
}

// c (m, n) += aᵀ * b with a (k, m) and b (k, n).
template <typename T>
void matmul_transposed_add(std::int64_t m, std::int64_t n, std::int64_t k, const T* a,
                           std::int64_t lda, const T* b, std::int64_t ldb, T* c,
                           std::int64_t ldc) noexcept {
  std::int64_t p = 0;
  for (; p + 4 <= k; p += 4) {
    const T* __restrict b0 = b + p * ldb;
    const T* __restrict b1 = b0 + ldb;
    const T* __restrict b2 = b1 + ldb;
    const T* __restrict b3 = b2 + ldb;
    for (std::int64_t i = 0; i < m; ++i) {
      const T a0 = a[p * lda + i], a1 = a[(p + 1) * lda + i];
      const T a2 = a[(p + 2) * lda + i], a3 = a[(p + 3) * lda + i];
      T* __restrict row = c + i * ldc;
      for (std::int64_t j = 0; j < n; ++j) {
        row[j] = row[j] + a0 * b0[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j];
      }
    }
  }
  for (; p < k; ++p) {
    const T* __restrict line = b + p * ldb;
    for (std::int64_t i = 0; i < m; ++i) {
      const T factor = a[p * lda + i];
      T* __restrict row = c + i * ldc;
      for (std::int64_t j = 0; j < n; ++j) row[j] += factor * line[j];
    }
  }
}

// out (n, m) = aᵀ for a (m, n), times `factor`.
template <typename T>
void transpose(std::int64_t m, std::int64_t n, const T* a, std::int64_t lda, T factor,
               T* out) noexcept {
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t i = 0; i < m; ++i) out[j * m + i] = factor * a[i * lda + j];
  }
}

// sums (n) += the rows of a (m, n).
template <typename T>
void add_rows(std::int64_t m, std::int64_t n, const T* a, std::int64_t lda,
              T* __restrict sums) noexcept {
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) sums[j] += a[i * lda + j];
  }
}

}  // namespace memattn::kernels
