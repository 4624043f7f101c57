// The softmax of a tile, its gradient and dropout, on every instruction set, against their
// definitions in higher precision.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "kernels/kernel_units.h"
#include "testing/arrays.h"

namespace memattn::kernels {
namespace {

template <typename T>
class SoftmaxTest : public ::testing::Test {
 protected:
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  static constexpr T kNan = std::numeric_limits<T>::quiet_NaN();

  // Tiles of one to four vectors of tokens, followed by lanes that must not change.
  template <typename Check>
  void for_each_tile(Check check) {
    const std::int64_t lanes = kernel_units<T>().lanes();
    for (const std::int64_t vectors : {1, 2, 3, 4}) {
      for (const std::int64_t slots : {1, 2, 5, 20, 131}) {
        slots_ = slots;
        width_ = vectors * lanes;
        stride_ = width_ + lanes;
        check();
      }
    }
  }

  std::vector<T> logits(std::uint64_t seed) const {
    return testing::normal_array<T>(slots_ * stride_, seed, 3.0);
  }
  // Masks of all bits or none; the first token keeps nothing, the second keeps everything.
  std::vector<T> random_keep(std::uint64_t seed) const {
    auto kept = testing::random_mask(slots_ * stride_, seed);
    std::vector<T> keep(kept.size());
    for (std::size_t i = 0; i < keep.size(); ++i) {
      const std::size_t token = i % static_cast<std::size_t>(stride_);
      const bool keeps = token == 1 || (token != 0 && kept[i] != 0);
      keep[i] = std::bit_cast<T>(keeps ? ~Bits{0} : Bits{0});
    }
    return keep;
  }
  bool keeps(const std::vector<T>& keep, std::int64_t s, std::int64_t token) const {
    return keep.empty() || std::bit_cast<Bits>(keep[at(s, token)]) != 0;
  }
  std::size_t at(std::int64_t s, std::int64_t token) const {
    return static_cast<std::size_t>(s * stride_ + token);
  }

  void check_softmax(const std::vector<T>& keep) const {
    auto p = logits(7);
    for (std::size_t i = 0; !keep.empty() && i < p.size(); ++i) {
      if (std::bit_cast<Bits>(keep[i]) == 0) p[i] = kNan;  // the logit of a masked slot is not read
    }
    const auto before = p;
    kernel_units<T>().softmax(slots_, width_, stride_, keep.empty() ? nullptr : keep.data(),
                              p.data());
    for (std::int64_t token = 0; token < stride_; ++token) {
      long double total = 0;
      for (std::int64_t s = 0; s < slots_; ++s) {
        if (keeps(keep, s, token))
          total += std::exp2(static_cast<long double>(before[at(s, token)]));
      }
      for (std::int64_t s = 0; s < slots_; ++s) {
        const T found = p[at(s, token)];
        if (token >= width_) {
          ASSERT_TRUE(testing::same_bits(std::vector{found}, std::vector{before[at(s, token)]}));
          continue;
        }
        if (!keeps(keep, s, token)) {
          ASSERT_EQ(found, T(0));
          continue;
        }
        const long double expected =
            std::exp2(static_cast<long double>(before[at(s, token)])) / total;
        const long double bound =
            (10 + static_cast<long double>(slots_)) * std::numeric_limits<T>::epsilon() * expected;
        ASSERT_TRUE(std::abs(found - expected) <= bound)
            << slots_ << " slots, slot " << s << " of token " << token << ": " << found;
      }
    }
  }

