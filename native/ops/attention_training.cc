#include "ops/attention_training.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "ops/backward_kernels.h"
#include "ops/choose_kernel.h"
#include "ops/matmul.h"

namespace colophon {
namespace {

/// Query rows whose weights are held at once.
constexpr size_t kBlockRows = 48;

using Segments = std::span<const RowSegment>;

float* buffer(std::vector<float>& memory, size_t size) {
  if (memory.size() < size) memory.resize(size);
  return memory.data();
}

constexpr size_t panels_of(size_t columns) { return (columns + 15) / 16; }

/// What the rows of one segment see of one key-value head, packed once for all query heads that share it (ops/matmul.h).
class Chain {
 public:
  /// `rows`: of the segment and all that it continues.
  Chain(std::vector<float>& memory, size_t rows, size_t dim)
      : rows_(rows), dim_(dim), by_row_(panels_of(dim) * rows * 16), by_column_(panels_of(rows) * dim * 16),
        at_(buffer(memory, 2 * (by_row_ + by_column_))) {}

  /// side: 0 for keys, 1 for values. x: [rows][stride], the head's columns.
  void gather(Segments segments, size_t segment, size_t side, const float* x, size_t stride) {
    float* const by_row = at_ + side * (by_row_ + by_column_);
    float* const by_column = by_row + by_row_;
    for (size_t i = segment; i != kNoSegment; i = segments[i].parent) {
      const RowSegment& of = segments[i];
      for (size_t row = 0; row < of.rows; ++row) {
        const float* const from = x + (of.first + row) * stride;
        const size_t at = of.before + row;
        for (size_t column = 0; column < dim_; column += 16) {
          float* const to = by_row + (column * rows_ + at * 16);
          const size_t lanes = std::min<size_t>(16, dim_ - column);
          std::memcpy(to, from + column, lanes * sizeof(float));
          std::fill(to + lanes, to + 16, 0.0f);
        }
        float* const to = by_column + at / 16 * dim_ * 16 + at % 16;
        for (size_t column = 0; column < dim_; ++column) to[column * 16] = from[column];
      }
    }
    for (size_t at = rows_; at % 16 != 0; ++at)
      for (size_t column = 0; column < dim_; ++column) by_column[(at / 16 * dim_ + column) * 16 + at % 16] = 0;
  }

  size_t rows() const { return rows_; }
  /// [c][dim] = a[m][k] * (rows from `start` on): what weights the keys or values.
  MatmulCall weighted(const float* a, size_t a_row, size_t side, size_t start, float* c, size_t c_row, size_t m, size_t k) const {
    const float* const b = at_ + side * (by_row_ + by_column_) + start * 16;
    return {a, a_row, 1, b, 0, 0, c, c_row, m, dim_, k, false, rows_ * 16};
  }
  /// [c][n] = a[m][dim] * (rows from `start` on, a multiple of 16)^T: what is to be weighed.
  MatmulCall products(const float* a, size_t a_row, size_t side, size_t start, float* c, size_t m, size_t n) const {
    const float* const b = at_ + side * (by_row_ + by_column_) + by_row_ + start * dim_;
    return {a, a_row, 1, b, 0, 0, c, n, m, n, dim_, false, dim_ * 16};
  }

