// An input split into calls, by steps as a stream or by sequences, gives the bits of one call, with
// every mask and dropout.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <tuple>
#include <vector>

#include "memattn/memory_augmented_attention.h"
#include "testing/arrays.h"

namespace memattn::testing {
namespace {

constexpr std::int64_t kBatch = 5, kSteps = 23, kUnits = 9, kSlots = 17, kHeads = 3;

// A range of sequences and steps of the whole input.
struct Part {
  std::int64_t first_sequence, last_sequence, first_step, last_step;

  Tokens tokens() const {
    return {.batch = last_sequence - first_sequence, .steps = last_step - first_step};
  }
};

// Returns the part's rows from an array (groups, T, width) of each sequence.
template <typename T>
std::vector<T> cut(const std::vector<T>& whole, const Part& part, std::int64_t groups,
                   std::int64_t width) {
  std::vector<T> result;
  for (std::int64_t b = part.first_sequence; b < part.last_sequence; ++b) {
    for (std::int64_t g = 0; g < groups; ++g) {
      const auto* from = whole.data() + ((b * groups + g) * kSteps + part.first_step) * width;
      result.insert(result.end(), from, from + part.tokens().steps * width);
    }
  }
  return result;
}

std::vector<Part> parts_of_steps(const std::vector<std::int64_t>& ends) {
  std::vector<Part> parts;
  std::int64_t first = 0;
  for (const std::int64_t end : ends) {
    parts.push_back({0, kBatch, first, end});
    first = end;
  }
  return parts;
}

struct Outputs {
  std::vector<float> y, scores, grad_x, grad;
};

class StreamingTest
    : public ::testing::TestWithParam<std::tuple<Route, FullyMasked, bool /*masks*/>> {
 protected:
  StreamingTest()
      : layer_({.units = kUnits,
                .memory_size = kSlots,
                .num_heads = kHeads,
                .key_dim = 5,
                .dropout = 0.4,
                .fully_masked = std::get<FullyMasked>(GetParam()),
                .seed = 3}) {
    layer_.set_route(std::get<Route>(GetParam()));
  }

  // Runs the part in one call; with `place`, the call knows its position in the whole input.
  Outputs run(const Part& part, bool place = true) const {
    const Tokens tokens = part.tokens();
    const auto x = cut(x_, part, 1, kUnits), grad_y = cut(grad_y_, part, 1, kUnits);
    const auto attention = cut(attention_mask_, part, 1, kSlots);
    const auto query = cut(query_mask_, part, 1, 1);
    const std::vector<std::uint8_t> value(value_mask_.begin() + part.first_sequence * kSlots,
                                          value_mask_.begin() + part.last_sequence * kSlots);
    CallOptions options{.use_causal_mask = true, .training = true, .dropout_step = 8};
    if (std::get<bool>(GetParam())) {
      options.attention_mask = {attention, tokens.batch, tokens.steps, kSlots};
      options.query_mask = query;
      options.value_mask = value;
    }
    if (place) {
      options.first_step = part.first_step;
      options.first_sequence = part.first_sequence;
    }
    Outputs outputs;
    outputs.y.resize(x.size());
    outputs.grad_x.resize(x.size());
    outputs.scores.resize(x.size() / kUnits * kHeads * kSlots);
    outputs.grad.resize(layer_.parameters().size());
    layer_.forward(x, tokens, outputs.y, options, {outputs.scores});
    layer_.backward(x, grad_y, tokens, outputs.grad_x, outputs.grad, options);
    return outputs;
  }

  void expect_bits_of_whole(const std::vector<Part>& parts) const {
    const Outputs whole = run({0, kBatch, 0, kSteps});
    std::vector<float> grad(whole.grad.size());
    for (const Part& part : parts) {
      SCOPED_TRACE(::testing::Message() << "sequences from " << part.first_sequence
                                        << ", steps from " << part.first_step);
      const Outputs outputs = run(part);
      EXPECT_TRUE(same_bits(outputs.y, cut(whole.y, part, 1, kUnits)));
      EXPECT_TRUE(same_bits(outputs.scores, cut(whole.scores, part, kHeads, kSlots)));
      EXPECT_TRUE(same_bits(outputs.grad_x, cut(whole.grad_x, part, 1, kUnits)));
      for (std::size_t i = 0; i < grad.size(); ++i) grad[i] += outputs.grad[i];
    }
    // Gradients are sums over tokens in another order.
    EXPECT_LE(relative_error(grad, whole.grad), 1e-5);
  }

  MemoryAugmentedAttention<float> layer_;
  std::vector<float> x_ = normal_array<float>(kBatch * kSteps * kUnits, 1);
  std::vector<float> grad_y_ = normal_array<float>(kBatch * kSteps * kUnits, 2);
  std::vector<std::uint8_t> attention_mask_ = random_mask(kBatch * kSteps * kSlots, 3, 0.3);
  std::vector<std::uint8_t> query_mask_ = random_mask(kBatch * kSteps, 4, 0.8);
  std::vector<std::uint8_t> value_mask_ = random_mask(kBatch * kSlots, 5, 0.7);
};

TEST_P(StreamingTest, OneStepAtATimeGivesTheSameBits) {
  std::vector<std::int64_t> ends(kSteps);
  for (std::int64_t i = 0; i < kSteps; ++i) ends[static_cast<std::size_t>(i)] = i + 1;
  expect_bits_of_whole(parts_of_steps(ends));
}

TEST_P(StreamingTest, PiecesOfASequenceGiveTheSameBits) {
  expect_bits_of_whole(parts_of_steps({1, 3, 3, 4, 11, 22, kSteps}));
}

TEST_P(StreamingTest, PiecesOfABatchGiveTheSameBits) {
  expect_bits_of_whole({{0, 1, 0, kSteps}, {1, 4, 0, kSteps}, {4, kBatch, 0, kSteps}});
}

TEST_P(StreamingTest, PiecesOfBothGiveTheSameBits) {
  expect_bits_of_whole(
      {{0, 2, 0, 10}, {0, 2, 10, kSteps}, {2, kBatch, 0, 1}, {2, kBatch, 1, kSteps}});
}

// A caller that forgets the position gets another causal mask and other draws.
TEST_P(StreamingTest, WithoutThePositionResultsDiffer) {
  for (const Part part : {Part{0, kBatch, 4, kSteps}, Part{2, kBatch, 0, kSteps}}) {
    EXPECT_FALSE(same_bits(run(part).y, run(part, false).y));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, StreamingTest,
    ::testing::Combine(::testing::Values(Route::kFolded, Route::kProjected),
                       ::testing::Values(FullyMasked::kZero, FullyMasked::kUniform),
                       ::testing::Bool()),
    [](const auto& test) {
      return std::string(std::get<0>(test.param) == Route::kFolded ? "folded" : "projected") +
             (std::get<1>(test.param) == FullyMasked::kZero ? "_zero" : "_uniform") +
             (std::get<2>(test.param) ? "_masks" : "_causal");
    });

TEST(Streaming, AnInvalidPositionIsRefused) {
  const MemoryAugmentedAttention<float> layer({.units = 2, .memory_size = 3, .num_heads = 1});
  std::vector<float> x(2 * 3 * 2), y(x.size()), grad(layer.parameters().size());
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const auto refused = [&](const CallOptions& options) {
    const std::string forward =
        message_of([&] { layer.forward(x, {.batch = 2, .steps = 3}, y, options); });
    const std::string backward =
        message_of([&] { layer.backward(x, x, {.batch = 2, .steps = 3}, y, grad, options); });
    EXPECT_EQ("backward" + forward.substr(7), backward);
    return forward;
  };
  EXPECT_EQ(refused({.first_step = -1}), "forward: first_step: found -1, expected at least 0");
  EXPECT_EQ(refused({.first_sequence = -5}),
            "forward: first_sequence: found -5, expected at least 0");
  EXPECT_EQ(refused({.first_step = kMost - 2}),
            "forward: first_step: found 9223372036854775805, expected at most 2^63 - 1 - steps, "
            "with steps 3");
  EXPECT_EQ(refused({.first_sequence = kMost}),
            "forward: first_sequence: found 9223372036854775807, expected at most 2^63 - 1 - "
            "batch, with batch 2");
  // The last valid positions.
  layer.forward(x, {.batch = 2, .steps = 3}, y,
                {.use_causal_mask = true,
                 .training = true,
                 .first_step = kMost - 3,
                 .first_sequence = kMost - 2});
}

}  // namespace
}  // namespace memattn::testing
