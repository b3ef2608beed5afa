#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "ops/context.h"
#include "ops/dtype.h"

namespace colophon {

/// One adapted linear: y = magnitude * (y_base + scaling * B (A x)). No padding to any other adapter's rank. A and B stay
/// in the file's float type (f32, f16, bf16) and are widened exactly in the kernel, or they are int8 (`scale` set): half
/// the memory and, of many adapters in a batch, half the time. Then A[j][k] = a_j * qa[j][k] and B[n][j] = b_j * qb[n][j],
/// with the a_j and b_j that fit the largest of a row of A and of a column of B to 127.
struct LoraMatrix {
  DType type = DType::f32;
  uint32_t rank = 0, in = 0, out = 0;
  const void* a = nullptr;           ///< [rank][round_up(in, 16)], zeros behind `in`; int8: round_up(in, 32)
  const void* b_t = nullptr;         ///< B transposed: [rank][round_up(out, 16)], zeros behind `out`
                                     ///< int8: [round_up(out, 16) / 16][round_up(rank, 2) / 2][16][2], the rank last
  float scaling = 1;                 ///< alpha / r, or alpha / sqrt(r) for rsLoRA
  const float* magnitude = nullptr;  ///< DoRA: [round_up(out, 16)], m / ||W + scaling B A||_row; else null
  const float* scale = nullptr;      ///< int8: [rank], scaling * a_j * b_j

  bool int8() const { return scale != nullptr; }

  /// Bytes of `a` and of `b_t` as they are.
  size_t a_bytes() const { return int8() ? int8_a_bytes(rank, in) : a_bytes(type, rank, in); }
  size_t b_bytes() const { return int8() ? int8_b_bytes(rank, out) : b_bytes(type, rank, out); }
  /// Bytes of `a` and of `b_t`.
  static size_t a_bytes(DType type, uint32_t rank, uint32_t in);
  static size_t b_bytes(DType type, uint32_t rank, uint32_t out);
  /// Writes A [rank][in] and B [out][rank] as a safetensors file stores them into the layouts above.
  static void pack_a(DType type, uint32_t rank, uint32_t in, const void* source, void* a);
  static void pack_b(DType type, uint32_t rank, uint32_t out, const void* source, void* b_t);
  /// The same in int8. `source` is float32; what it is multiplied with to fit is divided out of scale[rank].
  static size_t int8_a_bytes(uint32_t rank, uint32_t in);
  static size_t int8_b_bytes(uint32_t rank, uint32_t out);
  static void pack_int8_a(uint32_t rank, uint32_t in, const float* source, void* a, float* scale);
  static void pack_int8_b(uint32_t rank, uint32_t out, const float* source, void* b_t, float* scale);
};

/// A run of consecutive rows of a batch that share an adapter, at one linear.
struct LoraCall {
  const LoraMatrix* matrix;
  const float* x;  ///< first row of the run, [rows][x_stride]
  size_t x_stride;
  float* y;  ///< first row of the run, [rows][y_stride]; updated in place
  size_t y_stride;
  size_t rows;
  float* h;  ///< scratch_floats() of this call alone
  int16_t* x_quants = nullptr;  ///< lora() sets these where the matrix is int8: [rows][round_up(in, 32)]
  float* x_units = nullptr;     ///< [rows]

  /// h [rows][rank]; for int8 matrices then h's units [rows] and h in 16 bits [rows][round_up(rank, 32)].
  static size_t scratch_floats(const LoraMatrix& matrix, size_t rows) {
    return rows * (matrix.rank + (matrix.int8() ? 1 + h_stride(matrix) / 2 : 0));
  }
  static size_t h_stride(const LoraMatrix& matrix) { return (size_t{matrix.rank} + 31) / 32 * 32; }
  float* h_units() const { return h + rows * matrix->rank; }
  int16_t* h_quants() const { return reinterpret_cast<int16_t*>(h_units() + rows); }
};

/// Applies all calls. No two of them may update the same part of a row of y.
///
/// One arithmetic: h[j] = scaling * dot(A[j], x), the dot with 16 partial sums over in (lane = column % 16, fma, column
/// order) and the fixed tree reduce_add; delta[n] = 0, then fma(B[n][j], h[j], delta) for j in order;
/// y[n] = y[n] + delta[n], times magnitude[n] where there is one.
///
/// int8 matrices meet 16-bit activations, x = unit * q with unit = max|x| / 32767 and q = round to nearest even(x *
/// (32767 / max|x|)) (all zeros where the largest is below 1e-30; values beyond +-1e30 count as +-1e30, NaN as -1e30):
/// h[j] = float(sum of qa[j] * q) * unit * scale[j], the sum exact, the products in this order; h is made 16-bit the same
/// way, of unit u; y[n] = fma(float(sum of qb[n] * q_h), u, y[n]), for each kRankChunk ranks in order; times magnitude[n].
constexpr size_t kRankChunk = 512;  // 512 * 127 * 32767 < 2^31
void lora(OpContext& context, std::span<const LoraCall> calls);

}  // namespace colophon
