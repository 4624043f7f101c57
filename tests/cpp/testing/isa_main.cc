// The main function of tests that depend on the instruction set. Without MEMATTN_FORCE_ISA, the
// tests run once for each set that this machine and this build support, or only for the best one if
// MEMATTN_TEST_BEST_ISA is set, each in its own process with that set forced. They fail if a set
// other than the forced one computes.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/isa.h"
#include "kernels/kernel_table.h"

namespace {

int run_tests(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

// Returns whether the tests pass in their own process with `isa` forced. A fork is enough, since
// nothing has read MEMATTN_FORCE_ISA yet; an emulated program could not run itself again.
bool passes_with(const std::string& isa, int argc, char** argv) {
  std::printf("[   ISA    ] %s\n", isa.c_str());
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    setenv("MEMATTN_FORCE_ISA", isa.c_str(), 1);
    std::exit(run_tests(argc, argv));
  }
  int status = 0;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

TEST(InstructionSet, IsTheForcedOne) {
  const std::string forced = memattn::kernels::forced_isa();
  EXPECT_EQ(memattn::kernels::chosen_kernels<float>().isa, forced);
  EXPECT_EQ(memattn::kernels::chosen_kernels<double>().isa, forced);
}

}  // namespace

int main(int argc, char** argv) {
  const char* forced = std::getenv("MEMATTN_FORCE_ISA");
  if (forced && *forced) return run_tests(argc, argv);
  auto isas = memattn::kernels::available_isas();
  if (std::getenv("MEMATTN_TEST_BEST_ISA")) isas.resize(1);
  bool passed = !isas.empty();
  for (const std::string_view isa : isas) {
    passed = passes_with(std::string(isa), argc, argv) && passed;
  }
  return passed ? 0 : 1;
}
