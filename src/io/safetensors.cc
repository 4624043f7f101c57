// Checks and reads safetensors files, and writes them.
#include "io/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <optional>
#include <set>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "check.h"
#include "io/atomic_file.h"
#include "io/json.h"
#include "io/json_writer.h"
#include "io/printable.h"

namespace memattn {
namespace {

constexpr std::uint64_t kPrefixBytes = 8;  // the length of the header, in front of it
constexpr std::uint64_t kAlignment = 8;    // of the first tensor byte
constexpr std::string_view kMetadataKey = "__metadata__";

// Returns the size of `shape` in bytes of a dtype; nullopt if that overflows 63 bits.
std::optional<std::uint64_t> byte_size(std::span<const std::int64_t> shape,
                                       std::int64_t item_size) {
  std::int64_t size = item_size;
  for (const std::int64_t length : shape) {
    if (__builtin_mul_overflow(size, length, &size)) return std::nullopt;
  }
  return static_cast<std::uint64_t>(size);
}

// Returns a JSON number that is written as an integer from 0 to 2^63 - 1.
std::optional<std::int64_t> natural(const JsonValue& value) {
  const auto number = value.integer();
  return number && *number >= 0 ? number : std::nullopt;
}

// Names the kind of a file. The system opens no sockets, so they need no name.
std::string_view kind_of_file(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  return "a device";
}

constexpr std::string_view kDtypeNames =
    "one of BOOL, U8, I8, U16, I16, F16, BF16, U32, I32, F32, U64, I64, F64";

[[noreturn]] void fail_format(std::string_view path, std::string_view place, std::string_view found,
                              std::string_view expected) {
  throw FormatError(concat(path, ": ", place, ": found ", found, ", expected ", expected));
}

std::string tensor_place(std::string_view name) { return concat("tensor ", in_quotes(name)); }

// Parses {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, without other keys.
TensorInfo parse_tensor(std::string_view path, const std::string& name, const JsonValue& entry) {
  const auto fail = [&](std::string_view key, std::string_view found, std::string_view expected) {
    fail_format(path, concat(tensor_place(name), key), found, expected);
  };
  const JsonObject* const members = entry.object();
  if (!members) fail("", describe(entry), "an object");
  for (const auto& [key, value] : *members) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") {
      fail("", concat("key ", in_quotes(key)), "only dtype, shape and data_offsets");
    }
  }
  const auto member = [&](std::string_view key) -> const JsonValue& {
    const auto found = members->find(key);
    if (found == members->end()) fail("", concat("no key ", key), "dtype, shape and data_offsets");
    return found->second;
  };

  TensorInfo tensor;
  tensor.name = name;
  const JsonValue& dtype = member("dtype");
  if (!dtype.string() || dtype_size(*dtype.string()) == 0) {
    fail(": dtype", describe(dtype), kDtypeNames);
  }
  tensor.dtype = *dtype.string();

  const JsonValue& shape = member("shape");
  if (!shape.array()) fail(": shape", describe(shape), "an array");
  for (const JsonValue& length : *shape.array()) {
    const auto number = natural(length);
    if (!number) fail(": shape", describe(length), "integers from 0 to 2^63 - 1");
    tensor.shape.push_back(*number);
  }
  const auto size = byte_size(tensor.shape, dtype_size(tensor.dtype));
  if (!size) fail(": shape", "more than 2^63 - 1 bytes", "at most 2^63 - 1 bytes");

  const JsonValue& data_offsets = member("data_offsets");
  if (!data_offsets.array() || data_offsets.array()->size() != 2) {
    fail(": data_offsets", describe(data_offsets), "an array of two integers");
  }
  const JsonArray& offsets = *data_offsets.array();
  const auto begin = natural(offsets[0]);
  const auto end = natural(offsets[1]);
  if (!begin || !end) {
    fail(": data_offsets", concat("[", describe(offsets[0]), ", ", describe(offsets[1]), "]"),
         "two integers from 0 to 2^63 - 1");
  }
  tensor.begin = static_cast<std::uint64_t>(*begin);
  tensor.end = static_cast<std::uint64_t>(*end);
  if (*end < *begin || tensor.end - tensor.begin != *size) {
    fail(": data_offsets", concat("[", *begin, ", ", *end, "]"),
         concat(*size, " bytes, the size of its shape in ", tensor.dtype));
  }
  return tensor;
}

