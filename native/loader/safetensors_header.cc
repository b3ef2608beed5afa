#include "loader/safetensors_header.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <unordered_set>

#include "loader/describe.h"
#include "loader/json.h"

namespace colophon {
namespace {

// The format's own limit (https://huggingface.co/docs/safetensors), against headers that exist to spend
// memory.
constexpr uint64_t kMaxJsonBytes = 100'000'000;

struct TypeInfo {
  const char* name;
  uint64_t bits;
  std::optional<DType> type;
};
constexpr TypeInfo kTypes[] = {
    {"F32", 32, DType::f32},      {"F16", 16, DType::f16},      {"BF16", 16, DType::bf16},
    {"F64", 64, std::nullopt},    {"F8_E4M3", 8, std::nullopt}, {"F8_E5M2", 8, std::nullopt},
    {"F8_E8M0", 8, std::nullopt}, {"F6_E2M3", 6, std::nullopt}, {"F6_E3M2", 6, std::nullopt},
    {"F4", 4, std::nullopt},      {"BOOL", 8, std::nullopt},    {"U8", 8, std::nullopt},
    {"I8", 8, std::nullopt},      {"U16", 16, std::nullopt},    {"I16", 16, std::nullopt},
    {"U32", 32, std::nullopt},    {"I32", 32, std::nullopt},    {"U64", 64, std::nullopt},
    {"I64", 64, std::nullopt},    {"C64", 64, std::nullopt},
};

/// Reads {"dtype": "F16", "shape": [8, 576], "data_offsets": [0, 9216]}; nothing else may stand in it.
SafetensorsEntry read_entry(JsonReader& json, const std::string& name) {
  SafetensorsEntry entry;
  entry.name = name;
  bool dtype = false, shape = false, offsets = false;
  const auto once = [&](bool& seen, const std::string& key) {
    if (seen) json.fail("the tensor " + quote(name) + " has " + quote(key) + " twice");
    seen = true;
  };
  json.object([&](const std::string& key) {
    if (key == "dtype") {
      once(dtype, key);
      entry.type_name = json.string();
    } else if (key == "shape") {
      once(shape, key);
      json.array([&] { entry.shape.push_back(json.unsigned_integer()); });
    } else if (key == "data_offsets") {
      once(offsets, key);
      json.expect('[');
      entry.begin = json.unsigned_integer();
      json.expect(',');
      entry.end = json.unsigned_integer();
      json.expect(']');
    } else {
      json.fail("the tensor " + quote(name) + " has the unknown field " + quote(key));
    }
  });
  if (!dtype || !shape || !offsets) {
    json.fail("the tensor " + quote(name) + " lacks " +
              (!dtype   ? "dtype"
               : !shape ? "shape"
                        : "data_offsets"));
  }
  return entry;
}

/// Bytes of a tensor by its type and shape; nullopt where they are no whole number or more than 64 bits hold.
std::optional<uint64_t> bytes_of(const std::vector<uint64_t>& shape, uint64_t bits) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  uint64_t total = bits;
  for (const uint64_t dimension : shape) {
    if (dimension > std::numeric_limits<uint64_t>::max() / total) return std::nullopt;
    total *= dimension;
  }
  return total % 8 == 0 ? std::optional(total / 8) : std::nullopt;
}

}  // namespace

