// Files that try to break the reader: each must give FormatError quickly and in little memory.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "io/peak_memory.h"
#include "io/safetensors.h"
#include "io/temporary_folder.h"

namespace memattn {
namespace {

namespace fs = std::filesystem;
using testing::peak_memory_of;
using testing::safetensors_bytes;
using testing::TemporaryFolder;
using testing::write_all;

constexpr std::size_t kMaxMemory = 16 << 20;
// The documented limit is 0.1 s on an idle machine. This bound allows for a loaded machine with
// sanitizers, and still fails for quadratic time.
constexpr std::chrono::seconds kMaxTime{2};

class HostileSafetensors : public ::testing::Test {
 protected:
  // Reads `bytes` as a file; returns the message of the FormatError, or "" if it loads. Fails the
  // test for any other exception, and for too much memory or time.
  std::string read(std::string_view bytes) {
    write_all(path_, bytes);
    std::string message;
    const auto start = std::chrono::steady_clock::now();
    const std::size_t memory = peak_memory_of([&] {
      try {
        const SafetensorsReader reader(path_);
        for (const TensorInfo& tensor : reader.tensors()) {
          std::vector<std::byte> data(tensor.end - tensor.begin);
          reader.read(tensor, data);
        }
      } catch (const FormatError& error) {
        message = error.what();
      }
    });
    const auto time = std::chrono::steady_clock::now() - start;
    EXPECT_LE(memory, kMaxMemory) << message;
    EXPECT_LE(time, kMaxTime) << message;
    EXPECT_LE(message.size(), 1000u);
    most_memory_ = std::max(most_memory_, memory);
    most_time_ = std::max<std::chrono::nanoseconds>(most_time_, time);
    return message;
  }

  // Expects a FormatError whose message names the file and contains `what`.
  void refuse(std::string_view bytes, const std::string& what) {
    const std::string message = read(bytes);
    EXPECT_TRUE(message.starts_with(path_.string() + ": ")) << message << "\nexpected: " << what;
    EXPECT_NE(message.find(what), std::string::npos) << message << "\nexpected: " << what;
    EXPECT_NE(message.find("found"), std::string::npos) << message;
    EXPECT_NE(message.find("expected"), std::string::npos) << message;
  }

  void refuse_header(const std::string& header, const std::string& what, std::size_t data = 8) {
    refuse(safetensors_bytes(header, std::string(data, 'd')), what);
  }

  // Expects an error for a tensor "x" whose entry has these members.
  void refuse_entry(const std::string& members, const std::string& what, std::size_t data = 8) {
    refuse_header("{\"x\":{" + members + "}}", what, data);
  }

  // Records the cost of the worst file, for docs/format.md.
  void record_worst() const {
    RecordProperty("most_memory_bytes", std::to_string(most_memory_));
    RecordProperty("most_time_us", std::to_string(most_time_.count() / 1000));
  }

  const TemporaryFolder folder_;
  const fs::path path_ = folder_ / "hostile.safetensors";
  std::size_t most_memory_ = 0;
  std::chrono::nanoseconds most_time_{0};
};

const std::string kGoodHeader =
    R"({"__metadata__":{"a":"b"},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
    R"("y":{"dtype":"F64","shape":[1,2],"data_offsets":[8,24]}})";

TEST_F(HostileSafetensors, TheUndamagedFileLoads) {
  EXPECT_EQ(read(safetensors_bytes(kGoodHeader, std::string(24, 'd'))), "");
  EXPECT_EQ(read(safetensors_bytes("{}")), "");
  EXPECT_EQ(read(safetensors_bytes("{}      ")), "");
}

TEST_F(HostileSafetensors, RefusesTruncationAtEveryByte) {
  const std::string good = safetensors_bytes(kGoodHeader, std::string(24, 'd'));
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_NE(read(std::string_view(good).substr(0, size)), "") << size;
  }
}

TEST_F(HostileSafetensors, RefusesMostFlippedBitsOfTheHeader) {
  const std::string good = safetensors_bytes(kGoodHeader, std::string(24, 'd'));
  std::size_t refused = 0;
  for (std::size_t at = 0; at < good.size() - 24; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      refused += !read(bad).empty();
    }
  }
  // A flip that still loads gives another name or another metadata text.
  EXPECT_GT(refused, 8 * (good.size() - 24) * 9 / 10);
}

