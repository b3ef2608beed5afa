#include "ops/rope.h"

#include <cmath>

#include "ops/choose_kernel.h"
#include "ops/elementwise_kernels.h"
#include "ops/math.h"

namespace colophon {
namespace {

/// transformers' _compute_llama3_parameters, in float32 as there: long waves are slowed by the factor, short ones
/// kept, and those between blend.
float llama3_frequency(float frequency, const RopeScaling& scaling) {
  const float factor = static_cast<float>(scaling.factor);
  const float low = static_cast<float>(scaling.low_freq_factor), high = static_cast<float>(scaling.high_freq_factor);
  const float context = static_cast<float>(scaling.original_context);
  const float wavelength = 6.283185307179586f / frequency;
  if (wavelength > context / low) return frequency / factor;
  if (wavelength < context / high) return frequency;
  const float smooth = (context / wavelength - low) / (high - low);
  return (1 - smooth) * frequency / factor + smooth * frequency;
}

}  // namespace

RopeTable::RopeTable(size_t rotary_dim, double base, const RopeScaling& scaling, std::span<const float> factors,
                     size_t max_positions)
    : rotary_dim_(rotary_dim), max_positions_(max_positions) {
  const size_t half = rotary_dim / 2;
  std::vector<float> frequencies(half);
  for (size_t i = 0; i < half; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rotary_dim);
    float frequency = 1.0f / static_cast<float>(det_pow(base, exponent));
    if (scaling.kind == RopeScaling::Kind::linear) frequency /= static_cast<float>(scaling.factor);
    if (scaling.kind == RopeScaling::Kind::llama3) frequency = llama3_frequency(frequency, scaling);
    if (!factors.empty()) frequency /= factors[i];
    frequencies[i] = frequency;
  }
  cos_.resize(max_positions * half);
  sin_.resize(max_positions * half);
  for (size_t position = 0; position < max_positions; ++position) {
    for (size_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(position) * frequencies[i];
      cos_[position * half + i] = static_cast<float>(det_cos(angle));
      sin_[position * half + i] = static_cast<float>(det_sin(angle));
    }
  }
}

namespace {

template <typename Body>
void for_rows(OpContext& context, size_t rows, size_t columns, const Body& body) {
  const size_t chunk = rows_of_task(columns);
  context.pool.parallel_for((rows + chunk - 1) / chunk, [&](size_t task, size_t) {
    for (size_t row = task * chunk; row < rows && row < (task + 1) * chunk; ++row) body(row);
  });
}

}  // namespace

void rope(OpContext& context, const RopeTable& table, float* x, size_t stride, size_t rows, size_t heads, size_t head_dim,
          const uint32_t* positions) {
  const auto kernel = COLOPHON_KERNEL(context.isa, rope_row);
  const size_t half = table.rotary_dim() / 2;
  for_rows(context, rows, heads * head_dim, [&](size_t row) {
    kernel(x + row * stride, heads, head_dim, half, table.cosines(positions[row]), table.sines(positions[row]));
  });
}

void rope_back(OpContext& context, const RopeTable& table, float* x, size_t stride, size_t rows, size_t heads, size_t head_dim,
               const uint32_t* positions) {
  const auto kernel = COLOPHON_KERNEL(context.isa, rope_row);
  const size_t half = table.rotary_dim() / 2;
  for_rows(context, rows, heads * head_dim, [&](size_t row) {
    thread_local std::vector<float> sines;
    sines.assign(table.sines(positions[row]), table.sines(positions[row]) + half);
    for (float& sine : sines) sine = -sine;
    kernel(x + row * stride, heads, head_dim, half, table.cosines(positions[row]), sines.data());
  });
}

}  // namespace colophon
