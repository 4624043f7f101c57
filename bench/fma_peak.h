// What one core can do at most: float32 chains of multiply-adds, on each instruction set that the
// machine has. The ceiling that the benchmarks give shares of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

// Highway's names in lower case, the best first: "avx3", "avx2", ...
std::vector<std::string> fma_targets();

// The one that MEMATTN_FORCE_ISA names, as for the library, or else the best.
std::string default_fma_target();

// The chains of one target. Finding the target asks the processor what it can do, which takes a
// fifth of run()'s time in a virtual machine, and so is done once.
class FmaChains {
 public:
  // Throws std::invalid_argument when the machine has no such target.
  explicit FmaChains(std::string_view target);

  // Runs for about a tenth of a millisecond and returns the flops done, a multiply-add counting 2.
  std::int64_t run() const;

 private:
  std::size_t index_;  // into the tables of functions
};

// The best of many runs of the chains, in flop/s: what nothing of this thread can exceed.
double fma_peak(std::string_view target);

}  // namespace bench
