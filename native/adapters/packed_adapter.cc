#include "adapters/packed_adapter.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "engine/error.h"
#include "loader/describe.h"
#include "loader/file.h"

namespace colophon {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr char kMagic[8] = {'C', 'O', 'L', 'O', 'P', 'H', 'P', 'K'};
/// Of the file and of what LoraAdapter::load() makes of a file: raised when either changes.
constexpr uint32_t kVersion = 1;
/// Read and hashed at once, so that the hash finds the bytes in the cache.
constexpr size_t kPiece = size_t{256} << 10;

bool any_dora(const AdapterSpec& spec) {
  return std::any_of(spec.modules.begin(), spec.modules.end(), [](const AdaptedModule& m) { return m.dora; });
}

/// What a file's header says, checked.
struct Contents {
  uint64_t storage_at = 0;
  size_t bytes = 0;
  Digest storage_hash{};
  std::vector<PlacedModule> modules;
};

[[noreturn]] void refuse(const std::string& path, const std::string& rest) {
  throw Error(ErrorCode::bad_adapter, "the packed adapter " + quote(path) + " " + rest);
}

/// What the file should hold for this module, but for its type.
PackedModule packed_of(const AdaptedModule& m, LinearShape shape) {
  return {m.layer, static_cast<uint32_t>(m.linear), m.rank, shape.in, shape.out, m.dora, 0, m.scaling};
}

Contents read_header(const File& file, const AdapterSpec& spec, const AdapterBase& base) {
  const std::string& path = file.path();
  const size_t count = spec.modules.size();
  const uint64_t storage_at = sizeof(PackedHeader) + count * sizeof(PackedModule) + sizeof(Digest);
  if (file.size() < storage_at)
    refuse(path, "has " + std::to_string(file.size()) + " bytes, fewer than its header");
  std::vector<uint8_t> head(static_cast<size_t>(storage_at));
  file.read(0, head.data(), head.size());
  PackedHeader header;
  std::memcpy(&header, head.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) refuse(path, "does not begin as one");
  if (header.version != kVersion || header.modules != count || header.int8 != base.int8)
    refuse(path, "is of another version, form or number of modules than its name says");
  Digest digest;
  const size_t digest_at = head.size() - sizeof(Digest);
  std::memcpy(digest.data(), head.data() + digest_at, sizeof(Digest));
  if (sha256(head.data(), digest_at) != digest) refuse(path, "has a damaged header");
  if (header.content_hash != spec.content_hash || header.tensors_hash != spec.tensors_hash)
    refuse(path, "holds another adapter than its name says");
  if (any_dora(spec) && header.base_hash != base.hash) refuse(path, "was made on another base than its name says");
  const auto check_bytes = [&](uint64_t bytes) {
    if (bytes == file.size() - storage_at) return;
    refuse(path, "has " + std::to_string(file.size()) + " bytes where its header says " + std::to_string(storage_at + bytes));
  };
  check_bytes(header.bytes);

  Contents out{storage_at, 0, header.storage_hash, {}};
  for (size_t i = 0; i < count; ++i) {
    PackedModule packed;
    std::memcpy(&packed, head.data() + sizeof header + i * sizeof packed, sizeof packed);
    const AdaptedModule& module = spec.modules[i];
    const size_t linear = static_cast<size_t>(module.linear);
    if (module.layer >= base.layers || linear >= kLinearsPerLayer)
      throw Error(ErrorCode::not_found, "the adapter " + quote(spec.name) + " was packed for another base");
    const LinearShape shape = base.shapes[linear];
    if (packed.in != shape.in || packed.out != shape.out)
      throw Error(ErrorCode::not_found, "the adapter " + quote(spec.name) + " was packed for another base");
    const uint32_t type = packed.type;
    packed.type = 0;
    const PackedModule expected = packed_of(module, shape);
    if (std::memcmp(&packed, &expected, sizeof packed) != 0 || type > static_cast<uint32_t>(DType::bf16))
      refuse(path, "holds other modules than its adapter has");
    // A row takes a byte at least: a rank beyond the file's size would only lead to sums that mean nothing.
    if (module.rank == 0 || module.rank > header.bytes) refuse(path, "is too small for the ranks of its modules");
    PlacedModule placed{module, shape.in, shape.out, static_cast<DType>(type)};
    out.bytes = place_module(placed, base.int8, out.bytes);
    out.modules.push_back(placed);
  }
  check_bytes(out.bytes);
  return out;
}

/// A file being written; it is gone again unless it was put into its place.
class NewFile {
 public:
  explicit NewFile(const std::string& place) : place_(place) {
    path_ = place + ".XXXXXX.tmp";
    descriptor_ = ::mkostemps(path_.data(), 4, O_CLOEXEC);
    if (descriptor_ < 0) fail();
  }
  ~NewFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!placed_) ::unlink(path_.c_str());
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  void write(const void* data, size_t size) {
    const char* bytes = static_cast<const char*>(data);
    while (size > 0) {
      const ssize_t done = ::write(descriptor_, bytes, std::min(size, size_t{1} << 30));
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) fail();
      bytes += done;
      size -= static_cast<size_t>(done);
    }
  }
  void put_in_place() {
    if (::fsync(descriptor_) != 0) fail();
    const int closed = ::close(descriptor_);
    descriptor_ = -1;
    if (closed != 0 || ::rename(path_.c_str(), place_.c_str()) != 0) fail();
    placed_ = true;
  }

 private:
  [[noreturn]] void fail() {
    throw Error(ErrorCode::resource_exhausted,
                "cannot write the packed adapter " + quote(place_) + ": " + std::generic_category().message(errno));
  }

  const std::string place_;
  std::string path_;
  int descriptor_ = -1;
  bool placed_ = false;
};

}  // namespace

