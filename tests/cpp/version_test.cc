// The version: text and numbers say the same.
#include "memattn/version.h"

#include <gtest/gtest.h>

#include <string>

namespace memattn {
namespace {

TEST(Version, TextAndNumbersAgree) {
  EXPECT_EQ(std::string(MEMATTN_VERSION), std::to_string(MEMATTN_VERSION_MAJOR) + "." +
                                              std::to_string(MEMATTN_VERSION_MINOR) + "." +
                                              std::to_string(MEMATTN_VERSION_PATCH));
  EXPECT_EQ(std::string(version()), MEMATTN_VERSION);
  EXPECT_LT(MEMATTN_VERSION_MINOR, 100);
  EXPECT_LT(MEMATTN_VERSION_PATCH, 100);
}

#if MEMATTN_VERSION_NUMBER < 100
#error "MEMATTN_VERSION_NUMBER must be comparable in the preprocessor, and 0.1.0 is 100"
#endif

}  // namespace
}  // namespace memattn
