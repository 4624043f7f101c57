// The slots that the tokens of a tile may read. Included once for each instruction set by simd.cc.
#if defined(MEMATTN_KERNELS_MASK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MEMATTN_KERNELS_MASK_INL_H_
#undef MEMATTN_KERNELS_MASK_INL_H_
#else
#define MEMATTN_KERNELS_MASK_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "hwy/highway.h"
#include "kernels/call.h"
#include "kernels/carver.h"
#include "kernels/pack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace memattn::kernels::HWY_NAMESPACE {

template <typename T>
class TileMask {
 public:
  // For tiles of `stride` tokens that read `slots` slots.
  TileMask(std::int64_t slots, std::int64_t stride, Carver<T>& carver)
      : slots_(slots),
        stride_(stride),
        keep_(carver.take(slots * stride)),
        lines_(carver.take(stride * slots)),
        active_(carver.take(stride)) {}

  // Computes what tokens first..first + rows - 1 of a call may read, in `width` lanes.
  void load(const Call& call, std::int64_t first, std::int64_t rows, std::int64_t width) {
    all_active_ = true;
    uniform_ = call.uniform_when_masked;
    any_ = call.mask.any() && load_lines(call, first, rows);
    if (!any_) return;
    transpose(rows, slots_, lines_, slots_, keep_, stride_);
    for (std::int64_t s = 0; rows < width && s < slots_; ++s) {
      std::fill(keep_ + s * stride_ + rows, keep_ + s * stride_ + width, T(0));
    }
  }

  // Returns whether any slot is masked for any token.
  bool any() const { return any_; }
  // Returns the mask (S, stride), see softmax-inl.h; null if nothing is masked.
  const T* keep() const { return any_ ? keep_ : nullptr; }
  // Returns whether every token keeps at least one slot.
  bool all_active() const { return all_active_; }
  bool active(std::int64_t row) const { return all_active_ || active_[row] != 0; }
  // Returns whether a token reads a slot: it keeps the slot, or it keeps none and the call lets
  // such a token read every slot.
  bool reads(std::int64_t row, std::int64_t slot) const {
    return !any_ || bits_of(keep_[slot * stride_ + row]) != 0 || (uniform_ && !active(row));
  }

 private:
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  static constexpr Bits kAll = ~Bits{0};

  // The arrays of T hold masks of all bits or none, which are not values of T. They are copied with
  // memcpy, which the compiler turns into plain moves.
  static Bits bits_of(const T& value) {
    Bits bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
  }
  static void put(Bits bits, T& value) { std::memcpy(&value, &bits, sizeof bits); }

  // Fills lines_ and active_, token by token. Returns whether any slot is masked.
  bool load_lines(const Call& call, std::int64_t first, std::int64_t rows) {
    const Mask& mask = call.mask;
    const std::int64_t heads = call.lane_heads, steps = call.steps / heads;
    bool all_kept = true;
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t b = (first + i) / call.steps, place = (first + i) % call.steps;
      const std::int64_t t = heads > 1 ? place / heads : place;
      T* HWY_RESTRICT line = lines_ + i * slots_;
      if (i > 0 && place != t * heads) {  // another head of the same token
        std::memcpy(line, line - slots_, static_cast<std::size_t>(slots_) * sizeof(T));
        active_[i] = active_[i - 1];
        continue;
      }
      const bool reads_any = !mask.query || mask.query[b * steps + t] != 0;
      const std::int64_t slots = !reads_any    ? 0
                                 : mask.causal ? std::min(slots_, call.first_step + t + 1)
                                               : slots_;
      for (std::int64_t s = 0; s < slots_; ++s) put(s < slots ? kAll : Bits{0}, line[s]);
      if (mask.value) keep_only(slots, mask.value + b * slots_, line);
      if (mask.attention) {
        const std::uint8_t* row =
            mask.attention + b * mask.attention_stride_batch + t * mask.attention_stride_step;
        if (mask.attention_stride_slot != 0) {
          keep_only(slots, row, line);
        } else if (*row == 0) {
          for (std::int64_t s = 0; s < slots_; ++s) put(0, line[s]);
        }
      }
      Bits any = 0, all = kAll;
      for (std::int64_t s = 0; s < slots_; ++s) {
        any |= bits_of(line[s]);
        all &= bits_of(line[s]);
      }
      active_[i] = any != 0 ? T(1) : T(0);
      all_active_ = all_active_ && any != 0;
      all_kept = all_kept && all != 0;
    }
    return !all_kept;
  }

  static void keep_only(std::int64_t slots, const std::uint8_t* HWY_RESTRICT kept,
                        T* HWY_RESTRICT line) {
    for (std::int64_t s = 0; s < slots; ++s) {
      put(bits_of(line[s]) & (kept[s] != 0 ? kAll : Bits{0}), line[s]);
    }
  }

  std::int64_t slots_;
  std::int64_t stride_;
  T* keep_;    // (S, stride): all bits where a token keeps a slot, none elsewhere
  T* lines_;   // (rows, S): the same, token by token
  T* active_;  // (rows): 0 where every slot is masked
  bool any_ = false;
  bool all_active_ = true;
  bool uniform_ = false;
};

}  // namespace memattn::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // MEMATTN_KERNELS_MASK_INL_H_
