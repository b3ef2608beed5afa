#pragma once

#include <cstddef>
#include <span>

#include "ops/context.h"

namespace colophon {

constexpr size_t kNoSegment = ~size_t{0};

/// Consecutive rows, and the segment that they continue: a row sees the rows of its own segment up to itself, those of the parent,
/// of the parent's parent, and no others. So examples lie side by side without padding, and what several begin with in common
/// is there once.
struct RowSegment {
  size_t first, rows;
  size_t parent = kNoSegment;  ///< index of one before this
  size_t before = 0;           ///< rows of all that it continues
};

/// q, out and their gradients: [rows][heads * head_dim]; k, v and theirs: [rows][kv_heads * head_dim]; dense, positions applied.
struct AttentionShape {
  size_t heads, kv_heads, head_dim;
  size_t window;  ///< positions that a row sees, its own included; 0: all before it
  float scale;
};

/// out[i] = sum over the rows j that i sees, in order, of softmax_j(q[i] . k[j] * scale) v[j], head by head; each query head
/// reads the key-value head that it shares.
void attention_forward(OpContext& context, const AttentionShape& shape, std::span<const RowSegment> segments, const float* q,
                       const float* k, const float* v, float* out);

/// The gradients of q, k and v from that of out. Weights are computed again from q and k, row blocks by row blocks, so that memory
/// grows with an example's length, not with its square. A row's gradients of k and v are those from its own segment, then what
/// those that continue it add, in their order.
void attention_backward(OpContext& context, const AttentionShape& shape, std::span<const RowSegment> segments, const float* q,
                        const float* k, const float* v, const float* dout, float* dq, float* dk, float* dv);

}  // namespace colophon
