// Ensembles whose members have different numbers of memory layers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "forecast/panel_example.h"
#include "memattn/panel_forecaster.h"
#include "testing/arrays.h"

namespace memattn {
namespace {

using testing::message_of;

constexpr std::int64_t kDepths[] = {0, 2, 1};  // of the members of each lookback

PanelForecasterOptions mixed_options() {
  PanelForecasterOptions these = options();
  these.lookbacks = {7, 7, 4};
  these.member_layers = {std::begin(kDepths), std::end(kDepths)};
  these.pre_norm = true;
  these.dropout = 0.2;
  these.average_decay = 0.9;
  return these;
}

// A member's draws depend only on its index. So each member must equal, to the bit, the one with
// the same index in an ensemble whose members all have its depth.
TEST(PanelMemberLayers, EachMemberEqualsThatOfAnEnsembleOfItsDepth) {
  const Data series = data();
  const std::vector<std::int64_t> which = {0, 5, 11}, times = {30, 20, 41};
  const OriginsView origins{which, times};
  PanelForecaster mixed(mixed_options());
  ASSERT_TRUE(mixed.fit(series.view()));
  const PanelTrainingState state = mixed.training_state();
  std::int64_t weights = 0;
  for (std::int64_t place = 0; place < 3; ++place) {
    PanelForecasterOptions alike = mixed_options();
    alike.member_layers = {};
    alike.layers = kDepths[place];
    PanelForecaster same(alike);
    ASSERT_TRUE(same.fit(series.view()));
    for (std::int64_t member = 2 * place; member < 2 * place + 2; ++member) {
      SCOPED_TRACE(member);
      EXPECT_EQ(mixed.options().layers_of(member), alike.layers);
      const auto found = mixed.parameters(member), expected = same.parameters(member);
      EXPECT_TRUE(std::ranges::equal(found, expected));
      EXPECT_EQ(mixed_options().count_member_params()[static_cast<std::size_t>(member)],
                std::ssize(found));
      weights += std::ssize(found);
      EXPECT_EQ(state.members[static_cast<std::size_t>(member)],
                same.training_state().members[static_cast<std::size_t>(member)]);
      EXPECT_EQ(predict(mixed, series, member), predict(same, series, member));
      std::vector<float> scores(static_cast<std::size_t>(3 * alike.layers * 4)), others(scores);
      mixed.attention_scores(series.view(), origins, member, scores);
      same.attention_scores(series.view(), origins, member, others);
      EXPECT_EQ(scores, others);
      std::vector<double> without(4 * 3 * 5), other(without);
      for (std::int64_t layer = 0; layer < alike.layers; ++layer) {
        mixed.predict_without_slots(series.view(), origins, member, layer, without);
        same.predict_without_slots(series.view(), origins, member, layer, other);
        EXPECT_EQ(without, other) << layer;
      }
    }
  }
  EXPECT_EQ(mixed.count_params(), weights);
}

TEST(PanelMemberLayers, ResumedTrainingsHaveTheSameBits) {
  const Data series = data();
  PanelForecaster whole(mixed_options()), stopped(mixed_options()), resumed(mixed_options());
  ASSERT_TRUE(whole.fit(series.view()));
  stopped.fit(series.view(), [](const PanelProgress& now) { return now.step < 7; });
  ASSERT_TRUE(resumed.resume(series.view(), stopped.training_state()));
  EXPECT_EQ(resumed.training_state().members, whole.training_state().members);
  EXPECT_EQ(predict(resumed, series), predict(whole, series));
}

TEST(PanelMemberLayers, MemoryCallsOfALinearMemberAreRefused) {
  const Data series = data();
  const PanelForecaster mixed(mixed_options());
  const std::vector<std::int64_t> which = {0}, times = {3};
  const OriginsView origins{which, times};
  std::vector<float> scores(8);
  std::vector<double> without(4 * 5);
  EXPECT_EQ(
      message_of([&] { mixed.attention_scores(series.view(), origins, 0, scores); }),
      "PanelForecaster::attention_scores: scores: found 8 values, expected origins * layers * "
      "memory_size = 1 * 0 * 4 = 0");
  EXPECT_EQ(
      message_of([&] { mixed.predict_without_slots(series.view(), origins, 1, 0, without); }),
      "PanelForecaster::predict_without_slots: layer: found 0, expected none, for member 1 has no "
      "memory layer");
  EXPECT_EQ(
      message_of([&] { mixed.predict_without_slots(series.view(), origins, 5, 1, without); }),
      "PanelForecaster::predict_without_slots: layer: found 1, expected a number from 0 to 0");
  for (const std::int64_t bad : {-1, 6}) {
    EXPECT_EQ(message_of([&] { static_cast<void>(mixed.options().layers_of(bad)); }),
              "PanelForecasterOptions::layers_of: member: found " + std::to_string(bad) +
                  ", expected a number from 0 to 5");
  }
}

}  // namespace
}  // namespace memattn
