#include "ops/reference/quantize.h"

#include "ops/linear.h"
#include "ops/quantize_kernel.h"

namespace colophon {

void quantize_rows(OpContext& context, const float* x, size_t rows, size_t columns,
                   const QuantizedRows& out) {
  context.pool.parallel_for(rows, [&](size_t row, size_t) {
    const size_t blocks = columns / 32;
    const float* from = x + row * columns;
    int8_t* q = out.q + row * columns;
    float *scale = out.scale + row * blocks, *weighted_sum = out.weighted_sum + row * blocks;
    switch (context.isa) {
#if defined(__x86_64__)
      case Isa::avx2:
        return quantize_row_avx2(from, columns, q, scale, weighted_sum);
      case Isa::avx512:
        return quantize_row_avx512(from, columns, q, scale, weighted_sum);
#endif
      default:
        return quantize_row_reference(from, columns, q, scale, weighted_sum);
    }
  });
}

}  // namespace colophon
