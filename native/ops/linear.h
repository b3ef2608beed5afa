#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "ops/context.h"
#include "ops/dtype.h"

namespace colophon {

/// A weight matrix [rows (outputs), columns (inputs)], repacked once at load to the tiles that the kernels
/// read: groups of 16 rows, rows across lanes. The same packed bytes serve every instruction set.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  PackedMatrix(PackedMatrix&&) noexcept = default;
  PackedMatrix& operator=(PackedMatrix&&) noexcept = default;

  /// Packs `rows` x `columns` elements of `type` at `data` (row after row as GGUF and safetensors store them;
  /// quantised rows need columns to be a multiple of the block). `row_source`, where given, has `rows`
  /// entries: packed row i is file row row_source[i]. Uses the pool. Throws Error(bad_model) on a shape it
  /// cannot pack.
  static PackedMatrix pack(ThreadPool& pool, DType type, const void* data, size_t rows, size_t columns,
                           const uint32_t* row_source = nullptr);

  size_t rows() const { return rows_; }
  size_t columns() const { return columns_; }
  size_t bytes() const;
  /// Whether int8 activations apply (the file's type is quantised).
  bool quantized() const;

  /// out[columns] = the row in float32, exactly as the file's format defines it (d * q + m, a product and a
  /// sum, each rounded). Embedding lookup and DoRA's norms use it.
  void dequantize_row(size_t row, float* out) const;

  /// How the kernels see it; defined in ops/packed_layout.h.
  struct Layout;
  const Layout& layout() const { return *layout_; }

 private:
  struct Deleter {
    void operator()(Layout*) const;
  };
  size_t rows_ = 0, columns_ = 0;
  std::unique_ptr<Layout, Deleter> layout_;
};

/// Activations quantised symmetrically per row and block of 32 columns: q = round to nearest even(x * (127 /
/// max|x|)) in
/// [-127, 127], scale = max|x| / 127, weighted_sum = scale * sum(q) (what a weight block's minimum is
/// multiplied with). A block whose max|x| is below 1e-30 is all zeros, its scale too; values beyond +-1e30
/// count as +-1e30, NaN as -1e30.
struct QuantizedRows {
  int8_t* q = nullptr;            ///< [rows][columns]
  float* scale = nullptr;         ///< [rows][columns / 32]
  float* weighted_sum = nullptr;  ///< [rows][columns / 32]
};

/// Quantises x[rows][columns] (columns % 32 == 0) into `out`.
void quantize_rows(OpContext& context, const float* x, size_t rows, size_t columns, const QuantizedRows& out);

/// One linear of a batch: y[rows][weight.rows()] = x[rows][weight.columns()] * weight^T.
struct LinearCall {
  const PackedMatrix* weight;
  const float* x;  ///< [rows][columns], dense
  const QuantizedRows*
      quantized_x;  ///< null: float32 activations. Ignored where the weight is not quantised.
  float* y;
  size_t y_stride;  ///< floats between rows of y
};

/// Runs several linears over the same number of rows in one parallel region (q, k, v; gate, up). One pass
/// over the weights for the whole batch.
///
/// One arithmetic: y[i][n] depends on row i of x and row n of the weight alone. int8: acc = 0; for each block
/// of 32 columns in order: acc = fma(float(sum of q_w * q_x) * d_w, scale_x, acc), then, for formats with a
/// minimum, acc = fma(m_w, weighted_sum_x, acc). (Q4_0: q_w in 0..15, m_w = -8 d_w. Q6_K: blocks of 16; each
/// half of a 32-block in order, both with that block's scale_x.) float32: acc = fma(w, x, acc) over columns
/// in order, w as dequantize_row gives it.
void linear(OpContext& context, std::span<const LinearCall> calls, size_t rows);

}  // namespace colophon
