#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/error.h"

namespace colophon {

/// A whole file, mapped read-only. Throws Error(not_found) naming the path and the system's reason;
/// Error(`code`) where the path is a directory, a special file or an empty file.
///
/// Whoever replaces a mapped file must write a new one and rename it: a file shortened in place ends the
/// process with SIGBUS. What users replace while the server runs (adapters) is therefore read through File
/// (file.h).
class MappedFile {
 public:
  explicit MappedFile(const std::string& path, ErrorCode code = ErrorCode::bad_model);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace colophon
