#if defined(__x86_64__)

#include "ops/generic/quantize.h"

#include "ops/quantize_kernel.h"

namespace colophon {

void quantize_row_avx2(const float* x, size_t columns, QuantizedRows out) {
  quantize_row<simd::Avx2>(x, columns, out);
}

}  // namespace colophon

#endif