TEST_F(HostileSafetensors, RefusesAWrongHeaderLength) {
  const auto with_length = [](std::uint64_t length, std::size_t rest) {
    std::string bytes(8 + rest, ' ');
    std::memcpy(bytes.data(), &length, 8);
    return bytes;
  };
  refuse("", "found a file of 0 bytes, expected at least 8");
  refuse("1234567", "found a file of 7 bytes");
  for (const std::uint64_t length :
       {std::uint64_t{1} << 63, ~std::uint64_t{0}, ~std::uint64_t{0} - 7,
        (std::uint64_t{1} << 20) + 1, std::uint64_t{1} << 32}) {
    refuse(with_length(length, 100),
           "header length: found " + std::to_string(length) + ", expected at most 1048576");
  }
  refuse(with_length(101, 100), "header length: found 101, expected at most the 100 bytes");
  refuse(with_length(1 << 20, 100), "expected at most the 100 bytes");
  refuse(with_length(0, 0), "header: found \"\", expected a JSON object");
  refuse(with_length((1 << 20) + 1, 2 << 20), "expected at most 1048576");
}

TEST_F(HostileSafetensors, RefusesAHeaderThatIsNotAnObject) {
  for (const std::string header : {"[]", "1", "null", "\"x\"", " {}", "\n{}", "\xEF\xBB\xBF{}"}) {
    refuse_header(header, "expected a JSON object", 0);
  }
  for (const std::string header : {"{", "{}}", "{}{}", "{} x", "{\"a\"}", "{,}", "{\"\xff\":1}"}) {
    refuse_header(header, "malformed JSON", 0);
  }
  refuse_header(std::string("{}\0\0\0\0\0\0", 8), "NUL", 0);
}

TEST_F(HostileSafetensors, RefusesDuplicateKeysAtEveryLevel) {
  const std::string entry = R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  refuse_header("{\"x\":" + entry + ",\"x\":" + entry + "}", "second key \"x\"");
  refuse_header("{\"x\":" + entry + ",\"\\u0078\":" + entry + "}", "second key \"x\"");
  refuse_header(R"({"__metadata__":{},"__metadata__":{}})", "second key \"__metadata__\"", 0);
  refuse_header(R"({"__metadata__":{"k":"1","k":"1"}})", "second key \"k\"", 0);
  refuse_entry(R"("dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8])", "\"dtype\"");
  refuse_entry(R"("dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8])", "\"shape\"");
  refuse_entry(R"("dtype":"F32","shape":[{"a":1,"a":1}],"data_offsets":[0,8])", "\"a\"");
}

TEST_F(HostileSafetensors, RefusesMalformedMetadata) {
  refuse_header(R"({"__metadata__":1})", "__metadata__: found 1, expected an object", 0);
  refuse_header(R"({"__metadata__":[]})", "found an array, expected an object", 0);
  for (const std::string value : {"1", "null", "true", "[]", "{}", "1.5"}) {
    refuse_header("{\"__metadata__\":{\"key\":" + value + "}}", "__metadata__: key \"key\": found ",
                  0);
  }
}

TEST_F(HostileSafetensors, RefusesMalformedEntries) {
  for (const std::string value : {"1", "null", "[]", "\"F32\""}) {
    refuse_header("{\"x\":" + value + "}", "tensor \"x\": found ");
  }
  refuse_entry("", "found no key dtype");
  refuse_entry(R"("shape":[2],"data_offsets":[0,8])", "found no key dtype");
  refuse_entry(R"("dtype":"F32","data_offsets":[0,8])", "found no key shape");
  refuse_entry(R"("dtype":"F32","shape":[2])", "found no key data_offsets");
  refuse_entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1)", "key \"more\"");
  for (const std::string dtype :
       {"1", "null", "\"\"", "\"f32\"", "\"F3\"", "\"F320\"", "[\"F32\"]"}) {
    refuse_entry("\"dtype\":" + dtype + R"(,"shape":[2],"data_offsets":[0,8])",
                 "tensor \"x\": dtype: found ");
  }
}