std::map<std::string, std::string> parse_metadata(std::string_view path, const JsonValue& entry) {
  if (!entry.object()) fail_format(path, kMetadataKey, describe(entry), "an object");
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : *entry.object()) {
    if (!value.string()) {
      fail_format(path, concat(kMetadataKey, ": key ", in_quotes(key)), describe(value),
                  "a string");
    }
    metadata.emplace(key, *value.string());
  }
  return metadata;
}

// Returns the header without padding: the metadata, then each tensor with its position in the data.
std::string header_text(std::span<const TensorView> tensors,
                        const std::map<std::string, std::string>& metadata) {
  JsonObjectWriter header;
  if (!metadata.empty()) {
    JsonObjectWriter texts;
    for (const auto& [key, value] : metadata) texts.add(key, std::string_view(value));
    header.add_text(kMetadataKey, texts.text());
  }
  std::int64_t at = 0;
  for (const TensorView& tensor : tensors) {
    const std::int64_t end = at + static_cast<std::int64_t>(tensor.data.size());
    JsonObjectWriter entry;
    entry.add("dtype", tensor.dtype);
    entry.add("shape", tensor.shape);
    entry.add("data_offsets", std::span<const std::int64_t>(std::array{at, end}));
    header.add_text(tensor.name, entry.text());
    at = end;
  }
  return header.text();
}

}  // namespace

std::int64_t dtype_size(std::string_view dtype) {
  static constexpr std::array<std::pair<std::string_view, std::int64_t>, 13> kSizes = {{
      {"BOOL", 1},
      {"U8", 1},
      {"I8", 1},
      {"U16", 2},
      {"I16", 2},
      {"F16", 2},
      {"BF16", 2},
      {"U32", 4},
      {"I32", 4},
      {"F32", 4},
      {"U64", 8},
      {"I64", 8},
      {"F64", 8},
  }};
  for (const auto& [name, size] : kSizes) {
    if (name == dtype) return size;
  }
  return 0;
}

SafetensorsReader::SafetensorsReader(const std::filesystem::path& path) : path_(path_text(path)) {
  check_path(path, "open it");
  // Without O_NONBLOCK, opening a pipe would wait for a writer.
  file_ = FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file_.valid()) fail_system(errno, path, "open it");
  struct stat status;
  if (::fstat(file_.get(), &status) != 0) fail_system(errno, path, "read its size");
  if (!S_ISREG(status.st_mode)) fail("file", kind_of_file(status.st_mode), "a regular file");
  size_ = static_cast<std::uint64_t>(status.st_size);
  read_header();
}

SafetensorsReader::SafetensorsReader(std::string name, std::span<const std::byte> content)
    : path_(std::move(name)), content_(content), size_(content.size()) {
  read_header();
}

void SafetensorsReader::read_header() {
  const std::uint64_t file_size = size_;
  if (file_size < kPrefixBytes) {
    fail("header length", concat("a file of ", file_size, " bytes"), "at least 8");
  }
  std::uint64_t header_size = 0;
  read_bytes(0, std::as_writable_bytes(std::span(&header_size, 1)));
  if (header_size > kMaxHeaderBytes) {
    fail("header length", to_text(header_size), concat("at most ", kMaxHeaderBytes));
  }
  if (header_size > file_size - kPrefixBytes) {
    fail("header length", to_text(header_size),
         concat("at most the ", file_size - kPrefixBytes, " bytes that follow in the file"));
  }
  std::string header(header_size, '\0');
  read_bytes(kPrefixBytes, std::as_writable_bytes(std::span(header)));
  if (!header.starts_with('{')) fail("header", in_quotes(header.substr(0, 1)), "a JSON object: {");
  data_offset_ = kPrefixBytes + header_size;

  JsonValue parsed;
  try {
    parsed = parse_json(header);
  } catch (const JsonError& error) {
    throw FormatError(concat(path_, ": header: ", error.what()));
  }
  for (const auto& [name, entry] : *parsed.object()) {
    if (name == kMetadataKey) {
      metadata_ = parse_metadata(path_, entry);
    } else {
      tensors_.push_back(parse_tensor(path_, name, entry));
    }
  }
  std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  check_layout(file_size - data_offset_);
}

