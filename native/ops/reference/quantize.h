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

  const auto largest_of = [&](size_t first, size_t count) {
    float largest = 0;
    for (size_t i = first; i < first + count; ++i)
      if (std::fabs(rest[i]) > largest) largest = std::fabs(rest[i]);
    return largest;
  };
  const float largest = largest_of(0, columns);
  const bool zero = largest < 1e-30f;
  *out.unit = zero ? 0 : largest / (127 * kMostMultiple);
  for (size_t block = 0; block < columns / 32; ++block) {
    const float whole = zero ? 1 : std::ceil(largest_of(block * 32, 32) * (kMostMultiple / largest));
    const float multiple = std::fmin(std::fmax(whole, 1.0f), kMostMultiple);
    const float inverse = zero ? 0 : 127 * kMostMultiple / largest / multiple;
    int sum = 0;
    for (size_t i = block * 32; i < block * 32 + 32; ++i) {
      const int rounded = static_cast<int>(std::nearbyintf(rest[i] * inverse));
      out.q[i] = static_cast<int8_t>(rounded);
      sum += rounded;
    }
    out.multiple[block] = multiple;
    out.multiple_pair[block] = static_cast<uint32_t>(multiple) * 0x10001u;
    out.weighted_sum[block] = multiple * static_cast<float>(sum);
  }
}

}  // namespace colophon
