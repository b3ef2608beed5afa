#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/linear.h"
#include "ops/packed_layout.h"

namespace colophon {

/// The outliers of a block of tokens, and the columns of the weight that they meet, so that a group's weights of a
/// column are widened once for all tokens.
struct OutlierColumns {
  const uint32_t* columns;  ///< [column_count]
  size_t column_count;
  const Outlier* outliers;  ///< token after token; `column` is an index into columns
  const uint32_t* end;      ///< [tokens]: where a token's outliers end
};

/// One task of linear(): some groups of 16 rows of one weight, for a block of the batch's rows ("tokens" in
/// the kernels, to tell them from the rows of the weight).
struct LinearTask {
  const PackedMatrix* matrix;
  const PackedMatrix::Layout* weight;  ///< matrix->layout()
  size_t first_group, groups;
  size_t tokens;
  const float* x;                     ///< [tokens][columns]
  QuantizedRows quantized;            ///< [tokens]; q null: float32 activations
  OutlierColumns outliers;            ///< of these tokens
  float* y;                           ///< [tokens][y_stride], row 0 of the weight first
  size_t y_stride;
  uint8_t* scratch;  ///< linear_scratch_bytes, aligned to 64
};

/// Groups that are finished together: an outlier's value, once read, meets the rows of all of them, and their sums do not
/// wait for one another.
constexpr size_t kBundleGroups = 4;
/// Floats from one token's partial results to the next's.
constexpr size_t kBundleRows = kBundleGroups * 16;

/// Scratch, in this order: partial results [tokens][kBundleRows] float; the widened weights of outliers' columns
/// [columns][kBundleRows] float; widened weights, as much as half of a first-level cache holds; prepared activations.
constexpr size_t accumulator_bytes(size_t tokens) { return tokens * kBundleRows * sizeof(float); }
constexpr size_t kWidenedBytes = 16 * 1024;
constexpr size_t widened_offset(size_t tokens, size_t columns) {
  return accumulator_bytes(tokens) + columns * kBundleRows * sizeof(float);
}
constexpr size_t linear_scratch_bytes(size_t tokens, size_t columns) {
  return widened_offset(tokens, columns) + kWidenedBytes + tokens * (columns + 31) / 32 * 32 * sizeof(int16_t);
}

void linear_reference(const LinearTask& task);
#if defined(__x86_64__)
void linear_avx2(const LinearTask& task);
void linear_avx512(const LinearTask& task);
#endif

}  // namespace colophon
