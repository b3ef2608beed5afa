#pragma once

#include <cstddef>

#include "ops/context.h"

namespace colophon {

/// out[i] = exp((x[i] - shift) * inverse_temperature), float32, for n values; out may be x. On the calling thread.
/// The sampler's weights: what is drawn from them must be the same on every machine.
void exp_weights(const OpContext& context, const float* x, size_t n, float shift, float inverse_temperature, float* out);

}  // namespace colophon
