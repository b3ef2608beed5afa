#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/quantize.h"

// The kernels of the ops on single rows (elementwise.h, rope.h, logits.h), one set for each instruction set.
// Rows are also quantised where `quantized.q` is not null.
#define COLOPHON_DECLARE(isa)                                                                                         \
  namespace colophon::isa {                                                                                           \
  void rms_norm_row(float* x, const float* residual, const float* weight, float eps, size_t columns, float* out,      \
                    QuantizedRows quantized);                                                                         \
  void add_row(float* x, const float* residual, size_t columns);                                                      \
  void silu_mul_row(const float* gate, const float* up, size_t columns, float* out, QuantizedRows quantized);         \
  void gelu_mul_row(const float* gate, const float* up, size_t columns, float* out, QuantizedRows quantized);         \
  void rope_row(float* x, size_t heads, size_t head_dim, size_t half, const float* cosines, const float* sines);      \
  size_t argmax(const float* x, size_t n);                                                                            \
  void sum_exp(const float* x, size_t n, float* max, float* sum);                                                     \
  }
COLOPHON_DECLARE(reference)
COLOPHON_DECLARE(avx2)
COLOPHON_DECLARE(avx512)
#undef COLOPHON_DECLARE

namespace colophon {

/// Rows of `columns` floats that make a task of a few microseconds, well above what handing it out costs.
inline size_t rows_of_task(size_t columns) {
  constexpr size_t kFloats = 8192;
  return columns >= kFloats ? 1 : kFloats / (columns + 1);
}

}  // namespace colophon
