#include "ops/exp_weights.h"

#include "ops/exp_weights_kernels.h"

namespace colophon {

void exp_weights(const OpContext& context, const float* x, size_t n, float shift, float inverse_temperature, float* out) {
  switch (context.isa) {
#if defined(__x86_64__)
    case Isa::avx512:
      return avx512::exp_weights(x, n, shift, inverse_temperature, out);
    case Isa::avx2:
      return avx2::exp_weights(x, n, shift, inverse_temperature, out);
#endif
    default:
      return reference::exp_weights(x, n, shift, inverse_temperature, out);
  }
}

}  // namespace colophon
