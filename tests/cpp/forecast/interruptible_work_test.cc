// Bodies that throw, and callers that interrupt their work.
#include "forecast/interruptible_work.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

#include "memattn/threads.h"

namespace memattn {
namespace {

class InterruptibleWorkTest : public ::testing::TestWithParam<int> {
 protected:
  InterruptibleWorkTest() : limit_(GetParam()) {}

 private:
  ThreadLimit limit_;
};

TEST_P(InterruptibleWorkTest, RunsEachBodyOnce) {
  std::atomic<int> sum{0};
  InterruptibleWork().run(100, [&](std::int64_t i) { sum += static_cast<int>(i); });
  EXPECT_EQ(sum, 4950);
}

TEST_P(InterruptibleWorkTest, RethrowsTheExceptionOfABodyAndBeginsNoOther) {
  std::atomic<int> begun{0};
  const auto run = [&] {
    InterruptibleWork().run(100'000, [&](std::int64_t) {
      ++begun;
      throw std::domain_error("mine");
    });
  };
  EXPECT_THROW(run(), std::domain_error);
  EXPECT_LE(begun, GetParam());
}

TEST_P(InterruptibleWorkTest, PollEndsBodiesBetweenTheirParts) {
  const std::thread::id caller = std::this_thread::get_id();
  std::atomic<int> polls{0}, polls_elsewhere{0}, checks_elsewhere{0};
  const auto latest = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  const std::function<void()> poll = [&] {
    polls_elsewhere += std::this_thread::get_id() != caller;
    ++polls;
    // Not before another thread has checked, if one takes part.
    const bool shared = GetParam() == 1 || checks_elsewhere > 3;
    if (polls >= 5 && (shared || std::chrono::steady_clock::now() > latest)) {
      throw std::domain_error("ended");
    }
  };
  InterruptibleWork work(poll);
  // Without an end, each body would run forever.
  const auto run = [&] {
    work.run(GetParam(), [&](std::int64_t) {
      for (;;) {
        work.check();
        checks_elsewhere += std::this_thread::get_id() != caller;
      }
    });
  };
  EXPECT_THROW(run(), std::domain_error);
  EXPECT_GE(polls, 5);
  EXPECT_EQ(polls_elsewhere, 0);
}

INSTANTIATE_TEST_SUITE_P(Threads, InterruptibleWorkTest, ::testing::Values(1, 2, 4));

}  // namespace
}  // namespace memattn