void SafetensorsReader::check_layout(std::uint64_t data_size) const {
  std::uint64_t at = 0;
  std::string before = "the header";
  for (const TensorInfo& tensor : tensors_) {
    if (tensor.begin != at) {
      fail(tensor_place(tensor.name),
           concat("data_offsets that begin at ", tensor.begin,
                  tensor.begin < at ? " (overlap)" : " (hole)"),
           concat(at, ", where ", before, " ends"));
    }
    at = tensor.end;
    before = tensor_place(tensor.name);
  }
  if (at != data_size) {
    fail("data", concat(data_size, " bytes after the header"),
         concat(at, ", where ", before, " ends"));
  }
}

const TensorInfo* SafetensorsReader::find(std::string_view name) const {
  for (const TensorInfo& tensor : tensors_) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

const std::string& SafetensorsReader::metadata_value(const std::string& key,
                                                     std::string_view expected) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) fail(kMetadataKey, concat("no key ", key), expected);
  return found->second;
}

void SafetensorsReader::read(const TensorInfo& tensor, std::span<std::byte> bytes) const {
  if (bytes.size() != tensor.end - tensor.begin) {
    fail_argument("SafetensorsReader::read", "bytes", concat(bytes.size(), " bytes"),
                  tensor.end - tensor.begin);
  }
  read_bytes(data_offset_ + tensor.begin, bytes);
}

void SafetensorsReader::read_bytes(std::uint64_t offset, std::span<std::byte> bytes) const {
  if (!file_.valid()) {
    const auto some = content_.subspan(static_cast<std::size_t>(offset), bytes.size());
    std::ranges::copy(some, bytes.begin());
    return;
  }
  while (!bytes.empty()) {
    const ssize_t count =
        ::pread(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_system(errno, path_, concat("read it at byte ", offset));
    if (count == 0) {
      fail(concat("byte ", offset), "the end of the file",
           "more bytes: the file shrank while it was read");
    }
    offset += static_cast<std::uint64_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void SafetensorsReader::fail(std::string_view place, std::string_view found,
                             std::string_view expected) const {
  fail_format(path_, place, found, expected);
}

void SafetensorsReader::fail_dtype(const TensorInfo& tensor, std::string_view expected) const {
  fail(tensor_place(tensor.name), concat("dtype ", tensor.dtype), expected);
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const auto refuse = [](std::string_view name, std::string_view found, std::string_view expected) {
    fail_argument("write_safetensors", tensor_place(name), found, expected);
  };
  std::set<std::string_view> names = {kMetadataKey};
  for (const TensorView& tensor : tensors) {
    if (!names.insert(tensor.name).second)
      refuse(tensor.name, "the name of another tensor", "a unique name");
    const std::int64_t item_size = dtype_size(tensor.dtype);
    if (item_size == 0) refuse(tensor.name, concat("dtype ", in_quotes(tensor.dtype)), kDtypeNames);
    if (std::ranges::any_of(tensor.shape, [](std::int64_t length) { return length < 0; }) ||
        byte_size(tensor.shape, item_size) != tensor.data.size()) {
      refuse(tensor.name, concat(tensor.data.size(), " bytes"),
             concat("the size of shape ", tensor.shape, " in ", tensor.dtype));
    }
  }

  std::string text;
  try {
    text = header_text(tensors, metadata);
  } catch (const std::invalid_argument&) {
    fail_argument("write_safetensors", "names and metadata", "bytes that are not UTF-8", "UTF-8");
  }
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  if (text.size() > kMaxHeaderBytes) {
    fail_argument("write_safetensors", "header", concat(text.size(), " bytes"),
                  concat("at most ", kMaxHeaderBytes));
  }
  const std::uint64_t header_size = text.size();
  std::vector<std::span<const std::byte>> pieces = {std::as_bytes(std::span(&header_size, 1)),
                                                    std::as_bytes(std::span(text))};
  for (const TensorView& tensor : tensors) pieces.push_back(tensor.data);
  write_file_atomically(path, pieces);
}

}  // namespace memattn
