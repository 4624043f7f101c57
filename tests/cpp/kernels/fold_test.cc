// The fold of weights on every instruction set, against its formulas in docs/math.md.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <vector>

#include "kernels/kernel_table.h"
#include "layer/passes.h"
#include "layer/weights.h"
#include "testing/problem.h"

namespace memattn::testing {
namespace {

struct Sizes {
  std::int64_t units, slots, heads, key_dim, value_dim;
};

template <typename T>
class FoldTest : public ::testing::Test {
 protected:
  void prepare(const Sizes& sizes, bool biases, bool folded) {
    config_ = {.units = sizes.units,
               .memory_size = sizes.slots,
               .num_heads = sizes.heads,
               .key_dim = sizes.key_dim,
               .value_dim = sizes.value_dim,
               .use_bias = biases};
    weights_ = converted<T>(random_weights(config_, 5));
    fold(folded);
  }
  void fold(bool folded) {
    const std::vector<WeightInfo> infos = weight_infos(config_);
    const auto pointers = weight_pointers(infos, std::as_const(weights_).data());
    fold_pass(kernels::chosen_kernels<T>(), dims_of(config_), pointers, folded, prepared_);
  }
  T* weight(std::string_view name) {
    for (const WeightInfo& info : weight_infos(config_)) {
      if (info.name == name) return weights_.data() + info.offset;
    }
    return nullptr;
  }

  // Returns row `row` of the memory (S, U) times column `column` of head h of a kernel (U, H,
  // width), plus its bias, if there is one.
  Wide<T> project(const T* memory, const T* kernel, const T* bias, std::int64_t row, std::int64_t h,
                  std::int64_t width, std::int64_t column) const {
    Wide<T> sum = bias ? bias[h * width + column] : T(0);
    for (std::int64_t u = 0; u < config_.units; ++u) {
      sum += static_cast<Wide<T>>(memory[row * config_.units + u]) *
             kernel[(u * config_.num_heads + h) * width + column];
    }
    return sum;
  }

  void check(T found, Wide<T> expected, const char* what) {
    const Wide<T> limit = sizeof(T) == 4 ? 2e-5 : 1e-13;
    ASSERT_TRUE(std::abs(found - expected) <= limit * (1 + std::abs(expected)))
        << what << ": found " << found << ", expected " << expected;
  }

  void check_all() {
    const auto [U, S, H, D, Dv] = dims_of(config_);
    const Wide<T> scale = std::numbers::log2e_v<Wide<T>> / std::sqrt(static_cast<Wide<T>>(D));
    const T* const memory = weight("memory");
    const T* const key_kernel = weight("key.kernel");
    const T* const value_kernel = weight("value.kernel");
    const T* const value_bias = weight("value.bias");
    const T* const query_kernel = weight("query.kernel");
    const T* const query_bias = weight("query.bias");
    const T* const output_kernel = weight("output.kernel");
    for (std::int64_t h = 0; h < H; ++h) {
      for (std::int64_t s = 0; s < S; ++s) {
        std::vector<Wide<T>> key, value;
        for (std::int64_t d = 0; d < D; ++d) {
          key.push_back(project(memory, key_kernel, nullptr, s, h, D, d));
          check(prepared_.keys[static_cast<std::size_t>((h * S + s) * D + d)], key.back(), "K");
        }
        for (std::int64_t d = 0; d < Dv; ++d) {
          value.push_back(project(memory, value_kernel, value_bias, s, h, Dv, d));
          check(prepared_.values[static_cast<std::size_t>((h * S + s) * Dv + d)], value.back(),
                "V");
        }
        if (!prepared_.folded) continue;
        Wide<T> c = 0;
        for (std::int64_t d = 0; config_.use_bias && d < D; ++d) {
          c += query_bias[h * D + d] * key[static_cast<std::size_t>(d)];
        }
        check(prepared_.c[static_cast<std::size_t>(h * S + s)], c * scale, "c");
        for (std::int64_t u = 0; u < U; ++u) {
          Wide<T> a = 0, b = 0;
          for (std::int64_t d = 0; d < D; ++d) {
            a += query_kernel[(u * H + h) * D + d] * key[static_cast<std::size_t>(d)];
          }
          for (std::int64_t d = 0; d < Dv; ++d) {
            b += value[static_cast<std::size_t>(d)] * output_kernel[(h * Dv + d) * U + u];
          }
          check(prepared_.a[static_cast<std::size_t>((u * H + h) * S + s)], a * scale, "A");
          check(prepared_.b[static_cast<std::size_t>((h * S + s) * U + u)], b, "B");
        }
      }
    }
  }

  MemoryAugmentedAttentionConfig config_;
  std::vector<T> weights_;
  kernels::Prepared<T> prepared_;
};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(FoldTest, Types);

TYPED_TEST(FoldTest, EqualsItsFormulas) {
  for (const Sizes& sizes : {Sizes{1, 1, 1, 1, 1}, Sizes{5, 7, 3, 2, 4}, Sizes{33, 20, 2, 17, 9},
                             Sizes{8, 70, 4, 8, 8}}) {
    for (const bool biases : {true, false}) {
      for (const bool folded : {true, false}) {
        this->prepare(sizes, biases, folded);
        this->check_all();
        EXPECT_TRUE(this->prepared_.finite);
      }
    }
  }
}

// A change of weights folds in place: the sizes stay, and every value is new.
TYPED_TEST(FoldTest, FoldsAgainInPlace) {
  for (const bool folded : {true, false}) {
    this->prepare({6, 5, 2, 3, 4}, true, folded);
    const std::int64_t bytes = this->prepared_.bytes();
    const auto* const keys = this->prepared_.keys.data();
    for (auto& weight : this->weights_) weight = -weight / 2;
    this->fold(folded);
    this->check_all();
    EXPECT_EQ(this->prepared_.bytes(), bytes);
    EXPECT_EQ(this->prepared_.keys.data(), keys);
  }
}

// Detects NaN and infinity in every weight that the fold reads, and in no other weight.
TYPED_TEST(FoldTest, NotesValuesThatAreNotFinite) {
  using T = TypeParam;
  for (const bool folded : {true, false}) {
    for (const T bad : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()}) {
      for (const char* name : {"memory", "key.kernel", "value.kernel", "value.bias"}) {
        this->prepare({6, 5, 2, 3, 4}, true, folded);
        this->weight(name)[2] = bad;
        this->fold(folded);
        EXPECT_FALSE(this->prepared_.finite) << name;
      }
      this->prepare({6, 5, 2, 3, 4}, true, folded);
      this->weight("key.bias")[2] = this->weight("output.bias")[2] = bad;
      this->fold(folded);
      EXPECT_TRUE(this->prepared_.finite);
    }
  }
}

}  // namespace
}  // namespace memattn::testing
