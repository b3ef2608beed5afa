#include <cmath>

#include "ops/lora_kernels.h"
#include "ops/reference/lanes.h"
#include "ops/simd.h"

namespace colophon::reference {
namespace {

float element(DType type, const void* base, size_t index) {
  switch (type) {
    case DType::f16: return simd::f16_to_f32(static_cast<const uint16_t*>(base)[index]);
    case DType::bf16: return simd::bf16_to_f32(static_cast<const uint16_t*>(base)[index]);
    default: return static_cast<const float*>(base)[index];
  }
}
size_t padded(size_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

}  // namespace

void lora_shrink(const LoraPart& part) {
  const LoraCall& call = *part.call;
  const LoraMatrix& m = *call.matrix;
  for (size_t row = part.first_row; row < part.last_row; ++row) {
    for (size_t j = part.first; j < part.last; ++j) {
      float lanes[kLanes] = {};
      for (size_t i = 0; i < padded(m.in); ++i) {
        const float x = i < m.in ? call.x[row * call.x_stride + i] : 0;
        lanes[i % kLanes] = std::fma(element(m.type, m.a, j * padded(m.in) + i), x, lanes[i % kLanes]);
      }
      call.h[row * m.rank + j] = m.scaling * sum_lanes(lanes);
    }
  }
}

void lora_expand(const LoraPart& part) {
  const LoraCall& call = *part.call;
  const LoraMatrix& m = *call.matrix;
  for (size_t row = part.first_row; row < part.last_row; ++row) {
    for (size_t n = part.first; n < part.last && n < m.out; ++n) {
      float delta = 0;
      for (size_t j = 0; j < m.rank; ++j)
        delta = std::fma(element(m.type, m.b_t, j * padded(m.out) + n), call.h[row * m.rank + j], delta);
      float& y = call.y[row * call.y_stride + n];
      y = y + delta;
      if (m.magnitude != nullptr) y = y * m.magnitude[n];
    }
  }
}

void lora_whole(const LoraCall* const* calls, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    lora_shrink({calls[i], 0, calls[i]->rows, 0, calls[i]->matrix->rank});
    lora_expand({calls[i], 0, calls[i]->rows, 0, calls[i]->matrix->out});
  }
}

}  // namespace colophon::reference
