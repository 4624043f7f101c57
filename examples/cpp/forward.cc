// Creates a layer, applies it, shows what each token reads, and saves and loads the layer.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <vector>

#include "memattn/memattn.h"

namespace {

int run() {
  memattn::MemoryAugmentedAttentionConfig config;
  config.units = 8;
  config.memory_size = 5;
  config.num_heads = 2;
  config.seed = 1;
  const memattn::MemoryAugmentedAttention<float> layer(config);
  std::fputs(layer.summary().c_str(), stdout);

  const std::int64_t batch = 2, steps = 3;
  std::vector<float> x(static_cast<std::size_t>(batch * steps * config.units));  // (B, T, U)
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = 0.1f * static_cast<float>(i % 7);

  std::vector<float> y(x.size());  // (B, T, U)
  std::vector<float> scores(static_cast<std::size_t>(batch * steps * config.memory_size));
  layer.forward(x, {.batch = batch, .steps = steps}, y, {},
                {.values = scores, .average_heads = true});

  std::puts("What each token of the first sequence reads, one row per token, one column per slot:");
  const auto slots = static_cast<std::size_t>(config.memory_size);
  for (std::size_t step = 0; step < static_cast<std::size_t>(steps); ++step) {
    for (std::size_t slot = 0; slot < slots; ++slot) {
      std::printf(" %.3f", static_cast<double>(scores[step * slots + slot]));
    }
    std::puts("");
  }

  const auto path = std::filesystem::temp_directory_path() / "memattn_example_forward.safetensors";
  layer.save(path);
  const auto loaded = memattn::MemoryAugmentedAttention<float>::load(path);
  std::filesystem::remove(path);

  std::vector<float> y_loaded(x.size());
  loaded.forward(x, {.batch = batch, .steps = steps}, y_loaded);
  const bool same = std::equal(y.begin(), y.end(), y_loaded.begin());
  std::printf("Saved and loaded: the output is %s.\n", same ? "the same" : "NOT the same");
  return same ? 0 : 1;
}

}  // namespace

int main() {
  try {
    return run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
