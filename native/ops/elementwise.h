#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ops/context.h"
#include "ops/linear.h"

namespace colophon {

/// out = x * (1 / sqrt(mean(x^2) + eps)) * weight, row by row; where `residual` is given, first x += residual, and the sum is written
/// back to x. Where `quantized` is given, out is also quantised as quantize_rows does.
/// mean: 16 partial sums (lane = column % 16, fma), reduce_add, / columns. columns need not be a multiple of 16.
void rms_norm(OpContext& context, float* x, const float* residual, const float* weight, float eps, size_t rows,
              size_t columns, float* out, const QuantizedRows* quantized);

/// x[row] += residual[row], rows x columns, both dense.
void add(OpContext& context, float* x, const float* residual, size_t rows, size_t columns);

/// out = silu(gate) * up = (gate / (1 + exp(-gate))) * up, [rows][columns] dense; also quantised where asked.
void silu_mul(OpContext& context, const float* gate, const float* up, size_t rows, size_t columns, float* out,
              const QuantizedRows* quantized);

/// Frequencies of rotary embedding. The angles' sines and cosines are computed with our own double-precision
/// polynomials, so that every machine has the same bits.
struct RopeScaling {
  enum class Kind { none, linear, llama3 } kind = Kind::none;
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4, original_context = 8192;
};
class RopeTable {
 public:
  /// `rotary_dim` (even) dimensions of each head turn; inverse frequency i is base^(-2i/rotary_dim), scaled, and divided by
  /// factors[i] where `factors` (rotary_dim / 2 of them: GGUF's rope_freqs) is not empty.
  RopeTable(size_t rotary_dim, double base, const RopeScaling& scaling, std::span<const float> factors, size_t max_positions);
  size_t rotary_dim() const { return rotary_dim_; }
  size_t max_positions() const { return max_positions_; }
  const float* cosines(size_t position) const { return cos_.data() + position * (rotary_dim_ / 2); }
  const float* sines(size_t position) const { return sin_.data() + position * (rotary_dim_ / 2); }

 private:
  size_t rotary_dim_, max_positions_;
  std::vector<float> cos_, sin_;
};

/// Rotates pairs (i, i + rotary_dim / 2) of each head (Hugging Face's order) in place.
/// x: [rows][stride], heads * head_dim used. new_a = fma(a, cos, -(b * sin)), new_b = fma(b, cos, a * sin).
void rope(OpContext& context, const RopeTable& table, float* x, size_t stride, size_t rows, size_t heads, size_t head_dim,
          const uint32_t* positions);

/// Index of the largest value (the lowest index on a tie); n >= 1.
size_t argmax(OpContext& context, const float* x, size_t n);
/// log(sum(exp(x))) with max subtracted; 16 partial sums, reduce_add; then log in double precision by our own polynomial.
double log_sum_exp(OpContext& context, const float* x, size_t n);

/// Our own double-precision natural logarithm, exponential, sine, cosine and power: the same bits on every machine
/// (libm's differ). Relative error below 1e-14.
double det_log(double x);
double det_exp(double x);
double det_sin(double x);
double det_cos(double x);
double det_pow(double x, double y);

}  // namespace colophon
