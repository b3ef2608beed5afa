#include "ops/attention_training.h"

#include <algorithm>
#include <vector>

#include "ops/backward_kernels.h"
#include "ops/choose_kernel.h"
#include "ops/matmul.h"

namespace colophon {
namespace {

/// Query rows whose weights are held at once.
constexpr size_t kBlockRows = 48;

/// One example's rows of one query head, and what all query heads' tasks share.
struct Head {
  Isa isa;
  const AttentionShape& shape;
  size_t q_row, kv_row;  ///< floats between rows
  const float *q, *k, *v;

  /// Keys that the rows [first, last) may see begin here.
  size_t begin(size_t first) const { return shape.window == 0 || first + 1 < shape.window ? 0 : first + 1 - shape.window; }

  /// weights[rows][end - begin] of the rows [first, last) over the keys [begin(first), last): zero where a row does not see.
  void weigh(size_t first, size_t last, float* weights) const {
    const size_t start = begin(first), width = last - start;
    matmul_here(isa, {q + first * q_row, q_row, 1, k + start * kv_row, 1, kv_row, weights, width, last - first, width, shape.head_dim});
    const auto softmax = COLOPHON_KERNEL(isa, softmax_row);
    for (size_t row = first; row < last; ++row) {
      float* const w = weights + (row - first) * width;
      const size_t from = begin(row) - start;
      for (size_t i = 0; i < from; ++i) w[i] = 0;
      for (size_t i = from; i <= row - start; ++i) w[i] *= shape.scale;
      softmax(w + from, row - start + 1 - from, width - from);
    }
  }
};

float* buffer(std::vector<float>& memory, size_t size) {
  if (memory.size() < size) memory.resize(size);
  return memory.data();
}

}  // namespace

void attention_forward(OpContext& context, const AttentionShape& shape, std::span<const RowSpan> spans, const float* q,
                       const float* k, const float* v, float* out) {
  const size_t q_row = shape.heads * shape.head_dim, kv_row = shape.kv_heads * shape.head_dim;
  context.pool.parallel_for(spans.size() * shape.heads, [&](size_t task, size_t) {
    thread_local std::vector<float> memory;
    const RowSpan& span = spans[task / shape.heads];
    const size_t h = task % shape.heads, kv = h / (shape.heads / shape.kv_heads);
    const size_t q_at = span.first * q_row + h * shape.head_dim, kv_at = span.first * kv_row + kv * shape.head_dim;
    const Head head{context.isa, shape, q_row, kv_row, q + q_at, k + kv_at, v + kv_at};
    for (size_t first = 0; first < span.rows; first += kBlockRows) {
      const size_t last = std::min(span.rows, first + kBlockRows), start = head.begin(first), width = last - start;
      float* const weights = buffer(memory, kBlockRows * width);
      head.weigh(first, last, weights);
      matmul_here(context.isa, {weights, width, 1, head.v + start * kv_row, kv_row, 1, out + q_at + first * q_row, q_row,
                                last - first, shape.head_dim, width});
    }
  });
}

void attention_backward(OpContext& context, const AttentionShape& shape, std::span<const RowSpan> spans, const float* q,
                        const float* k, const float* v, const float* dout, float* dq, float* dk, float* dv) {
  const size_t q_row = shape.heads * shape.head_dim, kv_row = shape.kv_heads * shape.head_dim;
  const size_t group = shape.heads / shape.kv_heads;
  const auto softmax_backward = COLOPHON_KERNEL(context.isa, softmax_backward_row);
  // A task has all query heads of one key-value head, one after another, since they add to the same gradients.
  context.pool.parallel_for(spans.size() * shape.kv_heads, [&](size_t task, size_t) {
    thread_local std::vector<float> weight_memory, gradient_memory;
    const RowSpan& span = spans[task / shape.kv_heads];
    const size_t kv = task % shape.kv_heads, kv_at = span.first * kv_row + kv * shape.head_dim;
    for (size_t row = 0; row < span.rows; ++row) {
      std::fill_n(dk + kv_at + row * kv_row, shape.head_dim, 0.0f);
      std::fill_n(dv + kv_at + row * kv_row, shape.head_dim, 0.0f);
    }
    for (size_t h = kv * group; h < (kv + 1) * group; ++h) {
      const size_t q_at = span.first * q_row + h * shape.head_dim;
      const Head head{context.isa, shape, q_row, kv_row, q + q_at, k + kv_at, v + kv_at};
      for (size_t first = 0; first < span.rows; first += kBlockRows) {
        const size_t last = std::min(span.rows, first + kBlockRows), start = head.begin(first), width = last - start;
        const size_t rows = last - first, q_first = q_at + first * q_row, kv_first = kv_at + start * kv_row;
        float* const weights = buffer(weight_memory, kBlockRows * width);
        float* const gradients = buffer(gradient_memory, kBlockRows * width);
        head.weigh(first, last, weights);
        matmul_here(context.isa, {weights, 1, width, dout + q_first, q_row, 1, dv + kv_first, kv_row, width, shape.head_dim,
                                  rows, true});
        matmul_here(context.isa, {dout + q_first, q_row, 1, v + kv_first, 1, kv_row, gradients, width, rows, width, shape.head_dim});
        for (size_t row = 0; row < rows; ++row)
          softmax_backward(weights + row * width, gradients + row * width, width, shape.scale, gradients + row * width);
        matmul_here(context.isa, {gradients, width, 1, k + kv_first, kv_row, 1, dq + q_first, q_row, rows, shape.head_dim, width});
        matmul_here(context.isa, {gradients, 1, width, q + q_first, q_row, 1, dk + kv_first, kv_row, width, shape.head_dim,
                                  rows, true});
      }
    }
  });
}

}  // namespace colophon
