#include "fma_peak.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <stdexcept>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/fma_peak.cc"
// In this order, since the first include compiles the rest of this file once per instruction set.
// clang-format off
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A latency of 4 and two units per cycle need 8 chains. 12 leave a margin, and with the two
// constants they still fit the 16 registers of AVX2.
constexpr std::int64_t kChains = 12;

// Returns the flops of one round over all chains.
std::int64_t flops_per_round() {
  return 2 * kChains * static_cast<std::int64_t>(hn::Lanes(hn::ScalableTag<float>()));
}

// start: a factor, an addend and one value per chain. The compiler knows none of them, so it can
// neither merge chains nor compute them in advance. The sum of the results keeps every chain alive.
// (SVE's vectors have no fixed size, so arrays cannot hold them.)
float fma_chains(const float* HWY_RESTRICT start, std::int64_t rounds) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, start[0]);
  const auto addend = hn::Set(d, start[1]);
  auto c0 = hn::Set(d, start[2]);
  auto c1 = hn::Set(d, start[3]);
  auto c2 = hn::Set(d, start[4]);
  auto c3 = hn::Set(d, start[5]);
  auto c4 = hn::Set(d, start[6]);
  auto c5 = hn::Set(d, start[7]);
  auto c6 = hn::Set(d, start[8]);
  auto c7 = hn::Set(d, start[9]);
  auto c8 = hn::Set(d, start[10]);
  auto c9 = hn::Set(d, start[11]);
  auto c10 = hn::Set(d, start[12]);
  auto c11 = hn::Set(d, start[13]);
  for (std::int64_t round = 0; round < rounds; ++round) {
    c0 = hn::MulAdd(c0, factor, addend);
    c1 = hn::MulAdd(c1, factor, addend);
    c2 = hn::MulAdd(c2, factor, addend);
    c3 = hn::MulAdd(c3, factor, addend);
    c4 = hn::MulAdd(c4, factor, addend);
    c5 = hn::MulAdd(c5, factor, addend);
    c6 = hn::MulAdd(c6, factor, addend);
    c7 = hn::MulAdd(c7, factor, addend);
    c8 = hn::MulAdd(c8, factor, addend);
    c9 = hn::MulAdd(c9, factor, addend);
    c10 = hn::MulAdd(c10, factor, addend);
    c11 = hn::MulAdd(c11, factor, addend);
  }
  const auto low = hn::Add(hn::Add(hn::Add(c0, c1), hn::Add(c2, c3)), hn::Add(c4, c5));
  const auto high = hn::Add(hn::Add(hn::Add(c6, c7), hn::Add(c8, c9)), hn::Add(c10, c11));
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(low, high)));
}

}  // namespace HWY_NAMESPACE
}  // namespace bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bench {
namespace {

HWY_EXPORT(flops_per_round);
HWY_EXPORT(fma_chains);

std::string lower_name(std::int64_t target) {
  std::string name = hwy::TargetName(target);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

// Returns the index of `target` in the tables of HWY_EXPORT. It uses its own ChosenTarget, since
// the global one is shared by the whole process, including the library under test.
std::size_t table_index([[maybe_unused]] std::int64_t target) {
#if (HWY_TARGETS & (HWY_TARGETS - 1)) == 0
  return 0;
#else
  hwy::ChosenTarget chosen;
  chosen.Update(target);
  return chosen.GetIndex();
#endif
}

std::size_t find_target(std::string_view name) {
  const std::vector<std::int64_t> targets = hwy::SupportedAndGeneratedTargets();
  for (const std::int64_t target : targets) {
    if (lower_name(target) == name) return table_index(target);
  }
  // The library's name for its fallback; Highway's own are emu128 and scalar.
  if (name == "scalar") return table_index(targets.back());
  std::string message = "fma_peak: target: found " + std::string(name) + ", expected one of";
  for (const std::string& known : fma_targets()) message += " " + known;
  throw std::invalid_argument(message);
}

}  // namespace

std::vector<std::string> fma_targets() {
  std::vector<std::string> names;
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    names.push_back(lower_name(target));
  }
  return names;
}

std::string default_fma_target() {
  const char* forced = std::getenv("MEMATTN_FORCE_ISA");
  std::string target = forced != nullptr && *forced != '\0' ? forced : fma_targets().front();
  if (target == "avx3_bf16") target = "avx3";  // the same multiply-adds
  return target;
}

FmaChains::FmaChains(std::string_view target) : index_(find_target(target)) {}

std::int64_t FmaChains::run() const {
  constexpr std::int64_t kRounds = 50'000;
  constexpr std::size_t kStart = 14;
  volatile float factor = 0.75F;
  float start[kStart] = {factor, 0.5F};
  for (std::size_t chain = 2; chain < kStart; ++chain) {
    start[chain] = factor + 0.125F * static_cast<float>(chain);
  }
  volatile float sink = HWY_DISPATCH_TABLE(fma_chains)[index_](start, kRounds);
  static_cast<void>(sink);
  return HWY_DISPATCH_TABLE(flops_per_round)[index_]() * kRounds;
}

double fma_peak(std::string_view target) {
  using Clock = std::chrono::steady_clock;
  constexpr int kRuns = 500;
  const FmaChains chains(target);
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    const Clock::time_point begin = Clock::now();
    const std::int64_t flops = chains.run();
    const std::chrono::duration<double> seconds = Clock::now() - begin;
    best = std::max(best, static_cast<double>(flops) / seconds.count());
  }
  return best;
}

}  // namespace bench
#endif  // HWY_ONCE
