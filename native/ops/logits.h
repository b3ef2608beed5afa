#pragma once

#include <cstddef>

#include "ops/context.h"

namespace colophon {

// Both run on the calling thread and leave the pool alone: callers spread rows over it.

/// Index of the largest value (the lowest index on a tie); n >= 1. NaN is never the largest; 0 where all are NaN or
/// -infinity.
size_t argmax(OpContext& context, const float* x, size_t n);

/// log(sum(exp(x))) with max subtracted: 16 partial sums (lane = index % 16) of exp(x - max), reduce_add; then log in
/// double precision by our own polynomial, plus max.
double log_sum_exp(OpContext& context, const float* x, size_t n);

}  // namespace colophon