  std::int64_t slots_ = 0, width_ = 0, stride_ = 0;
};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(SoftmaxTest, Types);

TYPED_TEST(SoftmaxTest, EqualsItsDefinition) {
  this->for_each_tile([&] {
    this->check_softmax({});
    this->check_softmax(this->random_keep(3));
  });
}

TYPED_TEST(SoftmaxTest, LargeLogitsDoNotOverflow) {
  using T = TypeParam;
  const std::int64_t lanes = kernel_units<T>().lanes();
  const T large = std::numeric_limits<T>::max() / 4;
  std::vector<T> p(static_cast<std::size_t>(3 * lanes));
  for (std::int64_t i = 0; i < lanes; ++i) {
    p[static_cast<std::size_t>(i)] = large;
    p[static_cast<std::size_t>(lanes + i)] = large;
    p[static_cast<std::size_t>(2 * lanes + i)] = -large;
  }
  kernel_units<T>().softmax(3, lanes, lanes, nullptr, p.data());
  for (std::int64_t i = 0; i < lanes; ++i) {
    EXPECT_EQ(p[static_cast<std::size_t>(i)], T(0.5));
    EXPECT_EQ(p[static_cast<std::size_t>(lanes + i)], T(0.5));
    EXPECT_EQ(p[static_cast<std::size_t>(2 * lanes + i)], T(0));
  }
}

// dL_s = P_s (dP_s − Σ P dP) over the slots that are kept, 0 elsewhere.
TYPED_TEST(SoftmaxTest, BackwardEqualsItsDefinition) {
  using T = TypeParam;
  this->for_each_tile([&] {
    for (const bool masked : {false, true}) {
      const auto keep = masked ? this->random_keep(5) : std::vector<T>();
      const T* const keep_data = masked ? keep.data() : nullptr;
      auto p = this->logits(8), d_p = this->logits(9);
      kernel_units<T>().softmax(this->slots_, this->width_, this->stride_, keep_data, p.data());
      const auto d_scores = d_p;
      kernel_units<T>().softmax_backward(this->slots_, this->width_, this->stride_, keep_data,
                                         p.data(), d_p.data());
      for (std::int64_t token = 0; token < this->width_; ++token) {
        long double sum = 0, size = 0;
        for (std::int64_t s = 0; s < this->slots_; ++s) {
          if (!this->keeps(keep, s, token)) continue;
          const auto i = this->at(s, token);
          sum += static_cast<long double>(p[i]) * d_scores[i];
          size += std::abs(static_cast<long double>(p[i]) * d_scores[i]);
        }
        for (std::int64_t s = 0; s < this->slots_; ++s) {
          const auto i = this->at(s, token);
          if (!this->keeps(keep, s, token)) {
            ASSERT_EQ(d_p[i], T(0));
            continue;
          }
          const long double expected = p[i] * (d_scores[i] - sum);
          const long double bound = static_cast<long double>(this->slots_ + 4) *
                                    std::numeric_limits<T>::epsilon() * p[i] *
                                    (std::abs(static_cast<long double>(d_scores[i])) + size);
          ASSERT_TRUE(std::abs(d_p[i] - expected) <= bound) << s << " of " << token;
        }
      }
    }
  });
}

TYPED_TEST(SoftmaxTest, DropoutFollowsItsDefinition) {
  using T = TypeParam;
  const Dropout dropout{.rate = 0.3, .seed = 5, .step = 2};
  this->for_each_tile([&] {
    const auto in = this->logits(10);
    std::vector<T> out(in.size());
    std::vector<std::uint32_t> low, high;
    std::vector<std::uint64_t> keys;
    for (std::int64_t token = 0; token < this->width_; ++token) {
      keys.push_back(Dropout::row_key(dropout.sequence_key(1), static_cast<std::uint64_t>(token)));
      low.push_back(static_cast<std::uint32_t>(keys.back()));
      high.push_back(static_cast<std::uint32_t>(keys.back() >> 32));
    }
    kernel_units<T>().apply_dropout(dropout, this->slots_, this->width_, this->stride_, low.data(),
                                    high.data(), in.data(), out.data());
    const T scale = static_cast<T>(dropout.scale());
    for (std::int64_t token = 0; token < this->width_; ++token) {
      for (std::int64_t s = 0; s < this->slots_; ++s) {
        const bool stays =
            Dropout::keeps(keys[static_cast<std::size_t>(token)], s, dropout.threshold());
        const auto i = this->at(s, token);
        ASSERT_EQ(out[i], stays ? in[i] * scale : in[i] * T(0)) << s << " of " << token;
      }
    }
  });
}

}  // namespace
}  // namespace memattn::kernels
