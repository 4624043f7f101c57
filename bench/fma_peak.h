// The peak of one core: chains of float32 multiply-adds on each instruction set of the machine. The
// benchmarks report their speed as a share of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

// Returns Highway's names in lower case, the best first: "avx3", "avx2", ...
std::vector<std::string> fma_targets();

// Returns the target that MEMATTN_FORCE_ISA names, as in the library, or else the best one.
std::string default_fma_target();

// The chains of one target. The constructor finds the target: asking the processor takes a fifth of
// run()'s time in a virtual machine, so it is done once.
class FmaChains {
 public:
  // Throws std::invalid_argument if the machine has no such target.
  explicit FmaChains(std::string_view target);

  // Runs for about a tenth of a millisecond and returns the flops done, a multiply-add counting 2.
  std::int64_t run() const;

 private:
  std::size_t index_;  // into the tables of functions
};

// Returns the best of many runs in flop/s, an upper bound for anything on this thread.
double fma_peak(std::string_view target);

}  // namespace bench
