// safetensors files: named arrays behind a JSON header. docs/format.md specifies every written byte
// and everything that is refused.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/file_descriptor.h"
#include "memattn/errors.h"

namespace memattn {

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little-endian and memattn reads and writes them without "
              "swapping bytes");

// The longest header that is read or written; JsonLimits stops at about 4,000 tensors.
inline constexpr std::uint64_t kMaxHeaderBytes = 1 << 20;

// Returns the bytes per value of a safetensors dtype ("F32"), or 0 if there is no such dtype.
std::int64_t dtype_size(std::string_view dtype);

// Returns the dtype of T.
template <typename T>
inline constexpr std::string_view kDtype = "";
template <>
inline constexpr std::string_view kDtype<float> = "F32";
template <>
inline constexpr std::string_view kDtype<double> = "F64";

// The position of a tensor. Checked: end - begin is the size of the shape in that dtype.
struct TensorInfo {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  // bytes from the end of the header
  std::uint64_t end = 0;
};

// Reads one file and trusts nothing in it: the constructor checks the whole header against the
// file's size before it allocates memory for anything that the header claims. Holds the file open;
// tensors are read on demand. Many threads may call the const methods at once.
//
// Throws std::system_error if the system refuses, and FormatError ("path: place: found X, expected
// Y") for everything else that is wrong with the file.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::filesystem::path& path);
  // Reads the content of a file, which must outlive the reader; `name` replaces the path.
  SafetensorsReader(std::string name, std::span<const std::byte> content);

  // The path as text for messages.
  const std::string& path() const { return path_; }
  // Returns the tensors in the order of their bytes.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  // Returns nullptr for a tensor that is not in the file.
  const TensorInfo* find(std::string_view name) const;
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // Returns the text of a metadata key. Throws FormatError with `expected` if there is none.
  const std::string& metadata_value(const std::string& key, std::string_view expected) const;

  // Reads a tensor of this file; `bytes` must have its size.
  void read(const TensorInfo& tensor, std::span<std::byte> bytes) const;

  // The same for values of type T; throws FormatError for a tensor of another type.
  template <typename T>
  void read(const TensorInfo& tensor, std::span<T> values) const {
    if (tensor.dtype != kDtype<T>) fail_dtype(tensor, kDtype<T>);
    read(tensor, std::as_writable_bytes(values));
  }

  // Returns the size of the whole file in bytes.
  std::uint64_t size() const { return size_; }
  // Reads raw bytes of the file, including the header; they must lie inside it.
  void read_bytes(std::uint64_t offset, std::span<std::byte> bytes) const;

  // Throws FormatError about a place in this file.
  [[noreturn]] void fail(std::string_view place, std::string_view found,
                         std::string_view expected) const;

 private:
  void read_header();
  void check_layout(std::uint64_t data_size) const;
  [[noreturn]] void fail_dtype(const TensorInfo& tensor, std::string_view expected) const;

  std::string path_;  // for messages
  FileDescriptor file_;
  std::span<const std::byte> content_;  // instead of a file
  std::uint64_t size_ = 0;
  std::uint64_t data_offset_ = 0;  // of the first tensor byte in the file
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
};

// A tensor to write; owns nothing.
struct TensorView {
  std::string_view name;
  std::string_view dtype;
  std::span<const std::int64_t> shape;
  std::span<const std::byte> data;  // C-contiguous, little-endian
};

// Writes the tensors in the given order, atomically and durably (atomic_file.h). The same input
// gives the same bytes. Throws std::invalid_argument for input that the reader would refuse (a name
// twice or not UTF-8, data that does not fit its shape), std::system_error if the system refuses.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace memattn
