#pragma once

// ops/reference/widen.cc spells it plainly.

#include "ops/generic/linear.h"
#include "ops/widen_kernels.h"

namespace colophon::generic {
namespace {

template <typename V, DType D>
inline void widen_floats(const PackedMatrix::Layout& layout, size_t group, float* out) {
  const FloatColumns<V, D> columns{layout.group(group)};
  for (size_t column = 0; column < layout.columns; ++column) V::store(out + column * 16, columns.load(column));
}

template <typename V>
inline void widen_group(const PackedMatrix::Layout& layout, size_t group, float* out) {
  const size_t blocks = layout.columns / 32;
  switch (layout.encoding) {
    case Encoding::floats:
      if (layout.type == DType::f32) return widen_floats<V, DType::f32>(layout, group, out);
      if (layout.type == DType::f16) return widen_floats<V, DType::f16>(layout, group, out);
      return widen_floats<V, DType::bf16>(layout, group, out);
    case Encoding::nibbles: return widen_blocks<V, Encoding::nibbles>(layout, group, 0, blocks, out);
    case Encoding::nibbles_min: return widen_blocks<V, Encoding::nibbles_min>(layout, group, 0, blocks, out);
    case Encoding::nibbles_min_f32: return widen_blocks<V, Encoding::nibbles_min_f32>(layout, group, 0, blocks, out);
    case Encoding::bytes: return widen_blocks<V, Encoding::bytes>(layout, group, 0, blocks, out);
    case Encoding::bytes_half_f32: return widen_blocks<V, Encoding::bytes_half_f32>(layout, group, 0, blocks, out);
  }
}

}  // namespace
}  // namespace colophon::generic
