// Sizes of an attention between two inputs: of its weights, its tiles and its operands.
#include "kernels/sequence.h"

#include <algorithm>

#include "kernels/carver.h"
#include "kernels/tiling.h"

namespace memattn::kernels {

template <typename T>
void SequencePrepared<T>::resize(const SequenceDims& new_dims, const Way& new_way, bool use_bias) {
  dims = new_dims;
  way = new_way;
  const auto [source1, source2, key_width, value_width] = widths();
  const std::int64_t U = dims.units, H = dims.num_heads, D = dims.key_dim, Dv = dims.value_dim;
  const auto set = [](AlignedVector<T>& buffer, bool there, std::int64_t size) {
    buffer.resize(there ? static_cast<std::size_t>(size) : 0);
  };
  const bool projected = way.logits == Way::Logits::kProject, raw1 = !way.dense1;
  const bool right = way.logits == Way::Logits::kRight, left = way.logits == Way::Logits::kLeft;
  const bool raw2 = !way.dense2, by_source = way.read == Way::Read::kSource;
  const bool read_projected = way.read == Way::Read::kProject;
  set(q, raw1, H * source1 * D);
  set(k, raw2, H * source2 * D);
  set(v, raw2, H * source2 * Dv);
  set(cq, raw1 && use_bias, H * D);
  set(cv, raw2 && use_bias, H * Dv);
  set(query, !right, source1 * H * key_width);
  set(query_packed, !right, source1 * H * key_width);
  set(query_bias, !right && use_bias, H * key_width);
  set(key, !left && (right || raw2 || projected), source2 * H * key_width);
  set(key_bias, right && use_bias, source2 * H);
  set(value, !by_source, source2 * H * value_width);
  set(value_bias, !by_source && use_bias, H * value_width);
  set(output, by_source || read_projected, H * value_width * U);
  set(output_bias, by_source && use_bias, H * U);
  set(output_bias_sum, by_source && use_bias, U);
}

template <typename T>
void SequencePrepared<T>::resize_pairs(bool wanted) {
  const WayWidths sizes = widths();
  const std::int64_t H = dims.num_heads, queries = pairs_of(sizes.source1) * H * sizes.key;
  const auto set = [&](AlignedVector<Pair>& buffer, const AlignedVector<T>& floats,
                       std::int64_t size) {
    buffer.resize(wanted && !floats.empty() ? static_cast<std::size_t>(size) : 0);
  };
  set(pairs.query, query, queries);
  set(pairs.query_packed, query, queries);
  set(pairs.output, output, H * pairs_of(sizes.value) * dims.units);
}

template <typename T>
std::int64_t SequencePrepared<T>::bytes() const noexcept {
  std::size_t total = 0;
  for (const auto* buffer :
       {&q, &k, &v, &cq, &cv, &query, &query_packed, &query_bias, &key, &key_bias, &value,
        &value_bias, &output, &output_bias, &output_bias_sum}) {
    total += buffer->size();
  }
  const std::size_t rounded = pairs.query.size() + pairs.query_packed.size() + pairs.output.size();
  return static_cast<std::int64_t>(total * sizeof(T) + rounded * sizeof(Pair));
}

// A head's scores of a tile stay within kTileScores values if 16 queries do, and so do those of a
// group of heads (not measured). Heads lie side by side if a head alone would leave a part of its
// vectors empty; their queries stay within kTileQueries values, the nearest cache, if 32 tokens do.
// On an AVX-512 Xeon, B, T1 -> T2, U, H: (1, 1 -> 96, 64, 4) 13.2 µs to 3.6, (32, 1 -> 24, 32, 4)
// 45 to 16, (32, 24 -> 24, 32, 4) 187 to 182, in tiles of 96 tokens 190.
SequenceTiles::SequenceTiles(const SequenceDims& dims, const Way& way, std::int64_t batch,
                             std::int64_t steps1, std::int64_t steps2)
    : steps_(steps1), tokens_(batch * steps1) {
  constexpr std::int64_t kLanes = 16, kTileScores = 1 << 15, kGroupScores = 1 << 14;
  constexpr std::int64_t kTileQueries = 1 << 13;
  const std::int64_t heads = dims.num_heads;
  const auto round_up = [](std::int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; };
  const std::int64_t slots = std::max<std::int64_t>(1, steps2);
  const std::int64_t lanes = kTileScores / slots / kLanes * kLanes;
  std::int64_t largest = std::clamp(lanes, kLanes, kLargestTile);
  const std::int64_t together = std::clamp(lanes, kLanes, kLargestLanes) / heads;
  if (kernels::lane_heads(way, heads, steps1) > 1 && steps1 <= together) {
    const WayWidths widths(dims, way);
    const std::int64_t queries = heads * std::max(widths.key, widths.value);
    lane_heads = heads;
    largest = std::max(steps1, std::min(together, std::clamp<std::int64_t>(kTileQueries / queries,
                                                                           32, kLargestTile)));
  }
  if (steps1 == 0) {
    size_ = parts_ = 0;
  } else if (steps1 <= largest / 2 || lane_heads > 1) {
    // Whole sequences, in a number that leaves the fewest lanes empty.
    std::int64_t best = 1;
    const auto lanes_of = [&](std::int64_t n) { return round_up(n * steps1 * lane_heads); };
    const std::int64_t most = lane_heads > 1 ? std::min(batch, largest / steps1) : largest / steps1;
    for (std::int64_t n = 1; n <= most; ++n) {
      if (n * lanes_of(best) >= best * lanes_of(n)) best = n;
    }
    size_ = best * steps1;
    parts_ = 0;
    count = (tokens_ + size_ - 1) / size_;
  } else {
    parts_ = (steps1 + largest - 1) / largest;
    size_ = round_up((steps1 + parts_ - 1) / parts_);
    parts_ = (steps1 + size_ - 1) / size_;
    count = batch * parts_;
  }
  tokens = round_up(std::max<std::int64_t>(1, size_));
  stride = round_up(std::max<std::int64_t>(1, size_ * lane_heads));
  group = lane_heads > 1 ? 1 : std::clamp<std::int64_t>(kGroupScores / (slots * stride), 1, heads);
}

SequenceTiles::Range SequenceTiles::range(std::int64_t tile) const noexcept {
  if (parts_ == 0) return {tile * size_, std::min(size_, tokens_ - tile * size_)};
  const std::int64_t step = tile % parts_ * size_;
  return {tile / parts_ * steps_ + step, std::min(size_, steps_ - step)};
}

template <typename T>
SequenceOperands<T> SequenceOperands<T>::place(const SequencePrepared<T>& prepared,
                                               std::int64_t batch, std::int64_t steps2,
                                               Carver<T>& carver) {
  const WayWidths widths = prepared.widths();
  const std::int64_t H = prepared.dims.num_heads;
  SequenceOperands operands;
  operands.steps2 = steps2;
  operands.tokens2 = batch * steps2;
  const auto take = [&](bool there, std::int64_t width) {
    return there ? carver.take(operands.tokens2 * width) : nullptr;
  };
  operands.source2 = take(prepared.way.dense2, prepared.dims.units);
  operands.keys = take(prepared.way.logits != Way::Logits::kLeft, H * widths.key);
  operands.key_bias = take(!prepared.key_bias.empty(), H);
  operands.key_bias_rows = take(!prepared.key_bias.empty(), H);
  operands.values = take(prepared.way.read != Way::Read::kSource, H * widths.value);
  return operands;
}

SequencePairOperands SequencePairOperands::place(const SequencePrepared<float>& prepared,
                                                 std::int64_t batch, std::int64_t steps2,
                                                 bool masked, Carver<float>& carver) {
  const WayWidths widths = prepared.widths();
  const std::int64_t H = prepared.dims.num_heads;
  SequencePairOperands operands;
  operands.key_heads = prepared.way.logits == Way::Logits::kLeft ? 1 : H;
  operands.value_heads = prepared.way.read == Way::Read::kSource ? 1 : H;
  const std::int64_t keys = batch * operands.key_heads;
  operands.keys = take_pairs(carver, keys * steps2 * pairs_of(widths.key));
  operands.values =
      take_pairs(carver, batch * operands.value_heads * pairs_of(steps2) * widths.value);
  operands.spread = carver.take(keys * steps2);
  operands.largest_spread = carver.take(keys);
  operands.finite = masked ? carver.take(batch) : nullptr;
  return operands;
}

template <typename T>
SequenceSums<T>::SequenceSums(const SequencePrepared<T>& prepared, T* base) {
  const SequenceDims& dims = prepared.dims;
  const bool biases = !prepared.query_bias.empty() || !prepared.key_bias.empty();
  Carver<T> carver(base, 1);
  const auto take = [&](bool there, std::int64_t count) {
    return there ? carver.take(count) : nullptr;
  };
  const auto like = [&](const AlignedVector<T>& part) {
    return take(!part.empty(), static_cast<std::int64_t>(part.size()));
  };
  output_bias0 = take(biases, dims.units);
  query = like(prepared.query);
  query_bias = like(prepared.query_bias);
  key = like(prepared.key);
  key_bias = like(prepared.key_bias);
  value = like(prepared.value);
  value_bias = like(prepared.value_bias);
  output = like(prepared.output);
  output_bias = like(prepared.output_bias);
  dense1 = take(prepared.way.dense1, dims.source1_units * dims.units);
  dense1_bias = take(prepared.way.dense1 && biases, dims.units);
  dense2 = take(prepared.way.dense2, dims.source2_units * dims.units);
  dense2_bias = take(prepared.way.dense2 && biases, dims.units);
  size = carver.taken();
}

template <typename T>
SequenceBackwardWeights<T>::SequenceBackwardWeights(const SequencePrepared<T>& prepared, T* base) {
  const SequenceDims& dims = prepared.dims;
  Carver<T> carver(base);
  const auto like = [&](const AlignedVector<T>& part) {
    return part.empty() ? nullptr : carver.take(static_cast<std::int64_t>(part.size()));
  };
  query = like(prepared.query);
  key = like(prepared.key);
  key_bias = like(prepared.key_bias);
  value = like(prepared.value);
  output = like(prepared.output);
  output_bias = like(prepared.output_bias);
  dense1 = prepared.way.dense1 ? carver.take(dims.source1_units * dims.units) : nullptr;
  dense2 = prepared.way.dense2 ? carver.take(dims.source2_units * dims.units) : nullptr;
  size = carver.taken();
}

template struct SequencePrepared<float>;
template struct SequencePrepared<double>;
template struct SequenceOperands<float>;
template struct SequenceOperands<double>;
template struct SequenceSums<float>;
template struct SequenceSums<double>;
template struct SequenceBackwardWeights<float>;
template struct SequenceBackwardWeights<double>;

}  // namespace memattn::kernels
