// The source of the number of threads, with texts that Linux writes and texts that it never would.
#include "kernels/thread_count.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>

#include "memattn/threads.h"

namespace memattn::kernels {
namespace {

std::string message_of(const char* variable) {
  try {
    default_thread_count(variable);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "nothing thrown";
}

TEST(ThreadCount, TheVariableSetsTheNumber) {
  EXPECT_EQ(default_thread_count("1"), 1);
  EXPECT_EQ(default_thread_count("7"), 7);
  EXPECT_EQ(default_thread_count("1024"), 1024);
}

TEST(ThreadCount, ABadVariableIsAnError) {
  for (const char* bad : {"", " ", "0", "-1", "1025", "+2", " 2", "2 ", "2.0", "0x2", "two",
                          "99999999999999999999"}) {
    EXPECT_EQ(message_of(bad), std::string("num_threads: MEMATTN_NUM_THREADS: found \"") + bad +
                                   "\", expected a whole number from 1 to 1024");
  }
}

TEST(ThreadCount, AHostileVariableGivesAShortPrintableMessage) {
  EXPECT_EQ(message_of("\n\xff"),
            "num_threads: MEMATTN_NUM_THREADS: found \"??\", expected a whole number from 1 to "
            "1024");
  EXPECT_LT(message_of(std::string(100'000, 'x').c_str()).size(), 200u);
}

TEST(ThreadCount, WithoutTheVariableIsAtMostTheAffinityMask) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  EXPECT_GE(default_thread_count(nullptr), 1);
  EXPECT_LE(default_thread_count(nullptr), CPU_COUNT(&before));

  CPU_ZERO(&one);
  for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(default_thread_count(nullptr), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}

// The first use in a process: a "threadsafe" death test runs its statement in a new process.
TEST(ThreadCountDeathTest, TheFirstUseReadsTheVariable) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ASSERT_EQ(setenv("MEMATTN_NUM_THREADS", "3", 1), 0);
  EXPECT_EXIT(
      {
        const bool first = num_threads() == 3;
        setenv("MEMATTN_NUM_THREADS", "5", 1);
        std::exit(first && num_threads() == 3 ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
  ASSERT_EQ(unsetenv("MEMATTN_NUM_THREADS"), 0);
}

TEST(ThreadCountDeathTest, ABadVariableFailsEveryUseUntilTheProgramChooses) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ASSERT_EQ(setenv("MEMATTN_NUM_THREADS", "many", 1), 0);
  EXPECT_EXIT(
      {
        int errors = 0;
        for (int i = 0; i < 2; ++i) {
          try {
            static_cast<void>(num_threads());
          } catch (const std::invalid_argument&) {
            ++errors;
          }
        }
        set_num_threads(2);
        std::exit(errors == 2 && num_threads() == 2 ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
  ASSERT_EQ(unsetenv("MEMATTN_NUM_THREADS"), 0);
}

TEST(ThreadCount, ALimitAppliesToItsThreadAndLifetime) {
  set_num_threads(8);
  {
    const ThreadLimit outer(3);
    EXPECT_EQ(thread_count(), 3);
    EXPECT_EQ(num_threads(), 8);  // the setting has not changed
    {
      const ThreadLimit inner(2), wider(5);
      EXPECT_EQ(thread_count(), 2);
    }
    EXPECT_EQ(thread_count(), 3);
    std::thread([] { EXPECT_EQ(thread_count(), 8); }).join();
    set_num_threads(2);
    EXPECT_EQ(thread_count(), 2);
    set_num_threads(8);
  }
  EXPECT_EQ(thread_count(), 8);
  try {
    const ThreadLimit none(0);
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "ThreadLimit: threads: found 0, expected at least 1");
  }
  EXPECT_EQ(thread_count(), 8);
}

TEST(ThreadCount, TheProgramOverridesTheVariable) {
  for (const int threads : {1, 1024, 5}) {
    set_num_threads(threads);
    EXPECT_EQ(num_threads(), threads);
  }
  for (const int bad : {0, -1, 1025}) {
    try {
      set_num_threads(bad);
      FAIL() << bad;
    } catch (const std::invalid_argument& error) {
      EXPECT_EQ(error.what(),
                "set_num_threads: threads: found " + std::to_string(bad) + ", expected 1 to 1024");
    }
  }
  EXPECT_EQ(num_threads(), 5);
}

// ---- control groups

using Files = std::map<std::string, std::string>;

std::optional<int> limit(const Files& files) {
  return cgroup_cpu_limit([&](const std::string& path) -> std::optional<std::string> {
    const auto file = files.find(path);
    return file == files.end() ? std::nullopt : std::optional(file->second);
  });
}

const char* const kMountV2 =
    "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const char* const kMountV1 =
    "25 18 0:22 / /sys rw,nosuid - sysfs sysfs rw\n"
    "31 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "30 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n";

std::optional<int> limit_v2(const std::string& cpu_max) {
  return limit({{"/proc/self/cgroup", "0::/\n"},
                {"/proc/self/mountinfo", kMountV2},
                {"/sys/fs/cgroup/cpu.max", cpu_max}});
}

std::optional<int> limit_v1(const std::string& quota, const std::string& period) {
  const std::string folder = "/sys/fs/cgroup/cpu,cpuacct/user/job";
  return limit({{"/proc/self/cgroup", "9:memory:/elsewhere\n4:cpu,cpuacct:/user/job\n0::/\n"},
                {"/proc/self/mountinfo", kMountV1},
                {folder + "/cpu.cfs_quota_us", quota},
                {folder + "/cpu.cfs_period_us", period}});
}

TEST(CgroupCpuLimit, Version2RoundsUp) {
  EXPECT_EQ(limit_v2("200000 100000\n"), 2);
  EXPECT_EQ(limit_v2("200001 100000\n"), 3);
  EXPECT_EQ(limit_v2("150000 100000"), 2);
  EXPECT_EQ(limit_v2("1000 100000\n"), 1);
  EXPECT_EQ(limit_v2("9223372036854775807 1\n"), kMaxThreads);
}

TEST(CgroupCpuLimit, Version2WithoutAValidQuotaIsNoLimit) {
  for (const char* text :
       {"max 100000\n", "max\n", "", "\n", " ", "100000\n", "1 2 3\n", "-1 5\n", "0 100000\n",
        "100000 0\n", "5 -5\n", "1e5 1e5\n", "a b\n", "99999999999999999999 1\n"}) {
    EXPECT_EQ(limit_v2(text), std::nullopt) << text;
  }
}

TEST(CgroupCpuLimit, Version1RoundsUp) {
  EXPECT_EQ(limit_v1("250000\n", "100000\n"), 3);
  EXPECT_EQ(limit_v1("-1\n", "100000\n"), std::nullopt);
  EXPECT_EQ(limit_v1("", "100000\n"), std::nullopt);
  EXPECT_EQ(limit_v1("100000\n", "0\n"), std::nullopt);
  EXPECT_EQ(limit_v1("100000\n", "x\n"), std::nullopt);
}

TEST(CgroupCpuLimit, IsTheLeastOverTheGroupAndItsParents) {
  Files files = {{"/proc/self/cgroup", "0::/a/b/c\n"}, {"/proc/self/mountinfo", kMountV2}};
  EXPECT_EQ(limit(files), std::nullopt);
  files["/sys/fs/cgroup/a/b/c/cpu.max"] = "700000 100000\n";
  EXPECT_EQ(limit(files), 7);
  files["/sys/fs/cgroup/a/cpu.max"] = "400000 100000\n";
  EXPECT_EQ(limit(files), 4);
  files["/sys/fs/cgroup/a/b/cpu.max"] = "max 100000\n";
  EXPECT_EQ(limit(files), 4);
  files["/sys/fs/cgroup/cpu.max"] = "300000 100000\n";
  EXPECT_EQ(limit(files), 3);
}

TEST(CgroupCpuLimit, WorksInAContainerThatSeesOnlyItsOwnGroup) {
  // The mount shows the container's group; /proc/self/cgroup names it as the host does.
  Files files = {{"/proc/self/cgroup", "4:cpu:/docker/42/inner\n"},
                 {"/proc/self/mountinfo",
                  "30 25 0:27 /docker/42 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"},
                 {"/sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "200000\n"},
                 {"/sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000\n"}};
  EXPECT_EQ(limit(files), 2);
  files["/sys/fs/cgroup/cpu/cpu.cfs_quota_us"] = "100000\n";
  files["/sys/fs/cgroup/cpu/cpu.cfs_period_us"] = "100000\n";
  EXPECT_EQ(limit(files), 1);
  for (const char* outside : {"4:cpu:/other\n", "4:cpu:/../..\n", "4:cpu:/docker/420\n"}) {
    files["/proc/self/cgroup"] = outside;
    EXPECT_EQ(limit(files), 1) << outside;
  }
}

TEST(CgroupCpuLimit, AcceptsAMountPointWithABlank) {
  EXPECT_EQ(limit({{"/proc/self/cgroup", "0::/\n"},
                   {"/proc/self/mountinfo", "29 23 0:26 / /my\\040groups rw - cgroup2 none rw\n"},
                   {"/my groups/cpu.max", "500000 100000\n"}}),
            5);
}

TEST(CgroupCpuLimit, MissingOrBrokenFilesAreNoLimit) {
  EXPECT_EQ(limit({}), std::nullopt);
  EXPECT_EQ(limit({{"/proc/self/cgroup", "0::/\n"}}), std::nullopt);
  for (const char* groups : {"", "\n", ":", "::", "0:", "0::", "x", "0::relative\n", "4:cpu\n"}) {
    for (const char* mounts : {"", "\n", "-", " - ", "1 2 3 4 5 6 -", "1 2 3 4 5 6 - cgroup2",
                               "1 2 3 / /\\0 6 - cgroup2 x y", "1 2 3 / /\\ 6 - cgroup x cpu"}) {
      EXPECT_EQ(limit({{"/proc/self/cgroup", groups}, {"/proc/self/mountinfo", mounts}}),
                std::nullopt);
    }
  }
}

}  // namespace
}  // namespace memattn::kernels
