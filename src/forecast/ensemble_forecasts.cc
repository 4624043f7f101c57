// Runs windows through the networks, and turns the outputs into values of each series.
#include "forecast/ensemble_forecasts.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace memattn {
namespace {

// The sizes of the forecasts from one origin.
struct Width {
  std::size_t outputs;
  std::size_t horizon;

  explicit Width(const PanelMember& member)
      : outputs(
            static_cast<std::size_t>(member.network().options().outputs / member.shape().horizon)),
        horizon(static_cast<std::size_t>(member.shape().horizon)) {}
  std::size_t size() const { return outputs * horizon; }
};

// Adds a member's forecasts less `baseline`, which may be the baseline of another lookback.
void add_forecasts(const OriginWindows<float>& windows, std::span<const double> baseline,
                   std::span<const float> output, const Width& width, std::span<double> forecasts) {
  for (std::size_t n = 0; n < windows.scale.size(); ++n) {
    for (std::size_t i = 0; i < width.size(); ++i) {
      const std::size_t place = n * width.horizon + i % width.horizon;
      forecasts[n * width.size() + i] +=
          windows.baseline[place] - baseline[place] +
          windows.scale[n] * static_cast<double>(output[n * width.size() + i]);
    }
  }
}

// Turns the sums of what the members add to the baseline into forecasts of values, with the
// quantiles in order.
void finish_forecasts(const Panel& panel, std::span<const Origin> origins,
                      std::span<const double> baseline, std::size_t members, const Width& width,
                      std::span<double> forecasts) {
  std::vector<double> quantiles(width.outputs);
  const auto count = static_cast<double>(members);
  for (std::size_t n = 0; n < origins.size(); ++n) {
    const PanelSeries& series = panel.at(origins[n]);
    double* const forecast = forecasts.data() + n * width.size();
    for (std::size_t k = 0; k < width.horizon; ++k) {
      for (std::size_t q = 0; q < width.outputs; ++q) {
        quantiles[q] = series.from_domain(
            baseline[n * width.horizon + k] + forecast[q * width.horizon + k] / count,
            origins[n].time);
      }
      std::ranges::sort(quantiles);
      for (std::size_t q = 0; q < width.outputs; ++q) {
        forecast[q * width.horizon + k] = quantiles[q];
      }
    }
  }
}

}  // namespace

void forecast_ensemble(const Panel& panel, std::span<const Origin> origins,
                       std::span<const PanelMember> members, std::span<double> forecasts,
                       InterruptibleWork& work, std::span<const Origin> donors,
                       Precision precision) {
  const Width width(members.front());
  OriginWindows<float> windows, read;
  MemoryNetworkActivations<float> activations;
  std::vector<float> output(forecasts.size());
  std::vector<double> baseline;  // of the first member
  std::ranges::fill(forecasts, 0.0);
  for (std::size_t m = 0; m < members.size(); ++m) {
    work.check();
    if (m == 0 || members[m].shape().lookback != members[m - 1].shape().lookback) {
      make_windows(panel, members[m].shape(), origins, windows);
      if (!donors.empty()) make_windows(panel, members[m].shape(), donors, read);
      if (m == 0) baseline = windows.baseline;
    }
    // A copy, since other threads may use the member in float32 at the same time.
    std::optional<MemoryNetwork<float>> rounded;
    if (precision != Precision::kFloat32) {
      rounded = members[m].network();
      rounded->set_precision(precision);
    }
    const MemoryNetwork<float>& network = rounded ? *rounded : members[m].network();
    if (donors.empty()) {
      network.predict(inputs_of(windows), output, activations);
    } else {
      network.predict_with_reads_of(inputs_of(read), inputs_of(windows), output, activations);
    }
    add_forecasts(windows, baseline, output, width, forecasts);
  }
  finish_forecasts(panel, origins, baseline, members.size(), width, forecasts);
}

void read_attention(const Panel& panel, std::span<const Origin> origins, const PanelMember& member,
                    std::span<float> scores) {
  OriginWindows<float> windows;
  MemoryNetworkActivations<float> activations;
  std::vector<float> output(origins.size() * Width(member).size());
  make_windows(panel, member.shape(), origins, windows);
  member.network().predict(inputs_of(windows), output, activations, nullptr, scores);
}

void forecast_without_slots(const Panel& panel, std::span<const Origin> origins,
                            const PanelMember& member, std::int64_t layer,
                            std::span<double> forecasts, std::size_t slot_stride,
                            InterruptibleWork& work) {
  const Width width(member);
  OriginWindows<float> windows;
  MemoryNetworkActivations<float> activations;
  std::vector<float> output(origins.size() * width.size());
  make_windows(panel, member.shape(), origins, windows);
  for (std::int64_t slot = 0; slot < member.network().options().memory_size; ++slot) {
    work.check();
    const SlotLeftOut left_out{layer, slot};
    member.network().predict(inputs_of(windows), output, activations, &left_out);
    const std::span<double> some =
        forecasts.subspan(static_cast<std::size_t>(slot) * slot_stride, output.size());
    std::ranges::fill(some, 0.0);
    add_forecasts(windows, windows.baseline, output, width, some);
    finish_forecasts(panel, origins, windows.baseline, 1, width, some);
  }
}

}  // namespace memattn
