#include "ops/generic/exp_weights.h"

#include "ops/exp_weights_kernels.h"

namespace colophon::reference {

void exp_weights(const float* x, size_t n, float shift, float inverse_temperature, float* out) {
  generic::exp_weights<simd::Portable>(x, n, shift, inverse_temperature, out);
}

}  // namespace colophon::reference
