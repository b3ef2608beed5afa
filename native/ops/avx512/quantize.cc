#if defined(__x86_64__)

#include "ops/generic/quantize.h"

#include "ops/quantize_kernel.h"

namespace colophon {

void quantize_row_avx512(const float* x, size_t columns, QuantizedRows out) {
  quantize_row<simd::Avx512>(x, columns, out);
}

}  // namespace colophon

#endif
