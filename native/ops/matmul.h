#pragma once

#include <cstddef>
#include <span>

#include "ops/context.h"

namespace colophon {

/// c[m][n] (+)= a[m][k] * b[k][n], float32. Strides are in floats; those of a and b may transpose them.
struct MatmulCall {
  const float* a;
  size_t a_row, a_step;  ///< a(i, j) = a[i * a_row + j * a_step]
  const float* b;
  size_t b_row, b_step;  ///< b(j, n) = b[j * b_row + n * b_step]; fastest where b_step is 1
  float* c;
  size_t c_row;
  size_t m, n, k;
  bool accumulate = false;  ///< c's values come first in the sum, else 0
  /// Where not 0, b lies as the kernels read it, for one that serves many rows: panels [k][16] of sixteen columns, zeros behind the
  /// last column, this many floats from one panel to the next; no strides.
  size_t panel = 0;
  /// Another product with the same c, m and n that goes on with its sums while they are near; its `accumulate` is true.
  const MatmulCall* then = nullptr;

  float b_at(size_t j, size_t column) const {
    return panel > 0 ? b[column / 16 * panel + j * 16 + column % 16] : b[j * b_row + column * b_step];
  }
};

/// Several products in one parallel region; no result may be an operand of another.
///
/// One arithmetic: acc = accumulate ? c : 0, then acc = fma(a(i, j), b(j, n), acc) for j in order. So a sum may be continued
/// by a later call: a product over some rows and then over the next ones is the product over all of them, bit for bit.
void matmul(OpContext& context, std::span<const MatmulCall> calls);

/// One product on the calling thread, for ops that are parallel themselves.
void matmul_here(Isa isa, const MatmulCall& call);

}  // namespace colophon
