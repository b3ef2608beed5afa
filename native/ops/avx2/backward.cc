#include "ops/backward_kernels.h"

#if defined(__x86_64__)
#include "ops/generic/backward.h"

namespace colophon::avx2 {

using V = simd::Avx2;

void rms_norm_backward_row(const float* x, const float* weight, float eps, const float* dy, size_t columns, float* dx) {
  generic::rms_norm_backward_row<V>(x, weight, eps, dy, columns, dx);
}
void silu_backward_row(const float* gate, const float* up, const float* dy, size_t columns, float* dgate, float* dup) {
  generic::silu_backward_row<V>(gate, up, dy, columns, dgate, dup);
}
void softmax_row(float* x, size_t n, size_t width) { generic::softmax_row<V>(x, n, width); }
void softmax_backward_row(const float* p, const float* dp, size_t n, float scale, float* ds) {
  generic::softmax_backward_row<V>(p, dp, n, scale, ds);
}
void softmax_gradient_row(float* x, size_t n, float max, float factor) {
  generic::softmax_gradient_row<V>(x, n, max, factor);
}

}  // namespace colophon::avx2
#endif
