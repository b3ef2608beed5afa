#include "loader/mapped_file.h"

#include <sys/mman.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "loader/describe.h"
#include "loader/file.h"

namespace colophon {

MappedFile::MappedFile(const std::string& path, ErrorCode code) : path_(path) {
  const File file(path, code);
  if (file.size() == 0) throw Error(code, "the file " + quote(path) + " is empty; download it again");
  size_ = static_cast<size_t>(file.size());
  void* mapping = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (mapping == MAP_FAILED) {
    throw Error(ErrorCode::resource_exhausted, "cannot map the file " + quote(path) + " of " +
                                                   std::to_string(size_) +
                                                   " bytes: " + std::generic_category().message(errno));
  }
  data_ = static_cast<const uint8_t*>(mapping);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace colophon
