#pragma once

#include "ops/simd.h"

namespace colophon::generic {
namespace {

template <typename V>
void exp_weights(const float* x, size_t n, float shift, float inverse_temperature, float* out) {
  const auto s = V::broadcast(shift), t = V::broadcast(inverse_temperature);
  size_t i = 0;
  for (; i + simd::kLanes <= n; i += simd::kLanes)
    V::store(out + i, simd::exp<V>(V::mul(V::sub(V::load(x + i), s), t)));
  if (i < n) V::store_partial(out + i, simd::exp<V>(V::mul(V::sub(V::load_partial(x + i, n - i), s), t)), n - i);
}

}  // namespace
}  // namespace colophon::generic
