#include "ops/reference/quantize.h"

#include "ops/quantize_kernel.h"

namespace colophon {

void quantize_rows(OpContext& context, const float* x, size_t rows, size_t columns,
                   const QuantizedRows& out) {
  context.pool.parallel_for(rows, [&](size_t row, size_t) {
    const float* from = x + row * columns;
    const QuantizedRows to = out.from(row, columns);
    switch (context.isa) {
#if defined(__x86_64__)
      case Isa::avx2:
        return quantize_row_avx2(from, columns, to);
      case Isa::avx512:
        return quantize_row_avx512(from, columns, to);
#endif
      default:
        return quantize_row_reference(from, columns, to);
    }
  });
}

}  // namespace colophon
