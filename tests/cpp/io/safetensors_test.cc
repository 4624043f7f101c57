// safetensors round trips, and the bytes of a file.
#include "io/safetensors.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "io/temporary_folder.h"

namespace memattn {
namespace {

namespace fs = std::filesystem;
using testing::read_all;
using testing::safetensors_bytes;
using testing::TemporaryFolder;
using testing::write_all;

TensorView view(std::string_view name, std::span<const std::int64_t> shape,
                std::span<const float> values) {
  return {name, "F32", shape, std::as_bytes(values)};
}

TEST(WriteSafetensors, WritesTheBytesOfTheFormat) {
  const TemporaryFolder folder;
  const std::array<std::int64_t, 2> shape = {1, 2};
  const std::array<float, 2> values = {1.0f, -2.0f};
  write_safetensors(folder / "file", std::vector{view("m", shape, values)}, {{"k", "v"}});
  const std::string header =
      R"({"__metadata__":{"k":"v"},"m":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}})";
  ASSERT_EQ(header.size(), 81u);
  EXPECT_EQ(read_all(folder / "file"),
            safetensors_bytes(header + std::string(7, ' '),
                              std::string("\x00\x00\x80\x3f\x00\x00\x00\xc0", 8)));
}

TEST(Safetensors, ReadsBackWhatWasWritten) {
  const TemporaryFolder folder;
  const std::vector<std::int64_t> matrix = {2, 3}, scalar = {}, empty = {4, 0};
  const std::vector<float> a = {1, 2, 3, 4, 5, std::numeric_limits<float>::quiet_NaN()};
  const std::vector<double> b = {0.1};
  const std::vector<TensorView> tensors = {
      {"ä.kernel", "F32", matrix, std::as_bytes(std::span(a))},
      {"nothing", "F32", empty, {}},
      {"b", "F64", scalar, std::as_bytes(std::span(b))},
  };
  const std::map<std::string, std::string> metadata = {{"one", "1"}, {"zwei \"2\"\n", "{}"}};
  write_safetensors(folder / "file", tensors, metadata);
  const std::string bytes = read_all(folder / "file");
  write_safetensors(folder / "file", tensors, metadata);
  EXPECT_EQ(read_all(folder / "file"), bytes) << "the same input must give the same bytes";

  const SafetensorsReader reader(folder / "file");
  EXPECT_EQ(reader.metadata(), metadata);
  ASSERT_EQ(reader.tensors().size(), 3u);
  EXPECT_EQ(reader.tensors()[0].name, "ä.kernel");
  EXPECT_EQ(reader.tensors()[0].shape, matrix);
  EXPECT_EQ(reader.tensors()[1].name, "nothing");
  EXPECT_EQ(reader.find("missing"), nullptr);
  ASSERT_NE(reader.find("b"), nullptr);
  EXPECT_EQ(reader.find("b")->shape, scalar);

  std::vector<float> read_a(6);
  reader.read<float>(*reader.find("ä.kernel"), read_a);
  EXPECT_EQ(std::memcmp(read_a.data(), a.data(), 24), 0);
  std::vector<double> read_b(1);
  reader.read<double>(*reader.find("b"), read_b);
  EXPECT_EQ(read_b, b);
  reader.read<float>(*reader.find("nothing"), {});
}

TEST(Safetensors, AMovedReaderStillReadsTheFileItOpened) {
  const TemporaryFolder folder;
  const std::array<std::int64_t, 1> shape = {1};
  const std::array<float, 1> one = {1.0f}, two = {2.0f};
  write_safetensors(folder / "file", std::vector{view("x", shape, one)}, {});
  SafetensorsReader first(folder / "file");
  write_safetensors(folder / "file", std::vector{view("x", shape, two)}, {});
  const SafetensorsReader reader = std::move(first);
  std::array<float, 1> value = {0.0f};
  reader.read<float>(*reader.find("x"), value);
  EXPECT_EQ(value, one) << "an open reader must see the file that it checked";
}

TEST(Safetensors, ReadsEveryDtype) {
  const TemporaryFolder folder;
  for (const auto& [dtype, size] : std::map<std::string, int>{{"BOOL", 1},
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
                                                              {"F64", 8}}) {
    EXPECT_EQ(dtype_size(dtype), size);
    const auto bytes = static_cast<std::size_t>(3 * size);
    write_all(folder / "file",
              safetensors_bytes("{\"x\":{\"dtype\":\"" + dtype + "\",\"shape\":[3]," +
                                    "\"data_offsets\":[0," + std::to_string(bytes) + "]}}",
                                std::string(bytes, 'x')));
    const SafetensorsReader reader(folder / "file");
    std::vector<std::byte> data(bytes);
    reader.read(*reader.find("x"), data);
    EXPECT_EQ(data, std::vector<std::byte>(bytes, std::byte{'x'}));
  }
  EXPECT_EQ(dtype_size("f32"), 0);
  EXPECT_EQ(dtype_size(""), 0);
}

TEST(Safetensors, RefusesTheWrongTypeOrLength) {
  const TemporaryFolder folder;
  const std::array<std::int64_t, 1> shape = {2};
  const std::array<float, 2> values = {1, 2};
  write_safetensors(folder / "file", std::vector{view("x", shape, values)}, {});
  const SafetensorsReader reader(folder / "file");
  std::vector<double> doubles(1);
  try {
    reader.read<double>(*reader.find("x"), doubles);
    FAIL() << "read F32 as F64";
  } catch (const FormatError& error) {
    EXPECT_EQ(error.what(),
              (folder / "file").string() + ": tensor \"x\": found dtype F32, expected F64");
  }
  std::vector<float> three(3);
  EXPECT_THROW(reader.read<float>(*reader.find("x"), three), std::invalid_argument);
}

TEST(Safetensors, ReportsAFileThatShrinksWhileItIsRead) {
  const TemporaryFolder folder;
  const std::array<std::int64_t, 1> shape = {1000};
  const std::vector<float> values(1000);
  write_safetensors(folder / "file", std::vector{view("x", shape, values)}, {});
  const SafetensorsReader reader(folder / "file");
  fs::resize_file(folder / "file", 2000);
  std::vector<float> read(1000);
  EXPECT_THROW(reader.read<float>(*reader.find("x"), read), FormatError);
}

TEST(Safetensors, MissingFileIsASystemError) {
  const TemporaryFolder folder;
  try {
    const SafetensorsReader reader(folder / "none");
    FAIL() << "no error";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
    EXPECT_EQ(error.what(),
              (folder / "none").string() + ": cannot open it: No such file or directory");
  }
  write_all(folder / "file", "x");
  EXPECT_THROW(SafetensorsReader(folder / std::string("file\0x", 6)), std::system_error);
}

TEST(WriteSafetensors, RefusesInputThatTheReaderWouldRefuse) {
  const TemporaryFolder folder;
  const std::array<std::int64_t, 1> two = {2}, negative = {-2};
  const std::array<std::int64_t, 2> two_negative = {-1, -2}, huge = {1LL << 62, 4};
  const std::array<float, 2> values = {1, 2};
  const auto refused = [&](const std::vector<TensorView>& tensors,
                           const std::map<std::string, std::string>& metadata = {}) {
    EXPECT_THROW(write_safetensors(folder / "file", tensors, metadata), std::invalid_argument);
  };
  refused({view("x", two, values), view("x", two, values)});
  refused({view("__metadata__", two, values)});
  refused({view("x", two, std::span(values).first(1))});
  refused({view("x", negative, values)});
  refused({view("x", two_negative, values)});
  refused({view("x", huge, values)});
  refused({{"x", "F33", two, std::as_bytes(std::span(values))}});
  refused({view("\xff", two, values)});
  refused({}, {{"key", "\xff"}});
  refused({}, {{"key", std::string(1 << 20, 'x')}});
  EXPECT_TRUE(folder.names().empty());
}

}  // namespace
}  // namespace memattn
