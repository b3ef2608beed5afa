// Any bytes as a packed adapter, through check_packed() and load_packed(): a checked file is loaded or refused with an
// Error. Its hashes are also made true, since they would hide all that comes behind them.

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "adapters/packed_adapter.h"
#include "engine/error.h"
#include "testing/files.h"
#include "testing/fuzz.h"

using namespace colophon;

namespace {

constexpr size_t kModules = 2;
constexpr size_t kDigestAt = sizeof(PackedHeader) + kModules * sizeof(PackedModule);
constexpr size_t kStorageAt = kDigestAt + sizeof(Digest);

AdapterBase base(bool int8) {
  const LinearShape shape{3, 2};
  return {1, {shape, shape, shape, shape, shape, shape, shape}, {}, int8};
}

const AdapterSpec kSpec{
    "fuzz", "", {}, {{0, Linear::q, 2, 0.5f, true}, {0, Linear::v, 1, 2.f, false}}, Digest{}};

void read(const uint8_t* data, size_t size) {
  static const int file = ::memfd_create("packed", MFD_CLOEXEC);
  if (file < 0 || ::ftruncate(file, 0) != 0 || ::pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  for (const bool int8 : {false, true}) {
    try {
      const size_t bytes = check_packed(path, kSpec, base(int8));
      const std::unique_ptr<LoraAdapter> adapter = load_packed(path, kSpec, base(int8));
      const LoraMatrix* m = adapter->find(0, Linear::q);
      if (adapter->bytes() != bytes || m == nullptr || adapter->find(0, Linear::k) != nullptr) std::abort();
      testing::touch(adapter->storage(), adapter->bytes());
      testing::touch(static_cast<const uint8_t*>(m->a), m->a_bytes());
      testing::touch(static_cast<const uint8_t*>(m->b_t), m->b_bytes());
      testing::touch(reinterpret_cast<const uint8_t*>(m->magnitude), 16 * sizeof(float));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::bad_adapter && error.code() != ErrorCode::not_found) std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  read(data, size);
  if (size < kStorageAt) return 0;
  std::vector<uint8_t> file(data, data + size);
  PackedHeader header;
  std::memcpy(&header, file.data(), sizeof header);
  header.storage_hash = sha256(file.data() + kStorageAt, size - kStorageAt);
  std::memcpy(file.data(), &header, sizeof header);
  const Digest digest = sha256(file.data(), kDigestAt);
  std::memcpy(file.data() + kDigestAt, digest.data(), digest.size());
  read(file.data(), file.size());
  return 0;
}

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  std::vector<std::string> seeds;
  for (const bool int8 : {false, true}) {
    std::vector<PlacedModule> modules;
    size_t bytes = 0;
    for (const AdaptedModule& module : kSpec.modules) {
      modules.push_back({module, 2, 3});
      bytes = place_module(modules.back(), int8, bytes);
    }
    const LoraAdapter adapter(modules, allocate_adapter(bytes, true), bytes, base(int8));
    const testing::TempDir folder;
    const std::string path = folder.path("x.packed");
    save_packed(adapter, path, kSpec, base(int8));
    seeds.push_back(testing::read_file(path));
  }
  testing::write_seeds(seeds);
  return 0;
}
