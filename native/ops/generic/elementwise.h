#pragma once

// The ops on single rows for every instruction set; ops/reference/elementwise.cc spells them plainly.

#include "ops/generic/quantize.h"
#include "ops/simd.h"

namespace colophon::generic {
namespace {

using simd::kLanes;

/// body(column, lanes) for each group of 16 columns; `lanes` is 16 but for the last group.
template <typename Body>
inline void for_groups(size_t columns, const Body& body) {
  size_t i = 0;
  for (; i + kLanes <= columns; i += kLanes) body(i, kLanes);
  if (i < columns) body(i, columns - i);
}
template <typename V>
inline typename V::F32 load(const float* p, size_t lanes) {
  return lanes == kLanes ? V::load(p) : V::load_partial(p, lanes);
}
template <typename V>
inline void store(float* p, typename V::F32 a, size_t lanes) {
  if (lanes == kLanes) V::store(p, a);
  else V::store_partial(p, a, lanes);
}

template <typename V>
inline void rms_norm_row(float* x, const float* residual, const float* weight, float eps, size_t columns, float* out,
                         QuantizedRows quantized) {
  auto squares = V::zero();
  for_groups(columns, [&](size_t i, size_t lanes) {
    auto value = load<V>(x + i, lanes);
    if (residual != nullptr) {
      value = V::add(value, load<V>(residual + i, lanes));
      store<V>(x + i, value, lanes);
    }
    squares = V::fma(value, value, squares);
  });
  const float mean = V::reduce_add(squares) / static_cast<float>(columns);
  const auto inverse = V::broadcast(1.0f / __builtin_sqrtf(mean + eps));
  for_groups(columns, [&](size_t i, size_t lanes) {
    store<V>(out + i, V::mul(V::mul(load<V>(x + i, lanes), inverse), load<V>(weight + i, lanes)), lanes);
  });
  if (quantized.q != nullptr) quantize_row<V>(out, columns, quantized);
}

template <typename V>
inline void add_row(float* x, const float* residual, size_t columns) {
  for_groups(columns, [&](size_t i, size_t lanes) {
    store<V>(x + i, V::add(load<V>(x + i, lanes), load<V>(residual + i, lanes)), lanes);
  });
}

/// out = gate / (1 + exp(exponent(gate))) * up
template <typename V, typename Exponent>
inline void gated_row(const float* gate, const float* up, size_t columns, float* out, QuantizedRows quantized,
                      const Exponent& exponent) {
  for_groups(columns, [&](size_t i, size_t lanes) {
    const auto g = load<V>(gate + i, lanes);
    const auto activated = V::div(g, V::add(V::broadcast(1.0f), simd::exp<V>(exponent(g))));
    store<V>(out + i, V::mul(activated, load<V>(up + i, lanes)), lanes);
  });
  if (quantized.q != nullptr) quantize_row<V>(out, columns, quantized);
}
template <typename V>
inline void silu_mul_row(const float* gate, const float* up, size_t columns, float* out, QuantizedRows quantized) {
  gated_row<V>(gate, up, columns, out, quantized, [](typename V::F32 g) { return V::sub(V::zero(), g); });
}
template <typename V>
inline void gelu_mul_row(const float* gate, const float* up, size_t columns, float* out, QuantizedRows quantized) {
  gated_row<V>(gate, up, columns, out, quantized, [](typename V::F32 g) {
    return V::mul(g, V::fma(V::mul(g, g), V::broadcast(-0.0713548163f), V::broadcast(-1.5957691216f)));
  });
}

template <typename V>
inline void rope_row(float* x, size_t heads, size_t head_dim, size_t half, const float* cosines, const float* sines) {
  for (size_t head = 0; head < heads; ++head) {
    float *first = x + head * head_dim, *second = first + half;
    for_groups(half, [&](size_t i, size_t lanes) {
      const auto a = load<V>(first + i, lanes), b = load<V>(second + i, lanes);
      const auto cosine = load<V>(cosines + i, lanes), sine = load<V>(sines + i, lanes);
      store<V>(first + i, V::fms(a, cosine, V::mul(b, sine)), lanes);
      store<V>(second + i, V::fma(b, cosine, V::mul(a, sine)), lanes);
    });
  }
}

/// The largest value, NaN ignored; -infinity where there is none.
template <typename V>
inline float largest(const float* x, size_t n) {
  const auto least = V::broadcast(-__builtin_inff());
  auto max = least;
  for_groups(n, [&](size_t i, size_t lanes) {
    auto value = load<V>(x + i, lanes);
    if (lanes < kLanes) value = V::keep(value, 0, lanes, least);
    max = V::max(value, max);  // in this order: the second operand is kept where either is NaN
  });
  return V::reduce_max(max);
}

template <typename V>
inline size_t argmax(const float* x, size_t n) {
  // The largest value of each block is found first; then only the block that holds the winner is searched for its place.
  constexpr size_t kBlock = 1024;
  float best = -__builtin_inff();
  size_t best_block = n;
  for (size_t block = 0; block < n; block += kBlock) {
    const float value = largest<V>(x + block, n - block < kBlock ? n - block : kBlock);
    if (value > best) {
      best = value;
      best_block = block;
    }
  }
  if (best_block == n) return 0;
  const auto wanted = V::broadcast(best);
  size_t i = best_block;
  for (; i + kLanes <= n; i += kLanes) {
    const size_t lane = V::first_equal(V::load(x + i), wanted);
    if (lane < kLanes) return i + lane;
  }
  while (x[i] != best) ++i;
  return i;
}

template <typename V>
inline void sum_exp(const float* x, size_t n, float* max, float* sum) {
  *max = largest<V>(x, n);
  const auto shift = V::broadcast(*max);
  auto sums = V::zero();
  for_groups(n, [&](size_t i, size_t lanes) {
    auto value = simd::exp<V>(V::sub(load<V>(x + i, lanes), shift));
    if (lanes < kLanes) value = V::keep(value, 0, lanes, V::zero());
    sums = V::add(sums, value);
  });
  *sum = V::reduce_add(sums);
}

}  // namespace
}  // namespace colophon::generic
