#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/context.h"
#include "ops/elementwise.h"

namespace colophon {

/// What training needs beyond the forward ops: gradients of the ops of elementwise.h and the loss. All matrices are dense,
/// [rows][columns]; sums over a row have 16 partial sums (lane = column % 16) and the fixed tree of simd.h.

/// Of rms_norm(x, weight): dx += dy * weight / r - x * (sum(dy * weight * x) / (r^3 columns)), r = sqrt(mean(x^2) + eps).
void rms_norm_backward(OpContext& context, const float* x, const float* weight, float eps, const float* dy, size_t rows,
                       size_t columns, float* dx);

/// Of gated(): the gradients of gate and up from that of their product. Either may be dy. Throws Error(bad_model) for an
/// activation that has no gradient here.
void gated_backward(OpContext& context, Activation activation, const float* gate, const float* up, const float* dy, size_t rows,
                    size_t columns, float* dgate, float* dup);

/// What a row of logits says of its target.
struct TokenLoss {
  float loss;     ///< -log p(target), nats
  bool greedy;  ///< the target is the likeliest; of equals the first is
};

/// Row by row: the loss, and logits become their own gradient, weights[row] * (softmax(logits) - onehot(target)).
/// Weights null: logits are left as they are.
void cross_entropy(OpContext& context, float* logits, const int32_t* targets, const float* weights, size_t rows,
                   size_t vocabulary, TokenLoss* losses);

/// x *= factor
void scale(OpContext& context, float* x, float factor, size_t count);

}  // namespace colophon
