#include "ops/elementwise_kernels.h"

#if defined(__x86_64__)
#include "ops/generic/elementwise.h"

namespace colophon::avx512 {

using V = simd::Avx512;

void rms_norm_row(float* x, const float* residual, const float* weight, float eps, size_t columns, float* out, QuantizedRows quantized) {
  generic::rms_norm_row<V>(x, residual, weight, eps, columns, out, quantized);
}
void add_row(float* x, const float* residual, size_t columns) { generic::add_row<V>(x, residual, columns); }
void silu_mul_row(const float* gate, const float* up, size_t columns, float* out, QuantizedRows quantized) {
  generic::silu_mul_row<V>(gate, up, columns, out, quantized);
}
void gelu_mul_row(const float* gate, const float* up, size_t columns, float* out, QuantizedRows quantized) {
  generic::gelu_mul_row<V>(gate, up, columns, out, quantized);
}
void rope_row(float* x, size_t heads, size_t head_dim, size_t half, const float* cosines, const float* sines) {
  generic::rope_row<V>(x, heads, head_dim, half, cosines, sines);
}
size_t argmax(const float* x, size_t n) { return generic::argmax<V>(x, n); }
void sum_exp(const float* x, size_t n, float* max, float* sum) { generic::sum_exp<V>(x, n, max, sum); }

}  // namespace colophon::avx512
#endif
