#include "loader/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "engine/error.h"
#include "loader/describe.h"

namespace colophon {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF's numbers are used as they lie in the file");

// The format's own limits (gguf.md); the names' one is llama.cpp's with room to spare.
constexpr uint64_t kMaxKeyBytes = 65535, kMaxNameBytes = 1024;
constexpr uint32_t kMaxDimensions = 4;
constexpr uint64_t kDefaultAlignment = 32, kMinAlignment = 8, kMaxAlignment = 1 << 20;

enum ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
  kValueTypes
};

/// Bytes of one value of a metadata type in the file; for a string, of its length.
constexpr uint64_t kValueBytes[kValueTypes] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};

/// ggml_type by number, with the names of ggml.h; the removed ones stay nameless.
constexpr const char* kTypeNames[] = {
    "F32",   "F16",    "Q4_0",  "Q4_1",  nullptr, nullptr,   "Q5_0",   "Q5_1",    "Q8_0",  "Q8_1",   "Q2_K",
    "Q3_K",  "Q4_K",   "Q5_K",  "Q6_K",  "Q8_K",  "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S",
    "IQ2_S", "IQ4_XS", "I8",    "I16",   "I32",   "I64",     "F64",    "IQ1_M",   "BF16",  nullptr,  nullptr,
    nullptr, "TQ1_0",  "TQ2_0", nullptr, nullptr, nullptr,   "MXFP4",  "NVFP4"};

std::optional<DType> supported_type(uint32_t number) {
  switch (number) {
    case 0:
      return DType::f32;
    case 1:
      return DType::f16;
    case 2:
      return DType::q4_0;
    case 3:
      return DType::q4_1;
    case 8:
      return DType::q8_0;
    case 12:
      return DType::q4_k;
    case 14:
      return DType::q6_k;
    case 30:
      return DType::bf16;
    default:
      return std::nullopt;
  }
}

std::string type_name(uint32_t number) {
  if (number < std::size(kTypeNames) && kTypeNames[number] != nullptr) return kTypeNames[number];
  return "number " + std::to_string(number) + " (unknown here)";
}

const char* kind_name(const GgufValue& value) {
  constexpr const char* kNames[] = {"a boolean",
                                    "an integer",
                                    "an unsigned integer",
                                    "a number",
                                    "a string",
                                    "an array of booleans",
                                    "an array of integers",
                                    "an array of unsigned integers",
                                    "an array of numbers",
                                    "an array of strings"};
  static_assert(std::size(kNames) == std::variant_size_v<GgufValue>);
  return kNames[value.index()];
}

[[noreturn]] void refuse(const std::string& sentence) { throw Error(ErrorCode::bad_model, sentence); }

/// Walks through the file; nothing is read before it is known to lie inside.
class Reader {
 public:
  Reader(const uint8_t* data, size_t size, const std::string& name) : data_(data), size_(size), name_(name) {}

  size_t position() const { return position_; }
  uint64_t left() const { return size_ - position_; }

  /// "the GGUF file "x", byte 123: "
  [[noreturn]] void fail(size_t at, const std::string& what) const {
    refuse("the GGUF file " + quote(name_) + " is malformed at byte " + std::to_string(at) + ": " + what);
  }
  [[noreturn]] void truncated(const std::string& what) const {
    refuse("the GGUF file " + quote(name_) + " ends at byte " + std::to_string(size_) + ", inside " + what +
           " that begins at byte " + std::to_string(position_) +
           "; it seems to be cut off: download it again");
  }

