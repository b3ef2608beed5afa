#include "ops/elementwise_kernels.h"

#include <cmath>

#include "ops/reference/lanes.h"
#include "ops/reference/quantize.h"

namespace colophon::reference {

void rms_norm_row(float* x, const float* residual, const float* weight, float eps, size_t columns, float* out, QuantizedRows quantized) {
  if (residual != nullptr) {
    for (size_t i = 0; i < columns; ++i) x[i] += residual[i];
  }
  float lanes[kLanes] = {};
  for (size_t i = 0; i < columns; ++i) lanes[i % kLanes] = std::fma(x[i], x[i], lanes[i % kLanes]);
  const float mean = sum_lanes(lanes) / static_cast<float>(columns);
  const float inverse = 1.0f / std::sqrt(mean + eps);
  for (size_t i = 0; i < columns; ++i) out[i] = x[i] * inverse * weight[i];
  if (quantized.q != nullptr) quantize_row_reference(out, columns, quantized);
}

void add_row(float* x, const float* residual, size_t columns) {
  for (size_t i = 0; i < columns; ++i) x[i] += residual[i];
}

void silu_mul_row(const float* gate, const float* up, size_t columns, float* out, QuantizedRows quantized) {
  for (size_t i = 0; i < columns; ++i) out[i] = gate[i] / (1.0f + exp(0.0f - gate[i])) * up[i];
  if (quantized.q != nullptr) quantize_row_reference(out, columns, quantized);
}

void gelu_mul_row(const float* gate, const float* up, size_t columns, float* out, QuantizedRows quantized) {
  for (size_t i = 0; i < columns; ++i) {
    const float g = gate[i];
    out[i] = g / (1.0f + exp(g * std::fma(g * g, -0.0713548163f, -1.5957691216f))) * up[i];
  }
  if (quantized.q != nullptr) quantize_row_reference(out, columns, quantized);
}

void rope_row(float* x, size_t heads, size_t head_dim, size_t half, const float* cosines, const float* sines) {
  for (size_t head = 0; head < heads; ++head) {
    for (size_t i = 0; i < half; ++i) {
      float& a = x[head * head_dim + i];
      float& b = x[head * head_dim + half + i];
      const float new_a = std::fma(a, cosines[i], -(b * sines[i]));
      b = std::fma(b, cosines[i], a * sines[i]);
      a = new_a;
    }
  }
}

size_t argmax(const float* x, size_t n) {
  size_t best = 0;
  float largest = -INFINITY;
  for (size_t i = 0; i < n; ++i) {
    if (x[i] > largest) {
      largest = x[i];
      best = i;
    }
  }
  return best;
}

void sum_exp(const float* x, size_t n, float* max, float* sum) {
  *max = -INFINITY;
  for (size_t i = 0; i < n; ++i) {
    if (x[i] > *max) *max = x[i];
  }
  float lanes[kLanes] = {};
  for (size_t i = 0; i < n; ++i) lanes[i % kLanes] += exp(x[i] - *max);
  *sum = sum_lanes(lanes);
}

}  // namespace colophon::reference
