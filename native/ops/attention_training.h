#pragma once

#include <cstddef>
#include <span>

#include "ops/context.h"

namespace colophon {

/// Consecutive rows that attend to one another: an example. Others' rows do not exist for it, so that examples lie packed side by
/// side without padding.
struct RowSpan {
  size_t first, rows;
};

/// q, out and their gradients: [rows][heads * head_dim]; k, v and theirs: [rows][kv_heads * head_dim]; dense, positions applied.
struct AttentionShape {
  size_t heads, kv_heads, head_dim;
  size_t window;  ///< positions that a row sees, its own included; 0: all before it
  float scale;
};

/// out[i] = sum over j <= i of softmax_j(q[i] . k[j] * scale) v[j], head by head; each query head reads the key-value head
/// that it shares.
void attention_forward(OpContext& context, const AttentionShape& shape, std::span<const RowSpan> spans, const float* q,
                       const float* k, const float* v, float* out);

/// The gradients of q, k and v from that of out. Weights are computed again from q and k, row blocks by row blocks, so that memory grows with
/// an example's length, not with its square.
void attention_backward(OpContext& context, const AttentionShape& shape, std::span<const RowSpan> spans, const float* q,
                        const float* k, const float* v, const float* dout, float* dq, float* dk, float* dv);

}  // namespace colophon
