#pragma once

#include <cstddef>

// The kernels of backward.h and attention_training.h on single rows.
//
// softmax_row: x[i] = exp(x[i] - max) * (1 / sum) for i < n, 0 for n <= i < width.
// softmax_backward_row: ds[i] = p[i] * (dp[i] - sum(p * dp)) * scale over n; ds may be dp.
// softmax_gradient_row: x[i] = exp(x[i] - max) * factor.
#define COLOPHON_DECLARE(isa)                                                                                              \
  namespace colophon::isa {                                                                                                \
  void rms_norm_backward_row(const float* x, const float* weight, float eps, const float* dy, size_t columns, float* dx);  \
  void silu_backward_row(const float* gate, const float* up, const float* dy, size_t columns, float* dgate, float* dup);   \
  void softmax_row(float* x, size_t n, size_t width);                                                                      \
  void softmax_backward_row(const float* p, const float* dp, size_t n, float scale, float* ds);                            \
  void softmax_gradient_row(float* x, size_t n, float max, float factor);                                                  \
  }
COLOPHON_DECLARE(reference)
COLOPHON_DECLARE(avx2)
COLOPHON_DECLARE(avx512)
#undef COLOPHON_DECLARE