  template <typename T>
  T number(const char* what) {
    if (left() < sizeof(T)) truncated(what);
    T value;
    std::memcpy(&value, data_ + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  bool boolean() {
    const uint8_t value = number<uint8_t>("a boolean");
    if (value > 1)
      fail(position_ - 1, "a boolean has the value " + std::to_string(value) + "; only 0 and 1 are possible");
    return value == 1;
  }

  std::string string(const char* what, uint64_t limit = std::numeric_limits<uint64_t>::max()) {
    const size_t start = position_;
    const uint64_t length = number<uint64_t>(what);
    if (length > limit) {
      fail(start, std::string(what) + " is " + std::to_string(length) + " bytes long; at most " +
                      std::to_string(limit) + " are possible");
    }
    if (length > left()) {
      position_ = start;
      truncated(what);
    }
    std::string text(reinterpret_cast<const char*>(data_ + position_), static_cast<size_t>(length));
    position_ += static_cast<size_t>(length);
    return text;
  }

  /// A count of things of at least `least` bytes each: what cannot fit into the rest of the file is refused
  /// before memory is set aside for it.
  uint64_t count(const char* what, uint64_t least) {
    const size_t start = position_;
    const uint64_t n = number<uint64_t>(what);
    if (n > left() / least) {
      refuse("the GGUF file " + quote(name_) + " says at byte " + std::to_string(start) + " that its " +
             what + " is " + std::to_string(n) + ", which cannot fit into the " + std::to_string(left()) +
             " bytes that follow; it seems to be cut off or damaged: download it again");
    }
    return n;
  }

 private:
  const uint8_t* data_;
  size_t size_;
  const std::string& name_;
  size_t position_ = 0;
};

template <typename Wide, typename Narrow>
std::vector<Wide> numbers(Reader& reader, uint64_t count) {
  std::vector<Wide> out;
  out.reserve(static_cast<size_t>(count));
  for (uint64_t i = 0; i < count; ++i) out.push_back(static_cast<Wide>(reader.number<Narrow>("an array")));
  return out;
}

GgufValue read_array(Reader& reader, const std::string& key) {
  const size_t start = reader.position();
  const uint32_t type = reader.number<uint32_t>("the type of an array");
  if (type == kArray)
    reader.fail(start, "the value of " + quote(key) + " is an array of arrays, which is not supported");
  if (type >= kValueTypes) {
    reader.fail(start,
                "the array of " + quote(key) + " has the unknown element type " + std::to_string(type));
  }
  const uint64_t count = reader.count("array length", kValueBytes[type]);
  switch (type) {
    case kU8:
      return numbers<uint64_t, uint8_t>(reader, count);
    case kI8:
      return numbers<int64_t, int8_t>(reader, count);
    case kU16:
      return numbers<uint64_t, uint16_t>(reader, count);
    case kI16:
      return numbers<int64_t, int16_t>(reader, count);
    case kU32:
      return numbers<uint64_t, uint32_t>(reader, count);
    case kI32:
      return numbers<int64_t, int32_t>(reader, count);
    case kU64:
      return numbers<uint64_t, uint64_t>(reader, count);
    case kI64:
      return numbers<int64_t, int64_t>(reader, count);
    case kF32:
      return numbers<double, float>(reader, count);
    case kF64:
      return numbers<double, double>(reader, count);
    case kBool: {
      std::vector<bool> out;
      for (uint64_t i = 0; i < count; ++i) out.push_back(reader.boolean());
      return out;
    }
    default: {
      std::vector<std::string> out;
      out.reserve(static_cast<size_t>(count));
      for (uint64_t i = 0; i < count; ++i) out.push_back(reader.string("a string of an array"));
      return out;
    }
  }
}

GgufValue read_value(Reader& reader, const std::string& key) {
  const size_t start = reader.position();
  const uint32_t type = reader.number<uint32_t>("the type of a metadata value");
  switch (type) {
    case kU8:
      return uint64_t{reader.number<uint8_t>("a metadata value")};
    case kI8:
      return int64_t{reader.number<int8_t>("a metadata value")};
    case kU16:
      return uint64_t{reader.number<uint16_t>("a metadata value")};
    case kI16:
      return int64_t{reader.number<int16_t>("a metadata value")};
    case kU32:
      return uint64_t{reader.number<uint32_t>("a metadata value")};
    case kI32:
      return int64_t{reader.number<int32_t>("a metadata value")};
    case kU64:
      return reader.number<uint64_t>("a metadata value");
    case kI64:
      return reader.number<int64_t>("a metadata value");
    case kF32:
      return double{reader.number<float>("a metadata value")};
    case kF64:
      return reader.number<double>("a metadata value");
    case kBool:
      return reader.boolean();
    case kString:
      return reader.string("a metadata string");
    case kArray:
      return read_array(reader, key);
    default:
      reader.fail(start, "the value of " + quote(key) + " has the unknown type " + std::to_string(type));
  }
}

/// What a tensor's entry says, before it is known where the data section begins.
struct Entry {
  std::string name;
  uint32_t type;
  std::vector<uint64_t> shape;
  uint64_t elements, offset;
  size_t at;  ///< where the entry begins
};

Entry read_entry(Reader& reader) {
  Entry entry;
  entry.at = reader.position();
  entry.name = reader.string("a tensor's name", kMaxNameBytes);
  const uint32_t dimensions = reader.number<uint32_t>("a tensor's number of dimensions");
  if (dimensions < 1 || dimensions > kMaxDimensions) {
    reader.fail(entry.at, "the tensor " + quote(entry.name) + " has " + std::to_string(dimensions) +
                              " dimensions; 1 to 4 are possible");
  }
  entry.elements = 1;
  for (uint32_t i = 0; i < dimensions; ++i)
    entry.shape.push_back(reader.number<uint64_t>("a tensor's dimensions"));
  std::reverse(entry.shape.begin(), entry.shape.end());
  for (const uint64_t dimension : entry.shape) {
    // Signed 64-bit as in ggml, so that products with block sizes below 64 KiB can be divided back safely.
    constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
    if (dimension == 0 || dimension > kMost / entry.elements) {
      reader.fail(entry.at,
                  "the tensor " + quote(entry.name) + " has the impossible shape " + shape_text(entry.shape));
    }
    entry.elements *= dimension;
  }
  entry.type = reader.number<uint32_t>("a tensor's type");
  entry.offset = reader.number<uint64_t>("a tensor's offset");
  return entry;
}

void check_version(const Reader& reader, const std::string& name, uint32_t version) {
  if (version == 2 || version == 3) return;
  const std::string file = "the GGUF file " + quote(name);
  if (version == 1)
    refuse(file + " has version 1 of the format, which nothing writes any more; use a file of version 3");
  if ((version & 0xffff) == 0 && version != 0) {
    refuse(file + " is big-endian, which is not supported; convert the model to a little-endian file");
  }
  if (version == 0) reader.fail(4, "its version is 0");
  refuse(file + " has version " + std::to_string(version) + " of the format; versions 2 and 3 are supported");
}

}  // namespace

GgufFile::GgufFile(const std::string& path) : file_(std::in_place, path), name_(path) {
  parse(file_->data(), file_->size());
}

GgufFile::GgufFile(const uint8_t* data, size_t size, std::string name) : name_(std::move(name)) {
  parse(data, size);
}

void GgufFile::parse(const uint8_t* data, size_t size) {
  Reader reader(data, size, name_);
  if (size < 4 || std::memcmp(data, "GGUF", 4) != 0) {
    refuse("the file " + quote(name_) +
           " is not a GGUF model: it does not begin with \"GGUF\" and seems to be " +
           describe_content(data, size) + "; check the path or download it again");
  }
  reader.number<uint32_t>("the magic number");
  check_version(reader, name_, reader.number<uint32_t>("the version"));
  // An entry has at least a name's length, one dimension's count and size, a type and an offset; a value a
  // key's length, a type and a byte.
  const uint64_t tensor_count = reader.count("number of tensors", 8 + 4 + 8 + 4 + 8);
  const uint64_t value_count = reader.count("number of metadata values", 8 + 4 + 1);

  for (uint64_t i = 0; i < value_count; ++i) {
    const size_t at = reader.position();
    std::string key = reader.string("a metadata key", kMaxKeyBytes);
    if (!value_index_.emplace(key, metadata_.size()).second) {
      reader.fail(at, "the metadata key " + quote(key) + " appears twice");
    }
    GgufValue value = read_value(reader, key);
    metadata_.emplace_back(std::move(key), std::move(value));
  }

  const uint64_t alignment = unsigned_value("general.alignment").value_or(kDefaultAlignment);
  if (!std::has_single_bit(alignment) || alignment < kMinAlignment || alignment > kMaxAlignment) {
    refuse("the GGUF file " + quote(name_) + " has the general.alignment " + std::to_string(alignment) +
           "; powers of two from 8 to 1048576 are possible");
  }

  std::vector<Entry> entries;
  entries.reserve(static_cast<size_t>(tensor_count));
  for (uint64_t i = 0; i < tensor_count; ++i) entries.push_back(read_entry(reader));
  if (entries.empty()) return;

  const uint64_t padding = (alignment - reader.position() % alignment) % alignment;
  if (padding > reader.left()) reader.truncated("the padding before the tensors' data");
  const size_t data_start = reader.position() + static_cast<size_t>(padding);
  const uint64_t data_bytes = size - data_start;

  for (const Entry& entry : entries) {
    const std::string tensor = "the tensor " + quote(entry.name);
    if (tensor_index_.contains(entry.name) || unsupported_.contains(entry.name)) {
      reader.fail(entry.at, tensor + " appears twice");
    }
    if (entry.offset % alignment != 0) {
      reader.fail(entry.at, tensor + " has the offset " + std::to_string(entry.offset) +
                                ", which is no multiple of the alignment " + std::to_string(alignment));
    }
    const std::optional<DType> type = supported_type(entry.type);
    uint64_t bytes = 1;  // of an unsupported type: its size is unknown, but it begins inside the file
    if (type) {
      const uint64_t per_block = block_elements(*type);
      if (entry.shape.back() % per_block != 0) {
        reader.fail(entry.at, tensor + " of type " + std::string(to_string(*type)) + " has the shape " +
                                  shape_text(entry.shape) + "; its rows must be multiples of " +
                                  std::to_string(per_block));
      }
      const uint64_t blocks = entry.elements / per_block;
      bytes = blocks > data_bytes / block_bytes(*type) ? data_bytes + 1 : blocks * block_bytes(*type);
    }
    if (entry.offset > data_bytes || bytes > data_bytes - entry.offset) {
      refuse("the GGUF file " + quote(name_) + " ends at byte " + std::to_string(size) +
             ", before or inside the data of " + tensor + " with shape " + shape_text(entry.shape) +
             " at offset " + std::to_string(entry.offset) + " (the data section begins at byte " +
             std::to_string(data_start) + "); it seems to be cut off: download it again");
    }
    if (!type) {
      unsupported_.emplace(entry.name, type_name(entry.type));
      continue;
    }
    tensor_index_.emplace(entry.name, tensors_.size());
    tensors_.push_back(
        {entry.name, *type, entry.shape, data + data_start + entry.offset, static_cast<size_t>(bytes)});
  }

  std::vector<const Tensor*> by_place;
  for (const Tensor& tensor : tensors_) by_place.push_back(&tensor);
  std::sort(by_place.begin(), by_place.end(),
            [](const Tensor* a, const Tensor* b) { return a->data < b->data; });
  for (size_t i = 1; i < by_place.size(); ++i) {
    const Tensor& before = *by_place[i - 1];
    if (before.data + before.bytes > by_place[i]->data) {
      reader.fail(static_cast<size_t>(by_place[i]->data - data),
                  "the tensors " + quote(before.name) + " and " + quote(by_place[i]->name) + " overlap");
    }
  }
}

const GgufValue* GgufFile::find_value(std::string_view key) const {
  const auto found = value_index_.find(std::string(key));
  return found == value_index_.end() ? nullptr : &metadata_[found->second].second;
}

std::optional<uint64_t> GgufFile::unsigned_value(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr) return std::nullopt;
  if (const uint64_t* number = std::get_if<uint64_t>(value)) return *number;
  if (const int64_t* number = std::get_if<int64_t>(value)) {
    if (*number >= 0) return static_cast<uint64_t>(*number);
    refuse("the GGUF file " + quote(name_) + " has " + std::to_string(*number) + " as its " + quote(key) +
           "; it must not be negative");
  }
  refuse("the GGUF file " + quote(name_) + " has " + kind_name(*value) + " as its " + quote(key) +
         "; it must be an unsigned integer");
}

