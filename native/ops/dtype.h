#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace colophon {

/// Element types of tensors as files store them.
enum class DType { f32, f16, bf16, q8_0, q4_0, q4_1, q4_k, q6_k };

/// Number of elements in one block of `type` (1 for plain floats) and the bytes of such a block.
constexpr size_t block_elements(DType type) {
  switch (type) {
    case DType::q8_0: case DType::q4_0: case DType::q4_1: return 32;
    case DType::q4_k: case DType::q6_k: return 256;
    default: return 1;
  }
}
constexpr size_t block_bytes(DType type) {
  switch (type) {
    case DType::f32: return 4;
    case DType::f16: case DType::bf16: return 2;
    case DType::q8_0: return 34;
    case DType::q4_0: return 18;
    case DType::q4_1: return 20;
    case DType::q4_k: return 144;
    case DType::q6_k: return 210;
  }
  return 0;
}
constexpr std::string_view to_string(DType type) {
  switch (type) {
    case DType::f32: return "F32";
    case DType::f16: return "F16";
    case DType::bf16: return "BF16";
    case DType::q8_0: return "Q8_0";
    case DType::q4_0: return "Q4_0";
    case DType::q4_1: return "Q4_1";
    case DType::q4_k: return "Q4_K";
    case DType::q6_k: return "Q6_K";
  }
  return "?";
}

}  // namespace colophon
