#pragma once

// ops/reference/backward.cc spells these plainly.

#include "ops/generic/elementwise.h"

namespace colophon::generic {
namespace {

template <typename V>
inline void rms_norm_backward_row(const float* x, const float* weight, float eps, const float* dy, size_t columns, float* dx) {
  auto squares = V::zero(), products = V::zero();
  for_groups(columns, [&](size_t i, size_t lanes) {
    const auto value = load<V>(x + i, lanes);
    squares = V::fma(value, value, squares);
    products = V::fma(V::mul(load<V>(dy + i, lanes), load<V>(weight + i, lanes)), value, products);
  });
  const float count = static_cast<float>(columns);
  const float inverse = 1.0f / __builtin_sqrtf(V::reduce_add(squares) / count + eps);
  const auto along = V::broadcast(V::reduce_add(products) / count * inverse * inverse * inverse), r = V::broadcast(inverse);
  for_groups(columns, [&](size_t i, size_t lanes) {
    const auto direct = V::mul(V::mul(load<V>(dy + i, lanes), load<V>(weight + i, lanes)), r);
    const auto gradient = V::sub(direct, V::mul(load<V>(x + i, lanes), along));
    store<V>(dx + i, V::add(load<V>(dx + i, lanes), gradient), lanes);
  });
}

template <typename V>
inline void silu_backward_row(const float* gate, const float* up, const float* dy, size_t columns, float* dgate, float* dup) {
  const auto one = V::broadcast(1.0f);
  for_groups(columns, [&](size_t i, size_t lanes) {
    const auto g = load<V>(gate + i, lanes), d = load<V>(dy + i, lanes), u = load<V>(up + i, lanes);
    const auto s = V::div(one, V::add(one, simd::exp<V>(V::sub(V::zero(), g))));
    const auto activated = V::mul(g, s);
    const auto slope = V::fma(activated, V::sub(one, s), s);
    store<V>(dgate + i, V::mul(V::mul(d, u), slope), lanes);
    store<V>(dup + i, V::mul(d, activated), lanes);
  });
}

template <typename V>
inline void softmax_row(float* x, size_t n, size_t width) {
  float max, sum;
  sum_exp<V>(x, n, &max, &sum);
  const auto shift = V::broadcast(max), share = V::broadcast(1.0f / sum);
  for_groups(n, [&](size_t i, size_t lanes) {
    store<V>(x + i, V::mul(simd::exp<V>(V::sub(load<V>(x + i, lanes), shift)), share), lanes);
  });
  for (size_t i = n; i < width; ++i) x[i] = 0;
}

template <typename V>
inline void softmax_backward_row(const float* p, const float* dp, size_t n, float scale, float* ds) {
  auto products = V::zero();
  for_groups(n, [&](size_t i, size_t lanes) { products = V::fma(load<V>(p + i, lanes), load<V>(dp + i, lanes), products); });
  const auto sum = V::broadcast(V::reduce_add(products)), factor = V::broadcast(scale);
  for_groups(n, [&](size_t i, size_t lanes) {
    store<V>(ds + i, V::mul(V::mul(load<V>(p + i, lanes), V::sub(load<V>(dp + i, lanes), sum)), factor), lanes);
  });
}

template <typename V>
inline void softmax_gradient_row(float* x, size_t n, float max, float factor) {
  const auto shift = V::broadcast(max), f = V::broadcast(factor);
  for_groups(n, [&](size_t i, size_t lanes) {
    store<V>(x + i, V::mul(simd::exp<V>(V::sub(load<V>(x + i, lanes), shift)), f), lanes);
  });
}

}  // namespace
}  // namespace colophon::generic
