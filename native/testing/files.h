#pragma once

// Files for tests and fuzzers: temporary ones on disk, and writers of small GGUF and safetensors files that
// can also be wrong.

#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace colophon::testing {

/// A number's bytes as the formats store them.
template <typename T>
std::string bytes_of(T value) {
  std::string out(sizeof(T), '\0');
  std::memcpy(out.data(), &value, sizeof(T));
  return out;
}

inline void write_file(const std::string& path, std::string_view content) {
  std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A folder that goes away with everything in it.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "colophon-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data()) != nullptr ? pattern : ".";
  }
  ~TempDir() {
    std::error_code ignored;
    if (path_ != ".") std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  std::string path(const std::string& name) const { return path_ + "/" + name; }
  /// Writes a file and returns its path.
  std::string write(const std::string& name, std::string_view content) const {
    write_file(path(name), content);
    return path(name);
  }

 private:
  std::string path_;
};

/// Writes a GGUF file piece by piece; nothing is checked, so that every field can be a lie.
struct GgufWriter {
  uint32_t version = 3;
  uint64_t alignment = 32;
  uint64_t value_count = 0, tensor_count = 0;
  std::string values, infos, data;

  static std::string text(std::string_view s) { return bytes_of(uint64_t{s.size()}) + std::string(s); }

  /// A metadata value of GGUF's type number `type`, its bytes as they are.
  GgufWriter& value(std::string_view key, uint32_t type, const std::string& payload) {
    values += text(key) + bytes_of(type) + payload;
    ++value_count;
    return *this;
  }
  GgufWriter& u32(std::string_view key, uint32_t v) { return value(key, 4, bytes_of(v)); }
  GgufWriter& f32(std::string_view key, float v) { return value(key, 6, bytes_of(v)); }
  GgufWriter& string(std::string_view key, std::string_view v) { return value(key, 8, text(v)); }
  GgufWriter& array(std::string_view key, uint32_t type, uint64_t count, const std::string& payload) {
    return value(key, 9, bytes_of(type) + bytes_of(count) + payload);
  }

  /// A tensor's entry alone; `dimensions` in GGUF's order, the row's length first.
  GgufWriter& info(std::string_view name, uint32_t type, const std::vector<uint64_t>& dimensions,
                   uint64_t offset) {
    infos += text(name) + bytes_of(static_cast<uint32_t>(dimensions.size()));
    for (const uint64_t dimension : dimensions) infos += bytes_of(dimension);
    infos += bytes_of(type) + bytes_of(offset);
    ++tensor_count;
    return *this;
  }
  GgufWriter& tensor(std::string_view name, uint32_t type, const std::vector<uint64_t>& dimensions,
                     std::string_view content) {
    data.resize((data.size() + alignment - 1) / alignment * alignment);
    info(name, type, dimensions, data.size());
    data += content;
    return *this;
  }

  std::string build() const {
    std::string out =
        "GGUF" + bytes_of(version) + bytes_of(tensor_count) + bytes_of(value_count) + values + infos;
    if (tensor_count > 0) out.resize((out.size() + alignment - 1) / alignment * alignment);
    return out + data;
  }
};

/// A safetensors file of a header and a data section, however wrong.
inline std::string safetensors(const std::string& json, const std::string& data) {
  return bytes_of(uint64_t{json.size()}) + json + data;
}

/// Writes a well-formed safetensors file tensor by tensor.
struct SafetensorsWriter {
  std::string entries, data;

  SafetensorsWriter& tensor(const std::string& name, const std::string& dtype,
                            const std::vector<uint64_t>& shape, const std::string& content) {
    std::string dimensions;
    for (const uint64_t dimension : shape)
      dimensions += (dimensions.empty() ? "" : ",") + std::to_string(dimension);
    entries += (entries.empty() ? "\"" : ",\"") + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":[" +
               dimensions + "],\"data_offsets\":[" + std::to_string(data.size()) + "," +
               std::to_string(data.size() + content.size()) + "]}";
    data += content;
    return *this;
  }
  std::string build() const { return safetensors("{" + entries + "}", data); }
};

}  // namespace colophon::testing
