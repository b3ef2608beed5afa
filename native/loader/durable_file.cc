#include "loader/durable_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/error.h"

namespace colophon {

DurableFile::DurableFile(const std::string& path) : path_(path), part_(path + ".part") {
  file_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file_ < 0) fail();
}

DurableFile::~DurableFile() {
  if (file_ < 0) return;
  ::close(file_);
  ::unlink(part_.c_str());
}

void DurableFile::write(const void* bytes, size_t count) {
  const auto* from = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t written = ::write(file_, from, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail();
    from += written;
    count -= static_cast<size_t>(written);
  }
}

void DurableFile::finish() {
  if (::fsync(file_) != 0 || ::rename(part_.c_str(), path_.c_str()) != 0) fail();
  ::close(file_);
  file_ = -1;
  const size_t slash = path_.find_last_of('/');
  const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  const int of = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (of < 0) return;
  ::fsync(of);
  ::close(of);
}

void DurableFile::fail() {
  const int error = errno;
  if (file_ >= 0) {
    ::close(file_);
    ::unlink(part_.c_str());
    file_ = -1;
  }
  throw Error(error == ENOSPC || error == EDQUOT ? ErrorCode::resource_exhausted : ErrorCode::not_found,
              path_ + " cannot be written: " + std::strerror(error));
}

}  // namespace colophon
