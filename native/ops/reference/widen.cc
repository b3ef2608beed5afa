#include <algorithm>
#include <cstring>
#include <vector>

#include "ops/widen_kernels.h"
#include "ops/simd.h"

namespace colophon::reference {
namespace {

float element(const PackedMatrix::Layout& layout, size_t group, size_t column, size_t lane) {
  const uint8_t* const at = layout.group(group);
  const size_t index = column * 16 + lane;
  if (layout.type == DType::f32) {
    float value;
    std::memcpy(&value, at + index * 4, 4);
    return value;
  }
  uint16_t half;
  std::memcpy(&half, at + index * 2, 2);
  return layout.type == DType::f16 ? simd::f16_to_f32(half) : simd::bf16_to_f32(half);
}

}  // namespace

void widen_group(const PackedMatrix::Layout& layout, size_t group, float* out) {
  std::fill_n(out, layout.columns * 16, 0.0f);
  std::vector<int8_t> q(layout.columns);
  for (size_t lane = 0; lane < 16 && group * 16 + lane < layout.rows; ++lane) {
    if (layout.encoding != Encoding::floats) unpack_quants(layout, group * 16 + lane, q.data());
    for (size_t column = 0; column < layout.columns; ++column) {
      if (layout.encoding == Encoding::floats) {
        out[column * 16 + lane] = element(layout, group, column, lane);
        continue;
      }
      const float product = packed_scale(layout, group * 16 + lane, column / 16) * static_cast<float>(q[column]);
      const bool adds = has_minimum(layout.encoding);
      out[column * 16 + lane] = adds ? product + packed_minimum(layout, group * 16 + lane, column / 16) : product;
    }
  }
}

}  // namespace colophon::reference