std::string packed_name(const AdapterSpec& spec, const AdapterBase& base) {
  std::string name = to_hex(spec.content_hash) + "." + (base.int8 ? "int8-" : "float-") + std::to_string(kVersion);
  if (any_dora(spec)) name += "-" + to_hex(base.hash).substr(0, 16);
  return name + ".packed";
}

size_t check_packed(const std::string& path, const AdapterSpec& spec, const AdapterBase& base) {
  return read_header(File(path, ErrorCode::bad_adapter), spec, base).bytes;
}

std::unique_ptr<LoraAdapter> load_packed(const std::string& path, const AdapterSpec& spec, const AdapterBase& base) {
  const File file(path, ErrorCode::bad_adapter);
  const Contents packed = read_header(file, spec, base);
  AdapterStorage storage = allocate_adapter(packed.bytes, false);
  if (!storage)
    throw Error(ErrorCode::resource_exhausted, "there is no memory for the adapter " + quote(spec.name) + " of " +
                                                   std::to_string(packed.bytes) + " bytes; lower the adapter budget");
  Sha256 hash;
  for (size_t at = 0; at < packed.bytes; at += kPiece) {
    const size_t size = std::min(kPiece, packed.bytes - at);
    file.read(packed.storage_at + at, storage.get() + at, size);
    hash.update(storage.get() + at, size);
  }
  if (hash.finish() != packed.storage_hash) refuse(path, "has damaged weights");
  return std::make_unique<LoraAdapter>(packed.modules, std::move(storage), packed.bytes, base);
}

void save_packed(const LoraAdapter& adapter, const std::string& path, const AdapterSpec& spec, const AdapterBase& base) {
  if (!spec.tensors_hash)
    throw Error(ErrorCode::internal, "an adapter is packed without the hash of its tensors");
  PackedHeader header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.int8 = base.int8;
  header.modules = static_cast<uint32_t>(spec.modules.size());
  header.bytes = adapter.bytes();
  header.content_hash = spec.content_hash;
  header.tensors_hash = *spec.tensors_hash;
  if (any_dora(spec)) header.base_hash = base.hash;
  header.storage_hash = sha256(adapter.storage(), adapter.bytes());
  std::vector<uint8_t> head(sizeof header);
  std::memcpy(head.data(), &header, sizeof header);
  for (const AdaptedModule& module : spec.modules) {
    PackedModule packed = packed_of(module, base.shapes[static_cast<size_t>(module.linear)]);
    packed.type = static_cast<uint32_t>(adapter.find(module.layer, module.linear)->type);
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(&packed);
    head.insert(head.end(), bytes, bytes + sizeof packed);
  }
  const Digest digest = sha256(head.data(), head.size());
  head.insert(head.end(), digest.begin(), digest.end());

  NewFile file(path);
  file.write(head.data(), head.size());
  file.write(adapter.storage(), adapter.bytes());
  file.put_in_place();
}

}  // namespace colophon
