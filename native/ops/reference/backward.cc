#include "ops/backward_kernels.h"

#include <cmath>

#include "ops/elementwise_kernels.h"
#include "ops/reference/lanes.h"

namespace colophon::reference {

void rms_norm_backward_row(const float* x, const float* weight, float eps, const float* dy, size_t columns, float* dx) {
  float squares[kLanes] = {}, products[kLanes] = {};
  for (size_t i = 0; i < columns; ++i) {
    squares[i % kLanes] = std::fma(x[i], x[i], squares[i % kLanes]);
    products[i % kLanes] = std::fma(dy[i] * weight[i], x[i], products[i % kLanes]);
  }
  const float count = static_cast<float>(columns);
  const float inverse = 1.0f / std::sqrt(sum_lanes(squares) / count + eps);
  const float along = sum_lanes(products) / count * inverse * inverse * inverse;
  for (size_t i = 0; i < columns; ++i) dx[i] += dy[i] * weight[i] * inverse - x[i] * along;
}

void silu_backward_row(const float* gate, const float* up, const float* dy, size_t columns, float* dgate, float* dup) {
  for (size_t i = 0; i < columns; ++i) {
    const float g = gate[i], d = dy[i];
    const float s = 1.0f / (1.0f + exp(0.0f - g));
    const float activated = g * s;
    dgate[i] = d * up[i] * std::fma(activated, 1.0f - s, s);
    dup[i] = d * activated;
  }
}

void softmax_row(float* x, size_t n, size_t width) {
  float max, sum;
  sum_exp(x, n, &max, &sum);
  const float share = 1.0f / sum;
  for (size_t i = 0; i < n; ++i) x[i] = exp(x[i] - max) * share;
  for (size_t i = n; i < width; ++i) x[i] = 0;
}

void softmax_backward_row(const float* p, const float* dp, size_t n, float scale, float* ds) {
  float products[kLanes] = {};
  for (size_t i = 0; i < n; ++i) products[i % kLanes] = std::fma(p[i], dp[i], products[i % kLanes]);
  const float sum = sum_lanes(products);
  for (size_t i = 0; i < n; ++i) ds[i] = p[i] * (dp[i] - sum) * scale;
}

void softmax_gradient_row(float* x, size_t n, float max, float factor) {
  for (size_t i = 0; i < n; ++i) x[i] = exp(x[i] - max) * factor;
}

}  // namespace colophon::reference
