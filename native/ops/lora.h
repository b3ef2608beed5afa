#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "ops/context.h"
#include "ops/dtype.h"

namespace colophon {

/// One adapted linear: y = magnitude * (y_base + scaling * B (A x)). A and B stay in the file's float type
/// (f32, f16, bf16) and are widened exactly in the kernel. No padding to any other adapter's rank.
struct LoraMatrix {
  DType type = DType::f32;
  uint32_t rank = 0, in = 0, out = 0;
  const void* a = nullptr;           ///< [rank][round_up(in, 16)], zeros behind `in`
  const void* b_t = nullptr;         ///< B transposed: [rank][round_up(out, 16)], zeros behind `out`
  float scaling = 1;                 ///< alpha / r, or alpha / sqrt(r) for rsLoRA
  const float* magnitude = nullptr;  ///< DoRA: [round_up(out, 16)], m / ||W + scaling B A||_row; else null

  /// Bytes of `a` and of `b_t`.
  static size_t a_bytes(DType type, uint32_t rank, uint32_t in);
  static size_t b_bytes(DType type, uint32_t rank, uint32_t out);
  /// Writes A [rank][in] and B [out][rank] as a safetensors file stores them into the layouts above.
  static void pack_a(DType type, uint32_t rank, uint32_t in, const void* source, void* a);
  static void pack_b(DType type, uint32_t rank, uint32_t out, const void* source, void* b_t);
};

/// A run of consecutive rows of a batch that share an adapter, at one linear.
struct LoraCall {
  const LoraMatrix* matrix;
  const float* x;  ///< first row of the run, [rows][x_stride]
  size_t x_stride;
  float* y;  ///< first row of the run, [rows][y_stride]; updated in place
  size_t y_stride;
  size_t rows;
  float* h;  ///< scratch of this call alone: [rows][rank]
};

/// Applies all calls. No two of them may update the same part of a row of y.
///
/// One arithmetic: h[j] = scaling * dot(A[j], x), the dot with 16 partial sums over in (lane = column % 16, fma, column
/// order) and the fixed tree reduce_add; delta[n] = 0, then fma(B[n][j], h[j], delta) for j in order;
/// y[n] = y[n] + delta[n], times magnitude[n] where there is one.
void lora(OpContext& context, std::span<const LoraCall> calls);

}  // namespace colophon
