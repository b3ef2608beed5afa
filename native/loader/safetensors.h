#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/error.h"
#include "loader/mapped_file.h"
#include "loader/tensor.h"

namespace colophon {

/// One or several (sharded) safetensors files as one set of tensors. The header's JSON is read by a small
/// strict parser; offsets must tile the data section exactly, shapes times type must equal bytes, names must
/// be unique. Throws Error(`code`) with a sentence. A pickle (.bin, .pt: "PK" or 0x80 at the start) is
/// refused by that name.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::vector<std::string>& paths, ErrorCode code = ErrorCode::bad_model);
  SafetensorsFile(const uint8_t* data, size_t size, std::string name, ErrorCode code = ErrorCode::bad_model);

  const std::vector<Tensor>& tensors() const { return tensors_; }
  /// Null where there is none of that name; Error where its type is not F32, F16 or BF16.
  const Tensor* find(std::string_view name) const;

 private:
  void parse(const uint8_t* data, size_t size, const std::string& name);
  ErrorCode code_;
  std::vector<MappedFile> files_;
  std::vector<Tensor> tensors_;
  std::unordered_map<std::string, size_t> index_;
  std::unordered_map<std::string, std::string> unsupported_;  ///< tensor name -> type's name
};

}  // namespace colophon
