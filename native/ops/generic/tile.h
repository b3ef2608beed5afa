#pragma once

// The tile of registers that attention and LoRA sum in: R rows times G groups of sixteen lanes. Which operands stay
// in registers is spelled out, register by register: left to itself the compiler spills sums.

#include "ops/simd.h"

namespace colophon::generic {
namespace {

using simd::kLanes;

// Element types, widened as they are loaded.
struct F16 {
  using Element = uint16_t;
  template <typename V>
  static typename V::F32 load(const uint16_t* p) {
    return V::load_f16(p);
  }
  template <typename V>
  static typename V::Register load_register(const uint16_t* p) {
    return V::register_load_f16(p);
  }
  static float widen(uint16_t x) { return simd::f16_to_f32(x); }
};
struct BF16 {
  using Element = uint16_t;
  template <typename V>
  static typename V::F32 load(const uint16_t* p) {
    return V::load_bf16(p);
  }
  template <typename V>
  static typename V::Register load_register(const uint16_t* p) {
    return V::register_load_bf16(p);
  }
};
struct F32 {
  using Element = float;
  template <typename V>
  static typename V::F32 load(const float* p) {
    return V::load(p);
  }
  template <typename V>
  static typename V::Register load_register(const float* p) {
    return V::register_load(p);
  }
  static float widen(float x) { return x; }
};

/// Groups of sixteen lanes that fit into the registers beside one another for each of `rows` rows: 1, 2 or 4.
template <typename V>
constexpr size_t groups_beside(size_t rows) {
  const size_t fit = V::kAccumulators / V::kRegisters / rows;
  return fit >= 4 ? 4 : fit >= 2 ? 2 : 1;
}

template <typename V, size_t R, size_t G>
struct Tile {
  static constexpr size_t kColumns = G * V::kRegisters, kRegisterLanes = kLanes / V::kRegisters;
  typename V::Register sums[R][kColumns];

  void clear() {
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (size_t c = 0; c < kColumns; ++c) sums[r][c] = V::register_zero();
    }
  }
  typename V::F32 get(size_t r, size_t g) const { return V::join(&sums[r][g * V::kRegisters]); }
  void set(size_t r, size_t g, typename V::F32 value) { V::split(value, &sums[r][g * V::kRegisters]); }

  /// sums[r][g] = fma(x[r * x_row + k * x_step], w[g][k * w_step + lane], sums[r][g]) for k in order. before(k) is called
  /// at each.
  template <typename Type, typename Before>
  [[gnu::always_inline]] void multiply_add(const float* x, size_t x_row, size_t x_step,
                                           const typename Type::Element* const (&w)[G], size_t w_step, size_t n,
                                           const Before& before) {
    const auto load = [&](size_t c, size_t k) __attribute__((always_inline)) {
      return Type::template load_register<V>(w[c / V::kRegisters] + k * w_step + c % V::kRegisters * kRegisterLanes);
    };
    for (size_t k = 0; k < n; ++k) {
      before(k);
      if constexpr (R < kColumns) {
        typename V::Register by[R];
#pragma GCC unroll 8
        for (size_t r = 0; r < R; ++r) by[r] = V::register_broadcast(x + r * x_row + k * x_step);
#pragma GCC unroll 8
        for (size_t c = 0; c < kColumns; ++c) {
          const auto weight = load(c, k);
#pragma GCC unroll 8
          for (size_t r = 0; r < R; ++r) sums[r][c] = V::register_fma(by[r], weight, sums[r][c]);
        }
      } else {
        typename V::Register weights[kColumns];
#pragma GCC unroll 8
        for (size_t c = 0; c < kColumns; ++c) weights[c] = load(c, k);
#pragma GCC unroll 8
        for (size_t r = 0; r < R; ++r) {
          const auto by = V::register_broadcast(x + r * x_row + k * x_step);
#pragma GCC unroll 8
          for (size_t c = 0; c < kColumns; ++c) sums[r][c] = V::register_fma(by, weights[c], sums[r][c]);
        }
      }
    }
  }
};

}  // namespace
}  // namespace colophon::generic
