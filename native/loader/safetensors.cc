#include "loader/safetensors.h"

#include <algorithm>

#include "loader/describe.h"
#include "loader/safetensors_header.h"

namespace colophon {

SafetensorsFile::SafetensorsFile(const std::vector<std::string>& paths, ErrorCode code) : code_(code) {
  if (paths.empty()) throw Error(code, "no safetensors file was given");
  files_.reserve(paths.size());
  for (const std::string& path : paths) {
    const MappedFile& file = files_.emplace_back(path, code);
    parse(file.data(), file.size(), path);
  }
}

SafetensorsFile::SafetensorsFile(const uint8_t* data, size_t size, std::string name, ErrorCode code)
    : code_(code) {
  parse(data, size, name);
}

void SafetensorsFile::parse(const uint8_t* data, size_t size, const std::string& name) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const uint64_t json_bytes = safetensors_json_bytes(text.substr(0, kSafetensorsPrefix), size, name, code_);
  SafetensorsHeader header =
      parse_safetensors_header(text.substr(8, static_cast<size_t>(json_bytes)), size, name, code_);
  for (SafetensorsEntry& entry : header.entries) {
    if (index_.contains(entry.name) || unsupported_.contains(entry.name)) {
      throw Error(code_, "the tensor " + quote(entry.name) + " of the file " + quote(name) +
                             " is in another file too");
    }
    if (!entry.type) {
      unsupported_.emplace(std::move(entry.name), std::move(entry.type_name));
      continue;
    }
    index_.emplace(entry.name, tensors_.size());
    tensors_.push_back({std::move(entry.name), *entry.type, std::move(entry.shape),
                        data + header.data_start + entry.begin,
                        static_cast<size_t>(entry.end - entry.begin)});
  }
}

const Tensor* SafetensorsFile::find(std::string_view name) const {
  if (const auto found = index_.find(std::string(name)); found != index_.end())
    return &tensors_[found->second];
  if (const auto found = unsupported_.find(std::string(name)); found != unsupported_.end()) {
    throw Error(code_, "the tensor " + quote(name) + " has the type " + found->second +
                           ", which is not supported; store it as F32, F16 or BF16");
  }
  return nullptr;
}

}  // namespace colophon
