#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "engine/error.h"

namespace colophon {

/// A regular file, open for reading. Unlike a mapping (mapped_file.h), reading through it stays safe where
/// another process truncates the file meanwhile: that is an Error, not a SIGBUS.
class File {
 public:
  /// Throws Error(not_found) with the path and the system's reason; Error(`code`) where the path is no
  /// regular file.
  File(const std::string& path, ErrorCode code);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  /// Reads exactly `size` bytes at `offset`; Error(`code`) where the file ends before.
  void read(uint64_t offset, void* out, size_t size) const;

  int descriptor() const { return descriptor_; }
  uint64_t size() const { return size_; }  ///< as it was when opened
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  ErrorCode code_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

}  // namespace colophon
