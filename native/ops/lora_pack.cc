#include <cstring>

#include "ops/lora.h"

namespace colophon {
namespace {

// The kernels read whole groups of 16 lanes (ops/simd.h).
size_t padded(size_t n) { return (n + 15) / 16 * 16; }

template <typename Element>
void transpose(size_t rank, size_t out, const uint8_t* source, Element* b_t) {
  for (size_t j = 0; j < rank; ++j) {
    Element* row = b_t + j * padded(out);
    for (size_t n = 0; n < out; ++n)
      std::memcpy(row + n, source + (n * rank + j) * sizeof(Element), sizeof(Element));
    std::memset(row + out, 0, (padded(out) - out) * sizeof(Element));
  }
}

}  // namespace

size_t LoraMatrix::a_bytes(DType type, uint32_t rank, uint32_t in) {
  return rank * padded(in) * block_bytes(type);
}

size_t LoraMatrix::b_bytes(DType type, uint32_t rank, uint32_t out) {
  return rank * padded(out) * block_bytes(type);
}

void LoraMatrix::pack_a(DType type, uint32_t rank, uint32_t in, const void* source, void* a) {
  const size_t from = in * block_bytes(type), to = padded(in) * block_bytes(type);
  for (size_t j = 0; j < rank; ++j) {
    uint8_t* row = static_cast<uint8_t*>(a) + j * to;
    std::memcpy(row, static_cast<const uint8_t*>(source) + j * from, from);
    std::memset(row + from, 0, to - from);
  }
}

void LoraMatrix::pack_b(DType type, uint32_t rank, uint32_t out, const void* source, void* b_t) {
  const uint8_t* bytes = static_cast<const uint8_t*>(source);
  if (block_bytes(type) == 4) {
    transpose(rank, out, bytes, static_cast<uint32_t*>(b_t));
  } else {
    transpose(rank, out, bytes, static_cast<uint16_t*>(b_t));
  }
}

}  // namespace colophon
