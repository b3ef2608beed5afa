#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "ops/context.h"
#include "ops/dtype.h"
#include "ops/quantize.h"

namespace colophon {

/// Memory for many weights beside one another in the order in which a pass reads them, in huge pages: a batch of one is
/// bound by the memory's speed, and the CPU's prefetchers stop at every page's end. It lives as long as what is in it.
class WeightMemory {
 public:
  /// Takes `chunk` bytes from the system at a time, or what one weight needs where that is more.
  explicit WeightMemory(size_t chunk = size_t{32} << 20) : chunk_bytes_(chunk) {}
  /// Zeroed, aligned to 64. Throws Error(resource_exhausted).
  std::shared_ptr<uint8_t> allocate(size_t bytes);

 private:
  size_t chunk_bytes_, used_ = 0, size_ = 0;
  std::shared_ptr<uint8_t> chunk_;
};

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
  /// cannot pack. `memory`: where to lie beside others.
  static PackedMatrix pack(ThreadPool& pool, DType type, const void* data, size_t rows, size_t columns,
                           const uint32_t* row_source = nullptr, WeightMemory* memory = nullptr);

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
/// of 32 columns in order: acc = fma(float(multiple_x * sum of q_w * q_x), d_w, acc), the product rounded once as it
/// becomes a float, then, for formats with a minimum, acc = fma(m_w, weighted_sum_x, acc). (Q4_0: q_w in 0..15,
/// m_w = -8 d_w. Q6_K: blocks of 16; each half of a 32-block in order, both with that block's multiple_x.) Then
/// acc = acc * unit_x, and for each outlier of the row, by column: acc = fma(w, x, acc), w as dequantize_row gives it.
/// float32: acc = fma(w, x, acc) over columns in order, w as dequantize_row gives it.
void linear(OpContext& context, std::span<const LinearCall> calls, size_t rows);

}  // namespace colophon
