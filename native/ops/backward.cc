#include "ops/backward.h"

#include <algorithm>

#include "engine/error.h"
#include "ops/backward_kernels.h"
#include "ops/choose_kernel.h"
#include "ops/elementwise_kernels.h"
#include "ops/math.h"

namespace colophon {
namespace {

template <typename Body>
void for_rows(OpContext& context, size_t rows, size_t columns, const Body& body) {
  const size_t chunk = rows_of_task(columns);
  context.pool.parallel_for((rows + chunk - 1) / chunk, [&](size_t task, size_t) {
    for (size_t row = task * chunk; row < rows && row < (task + 1) * chunk; ++row) body(row);
  });
}

}  // namespace

void rms_norm_backward(OpContext& context, const float* x, const float* weight, float eps, const float* dy, size_t rows,
                       size_t columns, float* dx) {
  const auto kernel = COLOPHON_KERNEL(context.isa, rms_norm_backward_row);
  for_rows(context, rows, columns, [&](size_t row) {
    kernel(x + row * columns, weight, eps, dy + row * columns, columns, dx + row * columns);
  });
}

void gated_backward(OpContext& context, Activation activation, const float* gate, const float* up, const float* dy, size_t rows,
                    size_t columns, float* dgate, float* dup) {
  if (activation != Activation::silu) throw Error(ErrorCode::bad_model, "models whose activation is GELU cannot be trained");
  const auto kernel = COLOPHON_KERNEL(context.isa, silu_backward_row);
  for_rows(context, rows, columns, [&](size_t row) {
    const size_t at = row * columns;
    kernel(gate + at, up + at, dy + at, columns, dgate + at, dup + at);
  });
}

void cross_entropy(OpContext& context, float* logits, const int32_t* targets, const float* weights, size_t rows,
                   size_t vocabulary, TokenLoss* losses) {
  const auto sum_exp = COLOPHON_KERNEL(context.isa, sum_exp);
  const auto argmax = COLOPHON_KERNEL(context.isa, argmax);
  const auto gradient = COLOPHON_KERNEL(context.isa, softmax_gradient_row);
  for_rows(context, rows, vocabulary, [&](size_t row) {
    float* const x = logits + row * vocabulary;
    const auto target = static_cast<size_t>(targets[row]);
    float max, sum;
    sum_exp(x, vocabulary, &max, &sum);
    const double shift = static_cast<double>(max) - static_cast<double>(x[target]);
    losses[row] = {static_cast<float>(det_log(static_cast<double>(sum)) + shift), argmax(x, vocabulary) == target};
    if (weights == nullptr) return;
    gradient(x, vocabulary, max, weights[row] / sum);
    x[target] -= weights[row];
  });
}

void scale(OpContext& context, float* x, float factor, size_t count) {
  constexpr size_t kChunk = 16384;
  context.pool.parallel_for((count + kChunk - 1) / kChunk, [&](size_t task, size_t) {
    const size_t end = std::min(count, (task + 1) * kChunk);
    for (size_t i = task * kChunk; i < end; ++i) x[i] *= factor;
  });
}

}  // namespace colophon
