#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "loader/mapped_file.h"
#include "loader/tensor.h"

namespace colophon {

/// A GGUF metadata value; integers of every width become int64/uint64, floats become double.
using GgufValue =
    std::variant<bool, int64_t, uint64_t, double, std::string, std::vector<bool>, std::vector<int64_t>,
                 std::vector<uint64_t>, std::vector<double>, std::vector<std::string>>;

/// A GGUF v3 (and v2) file, little-endian (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
/// Every count, size and offset is checked before it is used; what is wrong is said with the byte offset.
/// Throws Error(bad_model). Tensors of a type that DType lacks are listed in `unsupported()` and refused when
/// asked for.
class GgufFile {
 public:
  explicit GgufFile(const std::string& path);
  /// Parses bytes that the caller keeps alive (tests, fuzzing); `name` is for messages.
  GgufFile(const uint8_t* data, size_t size, std::string name);

  const std::vector<std::pair<std::string, GgufValue>>& metadata() const { return metadata_; }
  const GgufValue* find_value(std::string_view key) const;
  /// Typed look-ups: nullopt where absent; Error(bad_model) where present with another type or out of range.
  std::optional<uint64_t> unsigned_value(std::string_view key) const;
  std::optional<double> number_value(std::string_view key) const;
  std::optional<std::string> string_value(std::string_view key) const;

  const std::vector<Tensor>& tensors() const { return tensors_; }
  /// Null where there is no tensor of that name; Error(bad_model) where it has an unsupported type.
  const Tensor* find(std::string_view name) const;

 private:
  void parse(const uint8_t* data, size_t size);
  std::optional<MappedFile> file_;
  std::string name_;
  std::vector<std::pair<std::string, GgufValue>> metadata_;
  std::unordered_map<std::string, size_t> value_index_;
  std::vector<Tensor> tensors_;
  std::unordered_map<std::string, size_t> tensor_index_;
  std::unordered_map<std::string, std::string> unsupported_;  ///< tensor name -> type's name
};

}  // namespace colophon
