#include "ops/generic/exp_weights.h"

#include "ops/exp_weights_kernels.h"

#if defined(__x86_64__)
namespace colophon::avx2 {

void exp_weights(const float* x, size_t n, float shift, float inverse_temperature, float* out) {
  generic::exp_weights<simd::Avx2>(x, n, shift, inverse_temperature, out);
}

}  // namespace colophon::avx2
#endif
