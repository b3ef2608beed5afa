#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/context.h"
#include "ops/linear.h"
#include "ops/logits.h"
#include "ops/math.h"
#include "ops/rope.h"

namespace colophon {

/// out = x * (1 / sqrt(mean(x^2) + eps)) * weight, row by row, multiplied from the left; where `residual` is given, first
/// x += residual, and the sum is written back to x. Where `quantized` is given, out is also quantised as quantize_rows
/// does. out may be x or residual.
/// mean: 16 partial sums (lane = column % 16, fma), reduce_add, / columns. columns need not be a multiple of 16: the
/// lanes behind the last column take part as zeros.
void rms_norm(OpContext& context, float* x, const float* residual, const float* weight, float eps, size_t rows,
              size_t columns, float* out, const QuantizedRows* quantized);

/// x[row] += residual[row], rows x columns, both dense.
void add(OpContext& context, float* x, const float* residual, size_t rows, size_t columns);

/// x[row] += bias, x: [rows][columns] dense.
void add_bias(OpContext& context, float* x, const float* bias, size_t rows, size_t columns);

enum class Activation {
  silu,       ///< x / (1 + exp(-x)); -x is 0 - x
  gelu_tanh,  ///< 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), as x / (1 + exp(x * fma(x * x, -0.0713548163, -1.5957691216)))
};

/// out = activation(gate) * up, [rows][columns] dense; also quantised where asked. out may be gate or up.
void gated(OpContext& context, Activation activation, const float* gate, const float* up, size_t rows, size_t columns,
           float* out, const QuantizedRows* quantized);

}  // namespace colophon