std::optional<double> GgufFile::number_value(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr) return std::nullopt;
  if (const double* number = std::get_if<double>(value)) return *number;
  if (const uint64_t* number = std::get_if<uint64_t>(value)) return static_cast<double>(*number);
  if (const int64_t* number = std::get_if<int64_t>(value)) return static_cast<double>(*number);
  refuse("the GGUF file " + quote(name_) + " has " + kind_name(*value) + " as its " + quote(key) +
         "; it must be a number");
}

std::optional<std::string> GgufFile::string_value(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr) return std::nullopt;
  if (const std::string* text = std::get_if<std::string>(value)) return *text;
  refuse("the GGUF file " + quote(name_) + " has " + kind_name(*value) + " as its " + quote(key) +
         "; it must be a string");
}

const Tensor* GgufFile::find(std::string_view name) const {
  if (const auto found = tensor_index_.find(std::string(name)); found != tensor_index_.end())
    return &tensors_[found->second];
  if (const auto found = unsupported_.find(std::string(name)); found != unsupported_.end()) {
    refuse("the tensor " + quote(name) + " of the GGUF file " + quote(name_) + " has the type " +
           found->second +
           ", which is not supported; use a file with the types F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K and "
           "Q6_K");
  }
  return nullptr;
}

}  // namespace colophon
