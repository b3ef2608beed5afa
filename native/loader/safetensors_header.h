#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "ops/dtype.h"

namespace colophon {

/// One tensor as a safetensors header describes it.
struct SafetensorsEntry {
  std::string name;
  std::string type_name;      ///< as written: "F16", "I64", ...
  std::optional<DType> type;  ///< where it is F32, F16 or BF16
  std::vector<uint64_t> shape;
  uint64_t begin = 0, end = 0;  ///< bytes within the data section
};

/// A safetensors file begins with the length of its JSON header, then has the header, then the data section.
struct SafetensorsHeader {
  std::vector<SafetensorsEntry>
      entries;  ///< in the order of their data, which they tile without gap or overlap
  std::vector<std::pair<std::string, std::string>> metadata;
  uint64_t data_start = 0;
};

/// How many bytes at the start of a file safetensors_json_bytes looks at (fewer where the file is shorter).
constexpr size_t kSafetensorsPrefix = 512;

/// Length of the JSON header that follows the first 8 bytes of a file of `file_size` bytes which begins with
/// `prefix`. Throws Error(`code`) where the file is no safetensors file; a pickle is refused by that name.
uint64_t safetensors_json_bytes(std::string_view prefix, uint64_t file_size, const std::string& file,
                                ErrorCode code);

/// Parses the header and checks every number in it against the file's size. Throws Error(`code`).
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t file_size, const std::string& file,
                                           ErrorCode code);

}  // namespace colophon
