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

void shrink_int8(const LoraPart& part) {
  const LoraCall& call = *part.call;
  const LoraMatrix& m = *call.matrix;
  const size_t stride = LoraMatrix::int8_a_bytes(1, m.in);
  for (size_t row = part.first_row; row < part.last_row; ++row) {
    for (size_t j = part.first; j < part.last; ++j) {
      const int8_t* a = static_cast<const int8_t*>(m.a) + j * stride;
      int64_t sum = 0;
      for (size_t i = 0; i < stride; ++i) sum += int64_t{a[i]} * call.x_quants[row * stride + i];
      call.h[row * m.rank + j] = static_cast<float>(sum) * call.x_units[row] * m.scale[j];
    }
  }
}

void expand_int8(const LoraPart& part) {
  const LoraCall& call = *part.call;
  const LoraMatrix& m = *call.matrix;
  const size_t pairs = (m.rank + 1) / 2;
  for (size_t row = part.first_row; row < part.last_row; ++row) {
    const int16_t* h = call.h_quants() + row * LoraCall::h_stride(m);
    const float unit = call.h_units()[row];
    for (size_t n = part.first; n < part.last && n < m.out; ++n) {
      const int8_t* b = static_cast<const int8_t*>(m.b_t) + n / 16 * pairs * 32 + n % 16 * 2;
      float& y = call.y[row * call.y_stride + n];
      for (size_t first = 0; first < m.rank; first += kRankChunk) {
        int32_t sum = 0;
        for (size_t j = first; j < m.rank && j < first + kRankChunk; ++j) sum += int32_t{b[j / 2 * 32 + j % 2]} * h[j];
        y = std::fma(static_cast<float>(sum), unit, y);
      }
      if (m.magnitude != nullptr) y = y * m.magnitude[n];
    }
  }
}

float quantize(const float* x, size_t columns, int16_t* q) {
  const auto clamped = [x](size_t i) { return !(x[i] > -1e30f) ? -1e30f : x[i] > 1e30f ? 1e30f : x[i]; };
  float largest = 0;
  for (size_t i = 0; i < columns; ++i) largest = std::fmax(largest, std::fabs(clamped(i)));
  const bool zero = largest < 1e-30f;
  const float inverse = zero ? 0 : 32767.0f / largest;
  for (size_t i = 0; i < (columns + 31) / 32 * 32; ++i)
    q[i] = i < columns ? static_cast<int16_t>(std::nearbyintf(clamped(i) * inverse)) : int16_t{0};
  return zero ? 0 : largest / 32767.0f;
}

}  // namespace

void lora_quantize_x(const LoraCall& call) {
  const size_t in = call.matrix->in, stride = LoraMatrix::int8_a_bytes(1, in);
  for (size_t row = 0; row < call.rows; ++row)
    call.x_units[row] = quantize(call.x + row * call.x_stride, in, call.x_quants + row * stride);
}

void lora_quantize_h(const LoraCall& call) {
  const LoraMatrix& m = *call.matrix;
  for (size_t row = 0; row < call.rows; ++row)
    call.h_units()[row] = quantize(call.h + row * m.rank, m.rank, call.h_quants() + row * LoraCall::h_stride(m));
}

void lora_shrink(const LoraPart& part) {
  const LoraCall& call = *part.call;
  const LoraMatrix& m = *call.matrix;
  if (m.int8()) return shrink_int8(part);
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
  if (m.int8()) return expand_int8(part);
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

void lora_whole(const LoraCall* calls, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const LoraCall& call = calls[i];
    const bool int8 = call.matrix->int8();
    if (int8) lora_quantize_x(call);
    lora_shrink({&call, 0, call.rows, 0, call.matrix->rank});
    if (int8) lora_quantize_h(call);
    lora_expand({&call, 0, call.rows, 0, call.matrix->out});
  }
}

}  // namespace colophon::reference