 private:
  size_t rows_, dim_, by_row_, by_column_;
  float* at_;  ///< keys, then values: each [dim / 16][rows][16] and [rows / 16][dim][16], zeros where nothing is
};

/// Some query rows of a segment, counted from its chain's beginning, and the keys that they may see.
struct Block {
  size_t first, last, start;
  size_t rows() const { return last - first; }
  size_t width() const { return last - start; }
};

template <typename Body>
void for_blocks(const AttentionShape& shape, const RowSegment& segment, const Body& body) {
  for (size_t row = 0; row < segment.rows; row += kBlockRows) {
    const size_t first = segment.before + row, last = segment.before + std::min(segment.rows, row + kBlockRows);
    const size_t begin = shape.window == 0 || first + 1 < shape.window ? 0 : first + 1 - shape.window;
    body(Block{first, last, begin / 16 * 16});
  }
}

/// weights[rows][width] of a block: zero where a row does not see. q: of the block's first row.
void weigh(Isa isa, const AttentionShape& shape, const Chain& chain, const Block& block, const float* q, size_t q_row,
           float* weights) {
  const size_t width = block.width();
  matmul_here(isa, chain.products(q, q_row, 0, block.start, weights, block.rows(), width));
  const auto softmax = COLOPHON_KERNEL(isa, softmax_row);
  for (size_t row = block.first; row < block.last; ++row) {
    float* const w = weights + (row - block.first) * width;
    const size_t begin = shape.window == 0 || row + 1 < shape.window ? 0 : row + 1 - shape.window;
    const size_t from = begin - block.start;
    for (size_t i = 0; i < from; ++i) w[i] = 0;
    for (size_t i = from; i <= row - block.start; ++i) w[i] *= shape.scale;
    softmax(w + from, row - block.start + 1 - from, width - from);
  }
}

}  // namespace

void attention_forward(OpContext& context, const AttentionShape& shape, Segments segments, const float* q, const float* k,
                       const float* v, float* out) {
  const size_t dim = shape.head_dim, q_row = shape.heads * dim, kv_row = shape.kv_heads * dim, group = shape.heads / shape.kv_heads;
  context.pool.parallel_for(segments.size() * shape.kv_heads, [&](size_t task, size_t) {
    thread_local std::vector<float> chain_memory, weight_memory;
    const size_t at = task / shape.kv_heads, kv = task % shape.kv_heads;
    const RowSegment& segment = segments[at];
    Chain chain(chain_memory, segment.before + segment.rows, dim);
    chain.gather(segments, at, 0, k + kv * dim, kv_row);
    chain.gather(segments, at, 1, v + kv * dim, kv_row);
    for (size_t h = kv * group; h < (kv + 1) * group; ++h)
      for_blocks(shape, segment, [&](const Block& block) {
        const size_t place = (segment.first + block.first - segment.before) * q_row + h * dim;
        float* const weights = buffer(weight_memory, kBlockRows * block.width());
        weigh(context.isa, shape, chain, block, q + place, q_row, weights);
        matmul_here(context.isa, chain.weighted(weights, block.width(), 1, block.start, out + place, q_row, block.rows(), block.width()));
      });
  });
}

namespace {

/// What one segment's query rows add to the gradients of all keys and values that they see: [chain rows][kv_heads * head_dim].
struct Share {
  size_t segment;
  float *dk, *dv;
};

void backward_task(Isa isa, const AttentionShape& shape, Segments segments, const Share& share, size_t kv, const float* q,
                   const float* k, const float* v, const float* dout, float* dq) {
  thread_local std::vector<float> chain_memory, weight_memory, gradient_memory;
  const size_t dim = shape.head_dim, q_row = shape.heads * dim, kv_row = shape.kv_heads * dim, group = shape.heads / shape.kv_heads;
  const auto softmax_backward = COLOPHON_KERNEL(isa, softmax_backward_row);
  const RowSegment& segment = segments[share.segment];
  Chain chain(chain_memory, segment.before + segment.rows, dim);
  chain.gather(segments, share.segment, 0, k + kv * dim, kv_row);
  chain.gather(segments, share.segment, 1, v + kv * dim, kv_row);
  float *const dk = share.dk + kv * dim, *const dv = share.dv + kv * dim;
  for (size_t row = 0; row < chain.rows(); ++row) {
    std::fill_n(dk + row * kv_row, dim, 0.0f);
    std::fill_n(dv + row * kv_row, dim, 0.0f);
  }
  for (size_t h = kv * group; h < (kv + 1) * group; ++h)
    for_blocks(shape, segment, [&](const Block& block) {
      const size_t place = (segment.first + block.first - segment.before) * q_row + h * dim;
      const size_t rows = block.rows(), width = block.width(), seen = block.start * kv_row;
      float* const weights = buffer(weight_memory, kBlockRows * width);
      float* const gradients = buffer(gradient_memory, kBlockRows * width);
      weigh(isa, shape, chain, block, q + place, q_row, weights);
      matmul_here(isa, {weights, 1, width, dout + place, q_row, 1, dv + seen, kv_row, width, dim, rows, true});
      matmul_here(isa, chain.products(dout + place, q_row, 1, block.start, gradients, rows, width));
      for (size_t row = 0; row < rows; ++row)
        softmax_backward(weights + row * width, gradients + row * width, width, shape.scale, gradients + row * width);
      matmul_here(isa, chain.weighted(gradients, width, 0, block.start, dq + place, q_row, rows, width));
      matmul_here(isa, {gradients, 1, width, q + place, q_row, 1, dk + seen, kv_row, width, dim, rows, true});
    });
}

}  // namespace

void attention_backward(OpContext& context, const AttentionShape& shape, Segments segments, const float* q, const float* k,
                        const float* v, const float* dout, float* dq, float* dk, float* dv) {
  const size_t kv_row = shape.kv_heads * shape.head_dim;
  const RowSegment& last = segments.back();
  const size_t all = last.first + last.rows;
  // Of those that continue another, what they add lies in memory of its own until it is added, some segments at a time.
  thread_local std::vector<float> memory;
  thread_local std::vector<Share> shares;
  std::vector<Share>& now = shares;  // the caller's, not a worker's own
  for (size_t next = 0; next < segments.size();) {
    now.clear();
    size_t apart = 0;
    for (; next < segments.size(); ++next) {
      const RowSegment& segment = segments[next];
      const size_t chain = segment.parent == kNoSegment ? 0 : segment.before + segment.rows;
      if (apart > 0 && apart + chain > 2 * all) break;
      now.push_back({next, nullptr, nullptr});
      apart += chain;
    }
    float* at = buffer(memory, 2 * apart * kv_row);
    for (Share& share : now) {
      const RowSegment& segment = segments[share.segment];
      if (segment.parent == kNoSegment) {
        share.dk = dk + segment.first * kv_row, share.dv = dv + segment.first * kv_row;
        continue;
      }
      const size_t size = (segment.before + segment.rows) * kv_row;
      share.dk = at, share.dv = at + size;
      at += 2 * size;
    }
    context.pool.parallel_for(now.size() * shape.kv_heads, [&](size_t task, size_t) {
      backward_task(context.isa, shape, segments, now[task / shape.kv_heads], task % shape.kv_heads, q, k, v, dout, dq);
    });
    context.pool.parallel_for(shape.kv_heads, [&](size_t kv, size_t) {
      for (const Share& share : now) {
        if (segments[share.segment].parent == kNoSegment) continue;
        for (size_t i = share.segment; i != kNoSegment; i = segments[i].parent) {
          const RowSegment& of = segments[i];
          for (size_t row = 0; row < of.rows; ++row) {
            const size_t from = (of.before + row) * kv_row + kv * shape.head_dim, to = (of.first + row) * kv_row + kv * shape.head_dim;
            for (size_t column = 0; column < shape.head_dim; ++column) {
              const float before_k = i == share.segment ? 0 : dk[to + column], before_v = i == share.segment ? 0 : dv[to + column];
              dk[to + column] = before_k + share.dk[from + column];
              dv[to + column] = before_v + share.dv[from + column];
            }
          }
        }
      }
    });
  }
}

}  // namespace colophon
