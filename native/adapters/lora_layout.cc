#include "adapters/lora_layout.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

namespace colophon {
namespace {

constexpr size_t kAlignment = 64;
/// From so many bytes on, memory comes from the system and goes back to it: the allocator would keep what evicted adapters
/// leave, beyond the budget.
constexpr size_t kMapped = 64 << 10;

}  // namespace

AdapterStorage allocate_adapter(size_t bytes, bool clear) {
  if (bytes >= kMapped) {
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return {nullptr, {}};
    return {static_cast<uint8_t*>(memory), {bytes}};
  }
  AdapterStorage storage{static_cast<uint8_t*>(std::aligned_alloc(kAlignment, bytes)), {}};
  if (storage && clear) std::memset(storage.get(), 0, bytes);
  return storage;
}

void FreeAdapter::operator()(uint8_t* storage) const {
  if (mapped_bytes > 0) munmap(storage, mapped_bytes);
  else std::free(storage);
}

size_t place_module(PlacedModule& placed, bool int8, size_t bytes) {
  const auto reserve = [&](size_t size) {
    const size_t at = bytes;
    bytes += (size + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  };
  const uint32_t rank = placed.module.rank;
  if (int8) {
    placed.offsets[0] = reserve(LoraMatrix::int8_a_bytes(rank, placed.in));
    placed.offsets[1] = reserve(LoraMatrix::int8_b_bytes(rank, placed.out));
    placed.scale_offset = reserve(rank * sizeof(float));
  } else {
    placed.offsets[0] = reserve(LoraMatrix::a_bytes(placed.type, rank, placed.in));
    placed.offsets[1] = reserve(LoraMatrix::b_bytes(placed.type, rank, placed.out));
  }
  if (placed.module.dora) placed.offsets[2] = reserve(LoraMatrix::b_bytes(DType::f32, 1, placed.out));
  return bytes;
}

LoraMatrix matrix_at(const PlacedModule& placed, bool int8, const uint8_t* storage) {
  LoraMatrix matrix{placed.type, placed.module.rank, placed.in, placed.out};
  matrix.a = storage + placed.offsets[0];
  matrix.b_t = storage + placed.offsets[1];
  matrix.scaling = placed.module.scaling;
  if (int8) matrix.scale = reinterpret_cast<const float*>(storage + placed.scale_offset);
  if (placed.module.dora) matrix.magnitude = reinterpret_cast<const float*>(storage + placed.offsets[2]);
  return matrix;
}

}  // namespace colophon
