#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/linear.h"
#include "ops/packed_layout.h"

namespace colophon {

/// One task of linear(): some groups of 16 rows of one weight, for a block of the batch's rows ("tokens" in
/// the kernels, to tell them from the rows of the weight).
struct LinearTask {
  const PackedMatrix* matrix;
  const PackedMatrix::Layout* weight;  ///< matrix->layout()
  size_t first_group, groups;
  size_t tokens;
  const float* x;                     ///< [tokens][columns]
  const int8_t* q;                    ///< [tokens][columns]; null: float32 activations
  const float *scale, *weighted_sum;  ///< [tokens][columns / 32]
  float* y;                           ///< [tokens][y_stride], row 0 of the weight first
  size_t y_stride;
  uint8_t* scratch;  ///< linear_scratch_bytes, aligned to 64
};

/// Scratch, in this order: partial results [tokens][16] float; widened weights, as much as half of a
/// first-level cache holds; prepared activations.
constexpr size_t accumulator_bytes(size_t tokens) { return tokens * 16 * sizeof(float); }
constexpr size_t kWidenedBytes = 16 * 1024;
constexpr size_t linear_scratch_bytes(size_t tokens, size_t columns) {
  return accumulator_bytes(tokens) + kWidenedBytes + tokens * (columns + 31) / 32 * 32 * sizeof(int16_t);
}

void linear_reference(const LinearTask& task);
#if defined(__x86_64__)
void linear_avx2(const LinearTask& task);
void linear_avx512(const LinearTask& task);
#endif

}  // namespace colophon
