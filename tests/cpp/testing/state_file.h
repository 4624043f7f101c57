// Hand-made files of a forecaster's state, with a valid checksum.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "io/json_writer.h"
#include "io/sha256.h"

namespace memattn::testing {

// Returns the content with its checksum replaced by the correct one.
inline std::string with_checksum(std::string content) {
  const std::string_view key = "\"checksum\": \"";
  const std::size_t digits = content.find(key) + key.size();
  content.replace(digits, 64, 64, '0');
  Sha256 hash;
  hash.update(std::as_bytes(std::span(content)));
  content.replace(digits, 64, hash.finish());
  return content;
}

// Returns a file with tensors, their header `entries` as JSON, and a config as JSON.
inline std::string state_file(std::string_view config, std::string_view entries,
                              std::string_view data, std::string_view version = "1") {
  std::string header = R"({"__metadata__": {"format": "memattn.Forecaster", "format_version": )";
  header += json_text(version) + R"(, "config": )" + json_text(config);
  header += R"(, "checksum": ")" + std::string(64, '0') + R"("})";
  header += std::string(entries.empty() ? "" : ", ") + std::string(entries) + "}";
  std::string content(8, '\0');
  const std::uint64_t size = header.size();
  std::memcpy(content.data(), &size, 8);
  return with_checksum(content.append(header).append(data));
}

}  // namespace memattn::testing