TEST_F(HostileSafetensors, RefusesInvalidShapes) {
  for (const std::string shape :
       {"2", "null", "{}", "\"2\"", "[-2]", "[2.0]", "[2e0]", "[\"2\"]", "[null]", "[true]",
        "[[2]]", "[-0]", "[9223372036854775808]", "[18446744073709551615]", "[1e999]",
        "[18446744073709551616]", "[99999999999999999999999999]"}) {
    refuse_entry("\"dtype\":\"F32\",\"shape\":" + shape + ",\"data_offsets\":[0,8]", "found");
  }
  // Products that would wrap around to the right size.
  for (const std::string shape :
       {"[4611686018427387904,4]", "[4294967296,4294967296]", "[4294967296,4294967296,2]",
        "[9223372036854775807,9223372036854775807]", "[4611686018427387906]",
        "[2305843009213693952,4,0]"}) {
    refuse_entry("\"dtype\":\"F32\",\"shape\":" + shape + ",\"data_offsets\":[0,8]",
                 "shape: found more than 2^63 - 1 bytes");
  }
  for (const std::string shape : {"[]", "[1]", "[3]", "[0]", "[2,0]", "[2,2]", "[1000000000000]"}) {
    refuse_entry("\"dtype\":\"F32\",\"shape\":" + shape + ",\"data_offsets\":[0,8]",
                 "data_offsets: found [0, 8]");
  }
}

TEST_F(HostileSafetensors, RefusesInvalidOffsets) {
  for (const std::string offsets :
       {"8", "null", "{}", "[]", "[0]", "[0,8,8]", "[0,\"8\"]", "[0,8.0]", "[-8,0]", "[0,-8]",
        "[null,8]", "[8,0]", "[0,18446744073709551615]",
        "[18446744073709551608,18446744073709551615]", "[0,9223372036854775807]",
        "[9223372036854775799,9223372036854775807,0]", "[1,8]", "[0,9]"}) {
    refuse_entry("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" + offsets, "data_offsets");
  }
  refuse_entry(
      R"("dtype":"F32","shape":[2],"data_offsets":[9223372036854775799,9223372036854775807])",
      "(hole)");
  refuse_entry(R"("dtype":"F32","shape":[2],"data_offsets":[1,9])", "(hole)", 9);
  refuse_entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])", "found 9 bytes after", 9);
  refuse_entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])", "found 7 bytes after", 7);
  refuse_header("{}", "found 1 bytes after the header, expected 0", 1);
}

TEST_F(HostileSafetensors, RefusesOverlapsAndHoles) {
  const auto two = [](int a, int b, int c, int d) {
    const auto entry = [](const std::string& name, int begin, int end) {
      return "\"" + name + "\":{\"dtype\":\"U8\",\"shape\":[" + std::to_string(end - begin) +
             "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
    };
    return "{" + entry("x", a, b) + "," + entry("y", c, d) + "}";
  };
  EXPECT_EQ(read(safetensors_bytes(two(0, 4, 4, 8), "12345678")), "");
  EXPECT_EQ(read(safetensors_bytes(two(4, 8, 0, 4), "12345678")), "") << "any order of names";
  EXPECT_EQ(read(safetensors_bytes(two(0, 8, 8, 8), "12345678")), "");
  EXPECT_EQ(read(safetensors_bytes(two(0, 0, 0, 8), "12345678")), "");
  EXPECT_EQ(read(safetensors_bytes(two(0, 8, 0, 0), "12345678")), "");
  refuse_header(two(0, 4, 3, 8), "(overlap)");
  refuse_header(two(0, 8, 0, 8), "(overlap)");
  refuse_header(two(0, 8, 2, 4), "(overlap)");
  refuse_header(two(0, 8, 4, 4), "(overlap)");
  refuse_header(two(0, 3, 4, 8), "(hole)");
  refuse_header(two(1, 4, 4, 8), "(hole)");
  refuse_header(two(0, 4, 4, 7), "data: found 8 bytes after the header, expected 7");
  refuse_header(two(0, 4, 4, 9), "data: found 8 bytes after the header, expected 9");
}

