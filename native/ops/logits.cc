#include "ops/logits.h"

#include "ops/choose_kernel.h"
#include "ops/elementwise_kernels.h"
#include "ops/math.h"

namespace colophon {

size_t argmax(OpContext& context, const float* x, size_t n) { return COLOPHON_KERNEL(context.isa, argmax)(x, n); }

double log_sum_exp(OpContext& context, const float* x, size_t n) {
  float max, sum;
  COLOPHON_KERNEL(context.isa, sum_exp)(x, n, &max, &sum);
  return static_cast<double>(max) + det_log(sum);
}

}  // namespace colophon
