#include <cmath>
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

size_t LoraMatrix::int8_a_bytes(uint32_t rank, uint32_t in) { return size_t{rank} * ((size_t{in} + 31) / 32 * 32); }

size_t LoraMatrix::int8_b_bytes(uint32_t rank, uint32_t out) { return (size_t{rank} + 1) / 2 * 2 * padded(out); }

void LoraMatrix::pack_int8_a(uint32_t rank, uint32_t in, const float* source, void* a, float* scale) {
  const size_t stride = int8_a_bytes(1, in);
  std::memset(a, 0, int8_a_bytes(rank, in));
  for (size_t j = 0; j < rank; ++j) {
    const float* from = source + j * in;
    float largest = 0;
    for (size_t i = 0; i < in; ++i) largest = std::fmax(largest, std::fabs(from[i]));
    scale[j] *= largest / 127;
    if (largest < 1e-30f) continue;
    int8_t* to = static_cast<int8_t*>(a) + j * stride;
    for (size_t i = 0; i < in; ++i) to[i] = static_cast<int8_t>(std::nearbyintf(from[i] / largest * 127));
  }
}

void LoraMatrix::pack_int8_b(uint32_t rank, uint32_t out, const float* source, void* b_t, float* scale) {
  const size_t pairs = (size_t{rank} + 1) / 2;
  std::memset(b_t, 0, int8_b_bytes(rank, out));
  for (size_t j = 0; j < rank; ++j) {
    float largest = 0;
    for (size_t n = 0; n < out; ++n) largest = std::fmax(largest, std::fabs(source[n * rank + j]));
    scale[j] *= largest / 127;
    if (largest < 1e-30f) continue;
    int8_t* to = static_cast<int8_t*>(b_t) + j / 2 * 32 + j % 2;
    for (size_t n = 0; n < out; ++n)
      to[n / 16 * pairs * 32 + n % 16 * 2] = static_cast<int8_t>(std::nearbyintf(source[n * rank + j] / largest * 127));
  }
}

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
