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

/// A block's scale is a whole multiple of its row's unit, 1 to this many times.
constexpr float kMostMultiple = 255.0f;

/// Activations quantised symmetrically per row and block of 32 columns: x = unit * multiple * q, of which the last two are
/// whole numbers, so that a kernel multiplies with the block's scale inside its integer sum and with the row's unit once,
/// at the end. A few activations are many times larger than their neighbours, and a scale that fits them leaves the
/// neighbours little, so these stay as they are (https://arxiv.org/abs/2208.07339, by rows instead of columns):
///
///   rms = sqrt(mean(x^2)): 16 partial sums (lane = column % 16, fma), reduce_add, / columns
///   outliers, by column: x with |x| > kOutlierRms * rms, where the mean is at least 1e-30; for what follows their x is 0
///   largest = max|x| of the row, unit = largest / (127 * 255)
///   multiple = ceil(max|x| of the block * (255 / largest)) in [1, 255]
///   q = round to nearest even(x * (127 * 255 / largest / multiple)) in [-127, 127]
///   weighted_sum = multiple * sum(q), what a weight block's minimum is multiplied with
///
/// A row whose largest is below 1e-30 is all zeros, its unit too; values beyond +-1e30 count as +-1e30, NaN as -1e30
/// (a mean beyond float32 is infinite: no outliers). `q` null: no rows.
struct QuantizedRows {
  int8_t* q = nullptr;                ///< [rows][columns]
  float* unit = nullptr;              ///< [rows]
  float* multiple = nullptr;          ///< [rows][columns / 32]
  uint32_t* multiple_pair = nullptr;  ///< [rows][columns / 32]: the multiple in both halves, for 16-bit lanes
  float* weighted_sum = nullptr;      ///< [rows][columns / 32]; a whole number below 2^24
  Outlier* outliers = nullptr;        ///< [rows][columns / kOutlierRoom], the first outlier_count[row] of them set
  uint32_t* outlier_count = nullptr;  ///< [rows]

  /// From `row` on.
  QuantizedRows from(size_t row, size_t columns) const {
    const size_t block = row * (columns / 32);
    return {q + row * columns,    unit + row,
            multiple + block,     multiple_pair + block,
            weighted_sum + block, outliers + row * (columns / kOutlierRoom),
            outlier_count + row};
  }
};

/// Memory for quantised rows.
struct QuantizedBuffer {
  std::vector<int8_t> q;
  std::vector<float> unit, multiple;
  std::vector<uint32_t> multiple_pair;
  std::vector<float> weighted_sum;
  std::vector<Outlier> outliers;
  std::vector<uint32_t> outlier_count;

  QuantizedBuffer() = default;
  QuantizedBuffer(size_t rows, size_t columns)
      : q(rows * columns),
        unit(rows),
        multiple(rows * (columns / 32)),
        multiple_pair(multiple.size()),
        weighted_sum(multiple.size()),
        outliers(rows * (columns / kOutlierRoom)),
        outlier_count(rows) {}
  QuantizedRows rows() {
    return {q.data(),        unit.data(),         multiple.data(), multiple_pair.data(), weighted_sum.data(),
            outliers.data(), outlier_count.data()};
  }
};

/// Quantises x[rows][columns] (columns % 32 == 0) into `out`.
void quantize_rows(OpContext& context, const float* x, size_t rows, size_t columns, const QuantizedRows& out);

}  // namespace colophon
