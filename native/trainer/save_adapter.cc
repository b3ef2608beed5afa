#include "trainer/save_adapter.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "engine/error.h"

namespace colophon {
namespace {

/// A file that is there whole or not at all.
class DurableFile {
 public:
  explicit DurableFile(const std::string& path) : path_(path), part_(path + ".part") {
    file_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file_ < 0) fail();
  }
  ~DurableFile() {
    if (file_ < 0) return;
    ::close(file_);
    ::unlink(part_.c_str());
  }
  void write(const void* bytes, size_t count) {
    const auto* from = static_cast<const char*>(bytes);
    while (count > 0) {
      const ssize_t written = ::write(file_, from, count);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail();
      from += written;
      count -= static_cast<size_t>(written);
    }
  }
  void finish() {
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

 private:
  [[noreturn]] void fail() const {
    const int error = errno;
    if (file_ >= 0) {
      ::close(file_);
      ::unlink(part_.c_str());
    }
    throw Error(error == ENOSPC || error == EDQUOT ? ErrorCode::resource_exhausted : ErrorCode::not_found,
                path_ + " cannot be written: " + std::strerror(error));
  }
  std::string path_, part_;
  int file_ = -1;
};

}  // namespace

void save_adapter(const TrainableAdapter& adapter, const std::string& path) {
  struct Tensor {
    std::string name;
    const TrainableModule* module;
    bool is_b;
  };
  std::vector<Tensor> tensors;
  for (const TrainableModule& module : adapter.modules()) {
    const std::string prefix = "base_model.model.model.layers." + std::to_string(module.module.layer) + "." +
                               module_path(module.module.linear) + ".lora_";
    tensors.push_back({prefix + "A.weight", &module, false});
    tensors.push_back({prefix + "B.weight", &module, true});
  }
  std::sort(tensors.begin(), tensors.end(), [](const Tensor& a, const Tensor& b) { return a.name < b.name; });

  std::string header = "{\"__metadata__\":{\"format\":\"pt\"}";
  size_t offset = 0;
  for (const Tensor& tensor : tensors) {
    const size_t rank = tensor.module->module.rank, rows = tensor.is_b ? tensor.module->out : rank;
    const size_t columns = tensor.is_b ? rank : tensor.module->in, end = offset + rows * columns * sizeof(float);
    header += ",\"" + tensor.name + "\":{\"dtype\":\"F32\",\"shape\":[" + std::to_string(rows) + "," + std::to_string(columns) +
              "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(end) + "]}";
    offset = end;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');

  DurableFile file(path);
  const uint64_t length = header.size();
  file.write(&length, sizeof length);
  file.write(header.data(), header.size());
  std::vector<float> transposed;
  for (const Tensor& tensor : tensors) {
    const TrainableModule& module = *tensor.module;
    const size_t rank = module.module.rank;
    if (!tensor.is_b) {
      file.write(&adapter.values()[module.a], rank * module.in * sizeof(float));
      continue;
    }
    transposed.resize(rank * module.out);
    for (size_t row = 0; row < module.out; ++row)
      for (size_t i = 0; i < rank; ++i) transposed[row * rank + i] = adapter.values()[module.b + i * module.out + row];
    file.write(transposed.data(), transposed.size() * sizeof(float));
  }
  file.finish();
}

}  // namespace colophon
