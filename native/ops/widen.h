#pragma once

#include <cstddef>

#include "ops/isa.h"
#include "ops/linear.h"

namespace colophon {

/// 16 rows of a packed matrix, 16 * group and on, as float32 for products of many rows (ops/matmul.h): each value as dequantize_row
/// gives it, zeros where there is no row or column.

/// panel[columns][16]: what x * W^T reads.
void widen_columns(Isa isa, const PackedMatrix& matrix, size_t group, float* panel);

/// panels[(columns + 15) / 16][rows][16]: what dy * W reads, of `rows` rows of the matrix; the group's go from `row` on.
void widen_rows(Isa isa, const PackedMatrix& matrix, size_t group, size_t row, size_t rows, float* panels);

}  // namespace colophon
