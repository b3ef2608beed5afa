#pragma once

// c (+)= a * b in tiles of rows by sixteen columns, for every instruction set; ops/reference/matmul.cc spells it plainly.
// b is packed panel by panel, so that the innermost loop reads it in order (Goto and van de Geijn, "Anatomy of high-performance
// matrix multiplication", ACM TOMS 2008); a's rows are few enough to stay in the second-level cache where they lie.

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

/// T rows of a by a panel of b. Rows of a are read where they lie.
template <typename V, size_t T>
[[gnu::noinline]] void matmul_tile(const float* a, size_t a_row, size_t a_step, const float* panel, size_t depth, float* c,
                                   size_t c_row, size_t lanes, bool accumulate) {
  using Register = typename V::Register;
  constexpr size_t R = V::kRegisters;
  Register sum[T][R];
#pragma GCC unroll 12
  for (size_t t = 0; t < T; ++t) {
    typename V::F32 start = V::zero();
    if (accumulate) start = lanes == 16 ? V::load(c + t * c_row) : V::load_partial(c + t * c_row, lanes);
    V::split(start, sum[t]);
  }
  for (size_t k = 0; k < depth; ++k, a += a_step, panel += 16) {
    Register b[R];
#pragma GCC unroll 2
    for (size_t r = 0; r < R; ++r) b[r] = V::register_load(panel + r * (16 / R));
#pragma GCC unroll 12
    for (size_t t = 0; t < T; ++t) {
      Register x = V::register_broadcast(a + t * a_row);
      V::pin(x);
#pragma GCC unroll 2
      for (size_t r = 0; r < R; ++r) sum[t][r] = V::register_fma(x, b[r], sum[t][r]);
    }
  }
#pragma GCC unroll 12
  for (size_t t = 0; t < T; ++t) {
    const typename V::F32 value = V::join(sum[t]);
    if (lanes == 16) V::store(c + t * c_row, value);
    else V::store_partial(c + t * c_row, value, lanes);
  }
}

/// The last rows, fewer than T + 1.
template <typename V, size_t T>
inline void last_tile(size_t rows, const float* a, size_t a_row, size_t a_step, const float* panel, size_t depth, float* c,
                      size_t c_row, size_t lanes, bool accumulate) {
  if (rows == T) return matmul_tile<V, T>(a, a_row, a_step, panel, depth, c, c_row, lanes, accumulate);
  if constexpr (T > 1) last_tile<V, T - 1>(rows, a, a_row, a_step, panel, depth, c, c_row, lanes, accumulate);
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
  const size_t blocks = (call.k + kMatmulDepth - 1) / kMatmulDepth;
  const size_t step = blocks > 1 ? (call.k + blocks - 1) / blocks : kMatmulDepth;  // of about the same depth
  for (size_t first = 0; first < call.k || first == 0; first += step) {
    const size_t depth = call.k - first < step ? call.k - first : step;
    const float* const a = call.a + first * call.a_step;
    const bool accumulate = call.accumulate || first > 0;
    const size_t tiles = (call.m + T - 1) / T, share = (depth + tiles - 1) / tiles;  // lines of a panel to each tile
    for (size_t column = 0; column < call.n; column += 16) {
      const size_t lanes = call.n - column < 16 ? call.n - column : 16;
      const float* panel = scratch;
      if (call.panel > 0) panel = call.b + column / 16 * call.panel + first * 16;
      else pack_panel<V>(call, first, depth, column, lanes, scratch);
      // What comes next is fetched meanwhile: some of the next panel with each tile of rows, and the next tile's sums.
      const float* const next = call.panel > 0 && column + 16 < call.n ? panel + call.panel : nullptr;
      for (size_t row = 0; row < call.m; row += T) {
        if (next != nullptr)
          for (size_t i = 0; i < share; ++i) __builtin_prefetch(next + (row / T * share + i) * 16, 0, 2);
        const size_t left = call.m - row;
        float* const c = call.c + row * call.c_row + column;
        if (left > T)
          for (size_t t = T; t < 2 * T && t < left; ++t) __builtin_prefetch(c + t * call.c_row, 1, 3);
        if (left >= T)
          matmul_tile<V, T>(a + row * call.a_row, call.a_row, call.a_step, panel, depth, c, call.c_row, lanes, accumulate);
        else
          last_tile<V, T - 1>(left, a + row * call.a_row, call.a_row, call.a_step, panel, depth, c, call.c_row, lanes, accumulate);
      }
    }
  }
}

}  // namespace
}  // namespace colophon::generic
