#pragma once

// c (+)= a * b in tiles of rows by sixteen columns, for every instruction set; ops/reference/matmul.cc spells it plainly.
// Both operands are packed block by block, so that the innermost loop reads memory in order (Goto and van de Geijn, "Anatomy of
// high-performance matrix multiplication", ACM TOMS 2008).

#include "ops/matmul_kernels.h"
#include "ops/simd.h"

namespace colophon::generic {
namespace {

/// Rows of a tile: as many sums as there are registers for, and no more than hides their latency.
template <typename V>
constexpr size_t tile_rows() {
  const size_t rows = V::kAccumulators / V::kRegisters;
  return rows > 12 ? 12 : rows;
}

template <typename V, size_t T>
[[gnu::noinline]] void matmul_tile(const float* a, const float* panel, size_t depth, float* c, size_t c_row, size_t rows,
                                   size_t lanes, bool accumulate) {
  using Register = typename V::Register;
  constexpr size_t R = V::kRegisters;
  Register sum[T][R];
#pragma GCC unroll 12
  for (size_t t = 0; t < T; ++t) {
    typename V::F32 start = V::zero();
    if (accumulate && t < rows) start = lanes == 16 ? V::load(c + t * c_row) : V::load_partial(c + t * c_row, lanes);
    V::split(start, sum[t]);
  }
  for (size_t k = 0; k < depth; ++k) {
    Register b[R];
#pragma GCC unroll 2
    for (size_t r = 0; r < R; ++r) b[r] = V::register_load(panel + k * 16 + r * (16 / R));
#pragma GCC unroll 12
    for (size_t t = 0; t < T; ++t) {
      Register x = V::register_broadcast(a + k * T + t);
      V::pin(x);
#pragma GCC unroll 2
      for (size_t r = 0; r < R; ++r) sum[t][r] = V::register_fma(x, b[r], sum[t][r]);
    }
  }
#pragma GCC unroll 12
  for (size_t t = 0; t < T; ++t) {
    if (t >= rows) break;
    const typename V::F32 value = V::join(sum[t]);
    if (lanes == 16) V::store(c + t * c_row, value);
    else V::store_partial(c + t * c_row, value, lanes);
  }
}

/// packed[tile][k][T]: the tile's rows side by side; for those that are not there, any other's, whose sums are not stored.
template <size_t T>
inline void pack_rows(const MatmulCall& call, size_t first, size_t depth, float* packed) {
  for (size_t row = 0; row < call.m; row += T, packed += depth * T) {
    const float* from[T];
    const bool whole = row + T <= call.m;
    for (size_t t = 0; t < T; ++t) from[t] = call.a + (whole || row + t < call.m ? row + t : row) * call.a_row + first * call.a_step;
    if (call.a_step == 1) {
      for (size_t k = 0; k < depth; ++k) {
#pragma GCC unroll 12
        for (size_t t = 0; t < T; ++t) packed[k * T + t] = from[t][k];
      }
    } else {
      for (size_t k = 0; k < depth; ++k) {
#pragma GCC unroll 12
        for (size_t t = 0; t < T; ++t) packed[k * T + t] = from[t][k * call.a_step];
      }
    }
  }
}

/// panel[k][16], zeros behind the last column.
template <typename V>
inline void pack_panel(const MatmulCall& call, size_t first, size_t depth, size_t column, size_t lanes, float* panel) {
  const float* from = call.b + first * call.b_row + column * call.b_step;
  if (call.b_step == 1) {
    for (size_t k = 0; k < depth; ++k) {
      const float* row = from + k * call.b_row;
      V::store(panel + k * 16, lanes == 16 ? V::load(row) : V::load_partial(row, lanes));
    }
    return;
  }
  for (size_t lane = 0; lane < 16; ++lane)
    for (size_t k = 0; k < depth; ++k)
      panel[k * 16 + lane] = lane < lanes ? from[k * call.b_row + lane * call.b_step] : 0;
}

template <typename V>
inline void matmul_block(const MatmulCall& call, float* scratch) {
  constexpr size_t T = tile_rows<V>();
  static_assert(kMatmulRows % T == 0);
  float* const panel = scratch + kMatmulRows * kMatmulDepth;
  for (size_t first = 0; first < call.k || first == 0; first += kMatmulDepth) {
    const size_t depth = call.k - first < kMatmulDepth ? call.k - first : kMatmulDepth;
    pack_rows<T>(call, first, depth, scratch);
    for (size_t column = 0; column < call.n; column += 16) {
      const size_t lanes = call.n - column < 16 ? call.n - column : 16;
      const float* from = panel;
      if (call.panel > 0) from = call.b + column / 16 * call.panel + first * 16;
      else pack_panel<V>(call, first, depth, column, lanes, panel);
      for (size_t row = 0; row < call.m; row += T)
        matmul_tile<V, T>(scratch + row * depth, from, depth, call.c + row * call.c_row + column, call.c_row,
                          call.m - row < T ? call.m - row : T, lanes, call.accumulate || first > 0);
    }
  }
}

}  // namespace
}  // namespace colophon::generic
