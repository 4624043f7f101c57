// Losses by hand, and their gradients.
#include "train/loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

namespace memattn {
namespace {

template <typename T>
class LossTest : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(LossTest, Types);

TYPED_TEST(LossTest, MeanSquaredErrorByHand) {
  using T = TypeParam;
  const std::vector<T> predictions = {1, 2, -3, 0.5}, targets = {1, 0, 1, 1};
  std::vector<T> grad(4, 99);
  EXPECT_EQ((mean_squared_error<T>(predictions, targets)), (0 + 4 + 16 + 0.25) / 4);
  mean_squared_error_backward<T>(predictions, targets, grad);
  EXPECT_EQ(grad, (std::vector<T>{0, 1, -2, -0.25}));  // 2 / 4 * error
}

TYPED_TEST(LossTest, HuberOnBothSidesAndAtTheJoint) {
  using T = TypeParam;
  const double delta = 2;
  // Errors 0, +-1 (square), +-2 (the joint), +-4 (straight), one at a time.
  const std::vector<T> errors = {0, 1, -1, 2, -2, 4, -4};
  const std::vector<double> values = {0, 0.5, 0.5, 2, 2, 6, 6};
  const std::vector<T> slopes = {0, 1, -1, 2, -2, 2, -2};
  for (std::size_t i = 0; i < errors.size(); ++i) {
    const std::vector<T> predictions = {T(10) + errors[i]}, targets = {10};
    std::vector<T> grad(1, 99);
    EXPECT_EQ((huber<T>(predictions, targets, delta)), values[i]) << errors[i];
    huber_backward<T>(predictions, targets, delta, grad);
    EXPECT_EQ(grad[0], slopes[i]) << errors[i];
  }
}

TYPED_TEST(LossTest, HuberIsAMeanOverAllElements) {
  using T = TypeParam;
  const std::vector<T> predictions = {1, 5, -8, 0}, targets = {0, 0, 0, 0};
  std::vector<T> grad(4);
  EXPECT_EQ((huber<T>(predictions, targets, 1)), (0.5 + 4.5 + 7.5 + 0) / 4);
  huber_backward<T>(predictions, targets, 1, grad);
  EXPECT_EQ(grad, (std::vector<T>{0.25, 0.25, -0.25, 0}));
}

// Value and slope meet at the joint: the central difference across it is the slope to second order.
TEST(Huber, IsSmoothAcrossTheJoint) {
  const std::vector<double> target = {0.3};
  const double delta = 0.7, h = 1e-4;
  for (const double side : {-1.0, 1.0}) {
    const double at = 0.3 + side * delta;
    const std::vector<double> above = {at + h}, below = {at - h}, here = {at};
    std::vector<double> grad(1);
    huber_backward<double>(here, target, delta, grad);
    const double slope =
        (huber<double>(above, target, delta) - huber<double>(below, target, delta)) / (2 * h);
    EXPECT_TRUE(std::abs(slope - grad[0]) <= h) << slope << " for " << grad[0];
    EXPECT_TRUE(std::abs(grad[0] - side * delta) <= 1e-15);
  }
}

TYPED_TEST(LossTest, NanGoesThroughAndStaysAlone) {
  using T = TypeParam;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const std::vector<T> predictions = {nan, 1}, targets = {0, 0};
  std::vector<T> grad(2);
  EXPECT_TRUE(std::isnan((huber<T>(predictions, targets, 1))));
  EXPECT_TRUE(std::isnan((mean_squared_error<T>(predictions, targets))));
  huber_backward<T>(predictions, targets, 1, grad);
  EXPECT_TRUE(std::isnan(grad[0]));
  EXPECT_EQ(grad[1], T(0.5));
  mean_squared_error_backward<T>(predictions, targets, grad);
  EXPECT_TRUE(std::isnan(grad[0]));
  EXPECT_EQ(grad[1], T(1));
}

TEST(Loss, LengthsAndDeltaAreChecked) {
  const std::vector<double> two = {1, 2}, three = {1, 2, 3}, none;
  std::vector<double> grad_two(2), grad_three(3);
  EXPECT_THROW(mean_squared_error<double>(two, three), std::invalid_argument);
  EXPECT_THROW(mean_squared_error<double>(none, none), std::invalid_argument);
  EXPECT_THROW(mean_squared_error_backward<double>(two, three, grad_two), std::invalid_argument);
  EXPECT_THROW(mean_squared_error_backward<double>(two, two, grad_three), std::invalid_argument);
  EXPECT_THROW(huber<double>(two, three, 1), std::invalid_argument);
  EXPECT_THROW(huber<double>(none, none, 1), std::invalid_argument);
  EXPECT_THROW(huber_backward<double>(two, three, 1, grad_two), std::invalid_argument);
  EXPECT_THROW(huber_backward<double>(two, two, 1, grad_three), std::invalid_argument);
  for (const double delta : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(),
                             std::numeric_limits<double>::infinity()}) {
    EXPECT_THROW(huber<double>(two, two, delta), std::invalid_argument);
    EXPECT_THROW(huber_backward<double>(two, two, delta, grad_two), std::invalid_argument);
  }
}

}  // namespace
}  // namespace memattn
