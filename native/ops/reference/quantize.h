#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "ops/quantize.h"
#include "ops/reference/lanes.h"

namespace colophon {

/// quantize_rows of ops/quantize.h for one row, spelled plainly.
inline void quantize_row_reference(const float* x, size_t columns, QuantizedRows out) {
  std::vector<float> rest(columns);
  float squares[reference::kLanes] = {};
  for (size_t i = 0; i < columns; ++i) {
    float value = x[i];
    if (!(value > -1e30f)) value = -1e30f;  // NaN too
    if (value > 1e30f) value = 1e30f;
    rest[i] = value;
    squares[i % reference::kLanes] = std::fma(value, value, squares[i % reference::kLanes]);
  }
  const float mean = reference::sum_lanes(squares) / static_cast<float>(columns);
  const float threshold = mean >= 1e-30f ? kOutlierRms * std::sqrt(mean) : INFINITY;
  *out.outlier_count = 0;
  for (size_t i = 0; i < columns; ++i) {
    if (!(std::fabs(rest[i]) > threshold)) continue;
    out.outliers[(*out.outlier_count)++] = {static_cast<uint32_t>(i), rest[i]};
    rest[i] = 0;
  }

  for (size_t block = 0; block < columns / 32; ++block) {
    const float* values = &rest[block * 32];
    float largest = 0;
    for (size_t i = 0; i < 32; ++i)
      if (std::fabs(values[i]) > largest) largest = std::fabs(values[i]);
    const bool zero = largest < 1e-30f;
    const float inverse = zero ? 0 : 127.0f / largest;
    int sum = 0;
    for (size_t i = 0; i < 32; ++i) {
      const int rounded = static_cast<int>(std::nearbyintf(values[i] * inverse));
      out.q[block * 32 + i] = static_cast<int8_t>(rounded);
      sum += rounded;
    }
    out.scale[block] = zero ? 0 : largest / 127.0f;
    out.weighted_sum[block] = out.scale[block] * static_cast<float>(sum);
  }
}

}  // namespace colophon
