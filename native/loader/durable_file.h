#pragma once

#include <cstddef>
#include <string>

namespace colophon {

/// A file that is written: it is at its path whole and on the disk, or not at all. Until finish() its bytes are in PATH.part,
/// which goes with an unfinished one. Throws Error(resource_exhausted) where the disk is full, Error(not_found) where it
/// cannot be written for another reason, with the path and the system's word.
class DurableFile {
 public:
  explicit DurableFile(const std::string& path);
  ~DurableFile();
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  void write(const void* bytes, size_t count);
  void finish();

 private:
  [[noreturn]] void fail();

  std::string path_, part_;
  int file_ = -1;
};

}  // namespace colophon
