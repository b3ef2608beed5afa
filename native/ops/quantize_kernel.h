#pragma once

#include <cstddef>

#include "ops/quantize.h"

namespace colophon {

/// quantize_rows of ops/quantize.h for one row.
void quantize_row_avx2(const float* x, size_t columns, QuantizedRows out);
void quantize_row_avx512(const float* x, size_t columns, QuantizedRows out);

}  // namespace colophon
