#include "ops/elementwise.h"

#include "ops/choose_kernel.h"
#include "ops/elementwise_kernels.h"

namespace colophon {
namespace {

template <typename Body>
void for_rows(OpContext& context, size_t rows, size_t columns, const Body& body) {
  const size_t chunk = rows_of_task(columns);
  context.pool.parallel_for((rows + chunk - 1) / chunk, [&](size_t task, size_t) {
    for (size_t row = task * chunk; row < rows && row < (task + 1) * chunk; ++row) body(row);
  });
}

/// One row of `all`, which may be null.
QuantizedRows quantized_row(const QuantizedRows* all, size_t row, size_t columns) {
  return all == nullptr ? QuantizedRows() : all->from(row, columns);
}

}  // namespace

void rms_norm(OpContext& context, float* x, const float* residual, const float* weight, float eps, size_t rows,
              size_t columns, float* out, const QuantizedRows* quantized) {
  const auto kernel = COLOPHON_KERNEL(context.isa, rms_norm_row);
  for_rows(context, rows, columns, [&](size_t row) {
    kernel(x + row * columns, residual ? residual + row * columns : nullptr, weight, eps, columns, out + row * columns,
           quantized_row(quantized, row, columns));
  });
}

void add(OpContext& context, float* x, const float* residual, size_t rows, size_t columns) {
  const auto kernel = COLOPHON_KERNEL(context.isa, add_row);
  for_rows(context, rows, columns, [&](size_t row) { kernel(x + row * columns, residual + row * columns, columns); });
}

void add_bias(OpContext& context, float* x, const float* bias, size_t rows, size_t columns) {
  const auto kernel = COLOPHON_KERNEL(context.isa, add_row);
  for_rows(context, rows, columns, [&](size_t row) { kernel(x + row * columns, bias, columns); });
}

void gated(OpContext& context, Activation activation, const float* gate, const float* up, size_t rows, size_t columns,
           float* out, const QuantizedRows* quantized) {
  const auto silu = COLOPHON_KERNEL(context.isa, silu_mul_row), gelu = COLOPHON_KERNEL(context.isa, gelu_mul_row);
  const auto kernel = activation == Activation::silu ? silu : gelu;
  for_rows(context, rows, columns, [&](size_t row) {
    kernel(gate + row * columns, up + row * columns, columns, out + row * columns,
           quantized_row(quantized, row, columns));
  });
}

}  // namespace colophon
