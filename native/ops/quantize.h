#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ops/context.h"

namespace colophon {

/// An activation that stays float32.
struct Outlier {
  uint32_t column;
  float value;
};

/// Activations beyond this many root mean squares of their row are outliers. Fewer than 1 in kOutlierRms^2 can be
/// (Chebyshev), so a row has room for columns / kOutlierRoom of them.
constexpr float kOutlierRms = 3.0f;
constexpr size_t kOutlierRoom = 8;
static_assert(kOutlierRms * kOutlierRms >= kOutlierRoom);

/// Activations quantised symmetrically per row and block of 32 columns. A few activations are many times larger than
/// their neighbours, and a scale that fits them leaves the neighbours little, so these stay as they are
/// (https://arxiv.org/abs/2208.07339, by rows instead of columns):
///
///   rms = sqrt(mean(x^2)): 16 partial sums (lane = column % 16, fma), reduce_add, / columns
///   outliers, by column: x with |x| > kOutlierRms * rms, where the mean is at least 1e-30; for what follows their x is 0
///   scale = max|x| / 127, q = round to nearest even(x * (127 / max|x|)) in [-127, 127]
///   weighted_sum = scale * sum(q), what a weight block's minimum is multiplied with
///
/// A block whose max|x| is below 1e-30 is all zeros, its scale too; values beyond +-1e30 count as +-1e30, NaN as -1e30
/// (a mean beyond float32 is infinite: no outliers). `q` null: no rows.
struct QuantizedRows {
  int8_t* q = nullptr;                ///< [rows][columns]
  float* scale = nullptr;             ///< [rows][columns / 32]
  float* weighted_sum = nullptr;      ///< [rows][columns / 32]
  Outlier* outliers = nullptr;        ///< [rows][columns / kOutlierRoom], the first outlier_count[row] of them set
  uint32_t* outlier_count = nullptr;  ///< [rows]

  /// From `row` on.
  QuantizedRows from(size_t row, size_t columns) const {
    const size_t block = row * (columns / 32);
    return {q + row * columns, scale + block, weighted_sum + block, outliers + row * (columns / kOutlierRoom),
            outlier_count + row};
  }
};

/// Memory for quantised rows.
struct QuantizedBuffer {
  std::vector<int8_t> q;
  std::vector<float> scale, weighted_sum;
  std::vector<Outlier> outliers;
  std::vector<uint32_t> outlier_count;

  QuantizedBuffer() = default;
  QuantizedBuffer(size_t rows, size_t columns)
      : q(rows * columns),
        scale(rows * (columns / 32)),
        weighted_sum(scale.size()),
        outliers(rows * (columns / kOutlierRoom)),
        outlier_count(rows) {}
  QuantizedRows rows() { return {q.data(), scale.data(), weighted_sum.data(), outliers.data(), outlier_count.data()}; }
};

/// Quantises x[rows][columns] (columns % 32 == 0) into `out`.
void quantize_rows(OpContext& context, const float* x, size_t rows, size_t columns, const QuantizedRows& out);

}  // namespace colophon