uint64_t safetensors_json_bytes(std::string_view prefix, uint64_t file_size, const std::string& file,
                                ErrorCode code) {
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(prefix.data());
  const std::string subject = "the file " + quote(file);
  uint64_t length = 0;
  if (prefix.size() > 8) std::memcpy(&length, bytes, 8);
  const bool braced = prefix.size() > 8 && prefix[8] == '{';
  if (!braced || length > kMaxJsonBytes) {
    // Only now: a good file's length may begin with 0x80 (128) or "PK" (19280) too.
    if (prefix.starts_with("PK") || prefix.starts_with("\x80")) {
      throw Error(code, subject + " is a PyTorch pickle (" + describe_content(bytes, prefix.size()) +
                            "), which can run code when it is read; save it with safetensors instead " +
                            "(save_pretrained(..., safe_serialization=True))");
    }
    if (braced) {
      throw Error(code, subject + " says that its header is " + std::to_string(length) +
                            " bytes long; at most " + std::to_string(kMaxJsonBytes) +
                            " are possible: it is damaged, write or download it again");
    }
    throw Error(code, subject + " is not a safetensors file: it seems to be " +
                          describe_content(bytes, prefix.size()) + "; check the path or download it again");
  }
  if (length > file_size - 8) {
    throw Error(code, subject + " ends at byte " + std::to_string(file_size) + ", inside its header of " +
                          std::to_string(length) +
                          " bytes that begins at byte 8; it seems to be cut off: write or download it again");
  }
  return length;
}

SafetensorsHeader parse_safetensors_header(std::string_view text, uint64_t file_size, const std::string& file,
                                           ErrorCode code) {
  SafetensorsHeader header;
  header.data_start = 8 + text.size();
  const uint64_t data_bytes = file_size - header.data_start;

  JsonReader json(text, file, code);
  std::unordered_set<std::string> names;
  json.object([&](const std::string& name) {
    if (!names.insert(name).second) json.fail(quote(name) + " appears twice");
    if (name != "__metadata__") {
      header.entries.push_back(read_entry(json, name));
      return;
    }
    std::unordered_set<std::string> keys;
    json.object([&](const std::string& key) {
      if (!keys.insert(key).second) json.fail(quote(key) + " appears twice in __metadata__");
      header.metadata.emplace_back(key, json.string());
    });
  });
  json.end();

  const std::string subject = "the file " + quote(file);
  for (SafetensorsEntry& entry : header.entries) {
    const std::string tensor = "the tensor " + quote(entry.name);
    const auto info = std::find_if(std::begin(kTypes), std::end(kTypes),
                                   [&](const TypeInfo& t) { return entry.type_name == t.name; });
    if (info == std::end(kTypes)) {
      throw Error(code, tensor + " in " + subject + " has the type " + quote(entry.type_name) +
                            ", which safetensors does not know");
    }
    entry.type = info->type;
    if (entry.begin > entry.end) {
      throw Error(code, tensor + " in " + subject + " ends at offset " + std::to_string(entry.end) +
                            ", before it begins at " + std::to_string(entry.begin));
    }
    if (entry.end > data_bytes) {
      throw Error(code,
                  subject + " ends at byte " + std::to_string(file_size) + ", before or inside the data of " +
                      tensor + " (bytes " + std::to_string(entry.begin) + " to " + std::to_string(entry.end) +
                      " of the data section, which begins at byte " + std::to_string(header.data_start) +
                      "); it seems to be cut off: write or download it again");
    }
    const std::optional<uint64_t> bytes = bytes_of(entry.shape, info->bits);
    if (bytes != entry.end - entry.begin) {
      throw Error(code, tensor + " in " + subject + " has " + std::to_string(entry.end - entry.begin) +
                            " bytes, which its shape " + shape_text(entry.shape) + " of type " +
                            entry.type_name + " contradicts");
    }
  }

  // By end too: an empty tensor at the same place comes first.
  std::sort(header.entries.begin(), header.entries.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
              return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
            });
  uint64_t covered = 0;
  for (const SafetensorsEntry& entry : header.entries) {
    if (entry.begin != covered) {
      throw Error(
          code, "the tensor " + quote(entry.name) + " in " + subject + " begins at offset " +
                    std::to_string(entry.begin) +
                    (entry.begin < covered ? ", inside the tensor before it, which ends at "
                                           : ", leaving a gap behind the tensor before it, which ends at ") +
                    std::to_string(covered));
    }
    covered = entry.end;
  }
  if (covered != data_bytes) {
    throw Error(code, subject + " has " + std::to_string(data_bytes - covered) +
                          " bytes behind its last tensor that no tensor covers");
  }
  return header;
}

}  // namespace colophon
