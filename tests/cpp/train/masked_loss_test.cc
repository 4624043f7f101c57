// Masked losses against values by hand, and their gradients against central differences.
#include "train/masked_loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "testing/arrays.h"

namespace memattn {
namespace {

const std::vector<MaskedLoss> kLosses = {
    {ErrorLoss::kSmape}, {ErrorLoss::kMae}, {ErrorLoss::kHuber, 0.5}, {ErrorLoss::kPinball, 0.8}};

double value_at(const MaskedLoss& loss, double error) {
  const std::vector<double> errors = {error};
  const std::vector<std::uint8_t> counts = {1};
  std::vector<double> grad(1);
  return loss.operator()<double>(errors, counts, grad);
}

TEST(MaskedLoss, SmapeOfLogsEqualsSmapeOfValues) {
  for (const auto& [forecast, truth] : {std::pair{3.0, 5.0}, {7.0, 0.1}, {2.0, 2.0}, {1e9, 1.0}}) {
    const double smape = 2 * std::abs(forecast - truth) / (forecast + truth);
    const double found = value_at(kLosses[0], std::log(forecast) - std::log(truth));
    EXPECT_TRUE(std::abs(found - smape) <= 1e-14) << found << " for " << smape;
  }
}

TEST(MaskedLoss, EqualsValuesByHand) {
  EXPECT_EQ(value_at(kLosses[1], -3), 3);
  EXPECT_EQ(value_at(kLosses[2], 0.4), 0.4 * 0.4 / 2);
  EXPECT_EQ(value_at(kLosses[2], -2), 0.5 * (2 - 0.25));
  EXPECT_NEAR(value_at(kLosses[3], 2), 0.2 * 2, 1e-15);
  EXPECT_NEAR(value_at(kLosses[3], -2), 0.8 * 2, 1e-15);
}

TEST(MaskedLoss, GradientEqualsCentralDifferencesAndMaskedErrorsDoNotCount) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> errors = {0.3, nan, -1.7, 0.05, 1e300, -0.2, 4};
  const std::vector<std::uint8_t> counts = {1, 0, 1, 1, 0, 1, 1};
  for (const MaskedLoss& loss : kLosses) {
    std::vector<double> grad(errors.size(), 99);
    const double value = loss.operator()<double>(errors, counts, grad);
    double sum = 0;
    for (std::size_t i = 0; i < errors.size(); ++i) {
      if (counts[i] == 0) {
        EXPECT_EQ(grad[i], 0);
        continue;
      }
      sum += value_at(loss, errors[i]) / 5;
      const double slope =
          (value_at(loss, errors[i] + 1e-6) - value_at(loss, errors[i] - 1e-6)) / 2e-6 / 5;
      EXPECT_TRUE(std::abs(grad[i] - slope) <= 1e-9) << grad[i] << " for " << slope;
    }
    EXPECT_TRUE(std::abs(value - sum) <= 1e-15) << value << " for " << sum;
  }
}

TEST(MaskedLoss, IsZeroIfNoErrorCounts) {
  const std::vector<float> errors = {1, 2};
  const std::vector<std::uint8_t> counts = {0, 0};
  for (const MaskedLoss& loss : kLosses) {
    std::vector<float> grad = {9, 9};
    EXPECT_EQ(loss.operator()<float>(errors, counts, grad), 0);
    EXPECT_EQ(grad, (std::vector<float>{0, 0}));
  }
}

TEST(MaskedLoss, IsNanIfACountedErrorIsNan) {
  const std::vector<float> errors = {std::numeric_limits<float>::quiet_NaN()};
  const std::vector<std::uint8_t> counts = {1};
  for (const MaskedLoss& loss : kLosses) {
    std::vector<float> grad = {9};
    EXPECT_TRUE(std::isnan(loss.operator()<float>(errors, counts, grad)));
    EXPECT_TRUE(std::isnan(grad[0]));
  }
}

TEST(MaskedLoss, InvalidOptionsAreRefused) {
  const std::vector<double> errors = {1, 2};
  const std::vector<std::uint8_t> counts = {1, 1};
  std::vector<double> grad = {9, 9};
  const auto refused = [&](ErrorLoss kind, double parameter) {
    return testing::message_of(
        [&] { MaskedLoss{kind, parameter}.operator()<double>(errors, counts, grad); });
  };
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {0.0, -1.0, nan, infinity, 1e39}) {
    EXPECT_TRUE(refused(ErrorLoss::kHuber, bad).starts_with("MaskedLoss: parameter (delta)"))
        << bad;
  }
  for (const double bad : {0.0, 1.0, -0.5, nan, infinity}) {
    EXPECT_TRUE(refused(ErrorLoss::kPinball, bad).starts_with("MaskedLoss: parameter (q)")) << bad;
  }
  EXPECT_EQ(refused(static_cast<ErrorLoss>(4), 0.5),
            "MaskedLoss: kind: found 4, expected one of ErrorLoss");
  EXPECT_EQ(grad, (std::vector<double>{9, 9}));
}

TEST(MaskedLoss, DifferentLengthsAreRefused) {
  const std::vector<float> errors = {1, 2};
  const std::vector<std::uint8_t> counts = {1};
  std::vector<float> grad(2);
  EXPECT_THROW(kLosses[0].operator()<float>(errors, counts, grad), std::invalid_argument);
}

}  // namespace
}  // namespace memattn
