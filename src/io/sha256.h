// SHA-256 (FIPS 180-4), for checksums of files.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace memattn {

// Takes bytes in any number of pieces.
class Sha256 {
 public:
  void update(std::span<const std::byte> bytes);
  // Returns the digest of all bytes so far as 64 hexadecimal digits. The object cannot be used
  // again.
  [[nodiscard]] std::string finish();

 private:
  void add_block(const std::byte* block);

  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> pending_ = {};  // the beginning of the next block
  std::uint64_t size_ = 0;                  // bytes so far
};

}  // namespace memattn