TEST_F(HostileSafetensors, RefusesPathsThatAreNotRegularFiles) {
  const auto message = [](const fs::path& path) -> std::string {
    try {
      const SafetensorsReader reader(path);
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message(folder_.path()),
            folder_.path().string() + ": file: found a folder, expected a regular file");
  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(message(pipe), pipe.string() + ": file: found a pipe, expected a regular file");
  EXPECT_EQ(message("/dev/zero"), "/dev/zero: file: found a device, expected a regular file");
}

// Headers of the maximum length, each built to take as much memory or time as it can.
TEST_F(HostileSafetensors, LargestHeadersTakeLittleTimeAndMemory) {
  constexpr std::size_t kSize = 1 << 20;
  const auto repeated = [](const std::string& open, const std::string& unit,
                           const std::string& close) {
    std::string text = open;
    while (text.size() + unit.size() + close.size() <= kSize) text += unit;
    return text + close;
  };
  const auto keys = [](const std::string& open, const std::string& value,
                       const std::string& close) {
    std::string text = open;
    for (int i = 0; text.size() + 40 < kSize; ++i) {
      text += (i ? ",\"" : "\"") + std::to_string(i) + "\":" + value;
    }
    return text + close;
  };
  const std::vector<std::string> headers = {
      repeated("{\"x\":", "[", ""),         // deep
      repeated("{\"x\":[", "[],", "[]]}"),  // wide
      repeated("{\"x\":[", "{},", "{}]}"),
      repeated("{\"x\":[", "1,", "1]}"),
      repeated("{\"x\":[", "\"\",", "\"\"]}"),
      repeated("{\"x\":[", "[[[[[]]]]],", "1]}"),
      repeated("", "{\"x\":", ""),
      keys("{", "1", "}"),
      keys("{", "{}", "}"),
      keys("{", "[]", "}"),
      keys("{\"__metadata__\":{", "\"\"", "}}"),
      keys("{\"x\":{", "1", "}}"),
      repeated("{\"", "k", "\":1}"),        // one key
      repeated("{\"x\":\"", "\\n", "\"}"),  // one string
      repeated("{\"x\":\"", "\x01", "\"}"),
      repeated("{\"x\":{\"dtype\":\"", "F", "\"}}"),
      repeated("{\"x\":", "9", "}"),  // one number
      repeated("{\"x\":0.", "1", "}"),
      repeated("{", " ", "?"),
  };
  for (const std::string& header : headers) {
    ASSERT_LE(header.size(), kSize);
    EXPECT_NE(read(safetensors_bytes(header)), "") << header.substr(0, 40);
  }
  // More keys than the longest header can hold.
  std::string million = "{";
  for (int i = 0; i < 1000000; ++i) million += "\"" + std::to_string(i) + "\":1,";
  EXPECT_NE(read(safetensors_bytes(million + "\"x\":1}")), "");
  record_worst();
}

// As many tensors as the reader accepts: first all valid, then all overlapping.
TEST_F(HostileSafetensors, ManyTensorsTakeLittleTimeAndMemory) {
  for (const bool good : {true, false}) {
    std::string header = "{", data;
    for (int i = 0; i < 4000; ++i) {
      const int begin = good ? i : 0;
      header += (i ? ",\"" : "\"") + std::to_string(i) + "\":{\"dtype\":\"U8\",\"shape\":[1]," +
                "\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(begin + 1) +
                "]}";
      data += 'd';
    }
    EXPECT_EQ(read(safetensors_bytes(header + "}", data)).empty(), good);
  }
  record_worst();
}

}  // namespace
}  // namespace memattn
