#pragma once

#include <cstddef>
#include <cstdint>

namespace colophon {

/// quantize_rows of ops/linear.h for one row.
void quantize_row_avx2(const float* x, size_t columns, int8_t* q, float* scale, float* weighted_sum);
void quantize_row_avx512(const float* x, size_t columns, int8_t* q, float* scale, float* weighted_sum);

}  // namespace colophon
