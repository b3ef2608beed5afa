#include "loader/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <system_error>

#include "loader/describe.h"

namespace colophon {
namespace {

/// strerror's text without its shared buffer.
std::string reason(int error) { return std::generic_category().message(error); }

}  // namespace

File::File(const std::string& path, ErrorCode code) : path_(path), code_(code) {
  // A path with a NUL inside would silently open the part before it.
  if (path.find('\0') != std::string::npos) {
    throw Error(ErrorCode::not_found,
                "the path " + quote(path) + " holds a NUL character; give a path without");
  }
  // Non-blocking: opening a FIFO must be refused below, not wait for its writer.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) {
    throw Error(ErrorCode::not_found, "cannot open the file " + quote(path) + ": " + reason(errno));
  }
  struct stat status;
  std::string wrong;
  if (::fstat(descriptor_, &status) != 0) {
    wrong = "cannot be inspected: " + reason(errno);
  } else if (S_ISDIR(status.st_mode)) {
    wrong = "is a directory; give the path of a file";
  } else if (!S_ISREG(status.st_mode)) {
    wrong = "is a device, pipe or socket; give the path of a regular file";
  } else if (static_cast<uint64_t>(status.st_size) > std::numeric_limits<size_t>::max()) {
    wrong = "is too large for this machine's address space";
  }
  if (!wrong.empty()) {
    ::close(descriptor_);
    throw Error(code, quote(path) + " " + wrong);
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

File::~File() { ::close(descriptor_); }

void File::read(uint64_t offset, void* out, size_t size) const {
  size_t done = 0;
  while (done < size) {
    // Linux reads at most 2 GiB - 4 KiB at once, macOS refuses 2 GiB and more.
    const size_t part = std::min<size_t>(size - done, size_t{1} << 30);
    const ssize_t got =
        ::pread(descriptor_, static_cast<char*>(out) + done, part, static_cast<off_t>(offset + done));
    if (got < 0) {
      if (errno == EINTR) continue;
      throw Error(code_, "reading the file " + quote(path_) + " failed at byte " +
                             std::to_string(offset + done) + ": " + reason(errno));
    }
    if (got == 0) {
      throw Error(code_, "the file " + quote(path_) + " ended at byte " + std::to_string(offset + done) +
                             " of " + std::to_string(size_) +
                             " while it was read: something shortened it; write it again");
    }
    done += static_cast<size_t>(got);
  }
}

}  // namespace colophon
