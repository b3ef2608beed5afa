#if defined(__x86_64__)

#include "ops/generic/quantize.h"

#include "ops/quantize_kernel.h"

namespace colophon {

void quantize_row_avx512(const float* x, size_t columns, int8_t* q, float* scale, float* weighted_sum) {
  quantize_row<simd::Avx512>(x, columns, q, scale, weighted_sum);
}

}  // namespace colophon

#endif
