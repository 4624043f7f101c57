// Checks of sizes, masks and overlaps, with their messages.
#include "layer/checks.h"

#include <array>
#include <limits>
#include <optional>
#include <string>

#include "check.h"

namespace memattn {
namespace {

void check_not_negative(std::string_view function, std::string_view argument, std::int64_t found) {
  if (found < 0) fail_argument(function, argument, found, "at least 0");
}

// Checks the position of the call's tokens in the whole input: no later number may overflow.
void check_place(std::string_view function, std::string_view argument, std::int64_t first,
                 std::string_view count_name, std::int64_t count) {
  check_not_negative(function, argument, first);
  if (first > std::numeric_limits<std::int64_t>::max() - count) {
    fail_argument(function, argument, first,
                  concat("at most 2^63 - 1 - ", count_name, ", with ", count_name, " ", count));
  }
}

kernels::Mask checked_mask(std::string_view function, const Slots& slots, std::int64_t batch,
                           std::int64_t steps, const CallOptions& options) {
  kernels::Mask mask;
  const AttentionMask& attention = options.attention_mask;
  if (!attention.keep.empty()) {
    const std::array found = {attention.batch, attention.steps, attention.slots};
    const std::array full = {batch, steps, slots.count};
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (found[i] == full[i] || found[i] == 1) continue;
      fail_argument(function, "attention_mask", "shape " + to_text(found),
                    concat("something that broadcasts to (batch, ", slots.steps_name, ", ",
                           slots.name, ") = ", to_text(full)));
    }
    check_size(function, "attention_mask.keep", attention.keep.size(), "batch * steps * slots",
               {attention.batch, attention.steps, attention.slots});
    mask.attention = attention.keep.data();
    mask.attention_stride_slot = attention.slots == 1 ? 0 : 1;
    mask.attention_stride_step = attention.steps == 1 ? 0 : attention.slots;
    mask.attention_stride_batch = attention.batch == 1 ? 0 : attention.steps * attention.slots;
  }
  const auto checked = [&](std::string_view argument, std::span<const std::uint8_t> keep,
                           std::string_view name, std::int64_t count) -> const std::uint8_t* {
    if (keep.empty()) return nullptr;
    if (!has_size(keep.size(), {batch, count})) {
      check_size(function, argument, keep.size(), concat("batch * ", name), {batch, count});
    }
    return keep.data();
  };
  mask.query = checked("query_mask", options.query_mask, slots.steps_name, steps);
  mask.value = checked("value_mask", options.value_mask, slots.name, slots.count);
  mask.causal = options.use_causal_mask;
  return mask;
}

}  // namespace

namespace {

// Returns the product of `sizes`, or nullopt if it does not fit.
std::optional<std::int64_t> product_of(std::initializer_list<std::int64_t> sizes) {
  std::int64_t product = 1;
  bool overflow = false;
  for (const std::int64_t size : sizes) overflow |= __builtin_mul_overflow(product, size, &product);
  return overflow ? std::nullopt : std::optional(product);
}

}  // namespace

bool has_size(std::size_t found, std::initializer_list<std::int64_t> sizes) {
  const std::optional<std::int64_t> expected = product_of(sizes);
  return expected && found == static_cast<std::size_t>(*expected);
}

void check_size(std::string_view function, std::string_view argument, std::size_t found,
                std::string_view what, std::initializer_list<std::int64_t> sizes) {
  const std::optional<std::int64_t> expected = product_of(sizes);
  if (expected && found == static_cast<std::size_t>(*expected)) return;

  std::string product;
  for (const std::int64_t size : sizes) {
    product += (product.empty() ? "" : " * ") + to_text(size);
  }
  if (!expected) fail_argument(function, what, product, "a product below 2^63");
  fail_argument(function, argument, concat(found, " values"),
                sizes.size() == 1 ? concat(what, " = ", *expected)
                                  : concat(what, " = ", product, " = ", *expected));
}

void check_overlaps(std::string_view function, std::initializer_list<Buffer> inputs,
                    std::initializer_list<Buffer> outputs) {
  const auto check = [&](const Buffer& output, const Buffer& other) {
    if (output.begin < other.end && other.begin < output.end) {
      fail_argument(function, output.name, concat("memory that it shares with ", other.name),
                    "memory of its own");
    }
  };
  for (const Buffer* output = outputs.begin(); output != outputs.end(); ++output) {
    for (const Buffer& input : inputs) check(*output, input);
    for (const Buffer* other = outputs.begin(); other != output; ++other) check(*output, *other);
  }
}

kernels::Call checked_call(std::string_view function, Tokens tokens, const Slots& slots,
                           const CallOptions& options) {
  check_not_negative(function, "batch", tokens.batch);
  check_not_negative(function, slots.steps_name, tokens.steps);
  check_not_negative(function, slots.name, slots.count);
  check_place(function, "first_step", options.first_step, slots.steps_name, tokens.steps);
  check_place(function, "first_sequence", options.first_sequence, "batch", tokens.batch);
  kernels::Call call;
  call.batch = tokens.batch;
  call.steps = tokens.steps;
  call.first_step = options.first_step;
  call.first_sequence = options.first_sequence;
  call.mask = checked_mask(function, slots, tokens.batch, tokens.steps, options);
  return call;
}

}  // namespace memattn
