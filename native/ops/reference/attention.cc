#include <cmath>

#include "ops/attention_kernels.h"
#include "ops/reference/lanes.h"
#include "ops/simd.h"

namespace colophon::reference {
namespace {

float element(bool f16, const uint8_t* base, size_t index) {
  return f16 ? simd::f16_to_f32(reinterpret_cast<const uint16_t*>(base)[index]) : reinterpret_cast<const float*>(base)[index];
}
void set_element(bool f16, uint8_t* base, size_t index, float value) {
  if (f16) reinterpret_cast<uint16_t*>(base)[index] = simd::f32_to_f16(value);
  else reinterpret_cast<float*>(base)[index] = value;
}

}  // namespace

void attention(const AttentionTile& tile, float* scores) {
  for (size_t row = 0; row < tile.rows; ++row) {
    const size_t first = first_seen(tile, row), end = end_seen(tile, row);
    for (size_t head = 0; head < tile.group; ++head) {
      const float* q = tile.q + row * tile.q_stride + head * tile.head_dim;
      float* out = tile.out + row * tile.out_stride + head * tile.head_dim;

      float max = -INFINITY;
      for (size_t p = first; p < end; ++p) {
        const uint8_t* keys = tile.keys + tile.pages[p / kLanes] * tile.page_bytes;
        float dot = 0;
        for (size_t d = 0; d < tile.head_dim; ++d)
          dot = std::fma(q[d], element(tile.f16, keys, d * kLanes + p % kLanes), dot);
        scores[p] = dot * tile.scale;
        if (scores[p] > max) max = scores[p];
      }

      float lanes[kLanes] = {};
      for (size_t p = first; p < end; ++p) {
        scores[p] = exp(scores[p] - max);
        lanes[p % kLanes] += scores[p];
      }
      const float sum = sum_lanes(lanes);

      for (size_t d = 0; d < tile.head_dim; ++d) {
        float value = 0;
        for (size_t p = first; p < end; ++p) {
          const uint8_t* values = tile.values + tile.pages[p / kLanes] * tile.page_bytes;
          value = std::fma(scores[p], element(tile.f16, values, p % kLanes * tile.head_dim + d), value);
        }
        out[d] = value / sum;
      }
    }
  }
}

void kv_write_page(bool f16, uint8_t* page, size_t kv_heads, size_t head_dim, size_t lane, size_t count, const float* k,
                   size_t k_stride, const float* v, size_t v_stride) {
  for (size_t i = 0; i < count; ++i) {
    for (size_t head = 0; head < kv_heads; ++head) {
      for (size_t d = 0; d < head_dim; ++d) {
        const size_t column = head * head_dim + d;
        set_element(f16, page, column * kLanes + lane + i, k[i * k_stride + column]);
        set_element(f16, page, ((kv_heads + head) * kLanes + lane + i) * head_dim + d, v[i * v_stride + column]);
      }
    }
  }
}

}  // namespace colophon::reference
