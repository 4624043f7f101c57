// Forecasts the sales of many shops a week ahead, with and without their promotions. The next
// promotions are planned, so they are known when the forecast is made. Past sales do not show them.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <random>
#include <vector>

#include "memattn/panel_forecaster.h"

namespace {

constexpr std::size_t kShops = 40, kDays = 140, kHorizon = 7;

// Sales rise by 60 % on days of a promotion. Forecasts are compared with the sales after kDays.
struct Shops {
  std::vector<double> known;             // the first kDays of each shop
  std::vector<double> ahead;             // the kHorizon days after them
  std::vector<std::int64_t> offsets{0};  // of each shop in `known`
  std::vector<float> promotions;         // kDays + kHorizon rows of each shop: 1 with a promotion

  Shops() {
    std::mt19937 random(1);
    for (std::size_t shop = 0; shop < kShops; ++shop) {
      const double level = 20.0 + static_cast<double>(random() % 200);
      for (std::size_t day = 0; day < kDays + kHorizon; ++day) {
        const bool promotion = random() % 6 == 0;
        const double noise = 0.9 + static_cast<double>(random() % 1000) / 5000.0;
        const double sales = level * noise * (day % 7 >= 5 ? 1.4 : 1.0) * (promotion ? 1.6 : 1.0);
        (day < kDays ? known : ahead).push_back(sales);
        promotions.push_back(promotion ? 1.0f : 0.0f);
      }
      offsets.push_back(static_cast<std::int64_t>(known.size()));
    }
  }
};

// Returns the sum of |forecast - sales| over the sum of sales.
double error_of(memattn::PanelForecasterOptions options, const memattn::SeriesView& series,
                const std::vector<double>& ahead) {
  options.horizon = kHorizon;
  options.season = 7;
  options.lookbacks = {28};
  options.min_history = 28;
  memattn::PanelForecaster forecaster(options);
  forecaster.fit(series);

  std::vector<std::int64_t> shops, times;  // origins at the end of each shop
  for (std::size_t shop = 0; shop < kShops; ++shop) {
    shops.push_back(static_cast<std::int64_t>(shop));
    times.push_back(kDays);
  }
  std::vector<double> forecasts(kShops * kHorizon);
  forecaster.predict(series, {shops, times}, forecasts);
  double error = 0, total = 0;
  for (std::size_t i = 0; i < ahead.size(); ++i) {
    error += std::abs(forecasts[i] - ahead[i]);
    total += ahead[i];
  }
  return error / total;
}

int run() {
  const Shops shops;
  memattn::PanelForecasterOptions options;
  const double without = error_of(options, {shops.known, shops.offsets}, shops.ahead);
  options.covariates = 1;  // the columns of the table
  // The promotions of the week ahead and of the 28 days in the network's window.
  options.blocks = {{.first_column = 0, .columns = 1, .first_row = 0, .rows = kHorizon},
                    {.first_column = 0, .columns = 1, .first_row = -28, .rows = 28}};
  const double with =
      error_of(options, {shops.known, shops.offsets, shops.promotions}, shops.ahead);
  std::printf("error without promotions: %4.1f %%\nerror with promotions:    %4.1f %%\n",
              100 * without, 100 * with);
  return with < 0.8 * without ? 0 : 1;
}

}  // namespace

int main() {
  try {
    return run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
