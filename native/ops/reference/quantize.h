#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace colophon {

/// quantize_rows of ops/linear.h for one row, spelled plainly. x must not overlap q.
inline void quantize_row_reference(const float* x, size_t columns, int8_t* q, float* scale,
                                   float* weighted_sum) {
  for (size_t block = 0; block < columns / 32; ++block) {
    float clean[32];
    float largest = 0;
    for (size_t i = 0; i < 32; ++i) {
      clean[i] = x[block * 32 + i];
      if (!(clean[i] > -1e30f)) clean[i] = -1e30f;  // NaN too
      if (clean[i] > 1e30f) clean[i] = 1e30f;
      if (std::fabs(clean[i]) > largest) largest = std::fabs(clean[i]);
    }
    const bool zero = largest < 1e-30f;
    const float inverse = zero ? 0 : 127.0f / largest;
    int sum = 0;
    for (size_t i = 0; i < 32; ++i) {
      const int rounded = static_cast<int>(std::nearbyintf(clean[i] * inverse));
      q[block * 32 + i] = static_cast<int8_t>(rounded);
      sum += rounded;
    }
    scale[block] = zero ? 0 : largest / 127.0f;
    weighted_sum[block] = scale[block] * static_cast<float>(sum);
  }
}

}  // namespace colophon
