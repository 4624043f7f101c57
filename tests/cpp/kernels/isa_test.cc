// The choice of the instruction set: the best that is there, or the one that is forced.
#include "kernels/isa.h"

#include <gtest/gtest.h>

#include <array>

#include "testing/arrays.h"

namespace memattn::kernels {
namespace {

using testing::message_of;

constexpr std::array<std::string_view, 3> kCompiled = {"unheard-of", "scalar", "also-unheard-of"};

TEST(Isa, TakesTheFirstThatTheMachineSupports) {
  EXPECT_EQ(choose_isa(kCompiled, ""), "scalar");
  EXPECT_EQ(choose_isa(kCompiled, "scalar"), "scalar");
}

TEST(Isa, RefusesWhatIsUnknownOrUnsupported) {
  for (const std::string_view name : {"unheard-of", "SCALAR", "avx", "scalar "}) {
    EXPECT_EQ(message_of([&] { static_cast<void>(choose_isa(kCompiled, name)); }),
              "MEMATTN_FORCE_ISA: value: found \"" + std::string(name) +
                  "\", expected one that this machine and this build have: scalar");
  }
}

TEST(Isa, ScalarIsAlwaysThere) {
  ASSERT_FALSE(available_isas().empty());
  EXPECT_EQ(available_isas().back(), "scalar");
  for (const std::string_view name : available_isas()) EXPECT_TRUE(isa_supported(name));
}

}  // namespace
}  // namespace memattn::kernels
