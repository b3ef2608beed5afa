// The arithmetic of ops/linear.h spelled plainly: every fast kernel must give these bits.

#include <cmath>
#include <vector>

#include "ops/linear_kernel.h"

namespace colophon {
namespace {

float dot_float(const float* w, const float* x, size_t columns) {
  float acc = 0;
  for (size_t k = 0; k < columns; ++k) acc = std::fma(w[k], x[k], acc);
  return acc;
}

/// The weights of one row, quantised.
struct QuantizedWeights {
  std::vector<int8_t> q;
  std::vector<float> scale, minimum;  ///< per 16 columns
};

/// `widened`: the weights as floats, for the outliers.
float dot_int8(const QuantizedWeights& w, Encoding encoding, const float* widened, const QuantizedRows& x, size_t columns) {
  // Only bytes_half_f32 has two scales in a block of 32 columns.
  const size_t width = encoding == Encoding::bytes_half_f32 ? 16 : 32;
  float acc = 0;
  for (size_t begin = 0; begin < columns; begin += width) {
    int32_t sum = 0;
    for (size_t k = begin; k < begin + width; ++k) sum += static_cast<int32_t>(w.q[k]) * x.q[k];
    sum *= static_cast<int32_t>(x.multiple[begin / 32]);
    acc = std::fma(static_cast<float>(sum), w.scale[begin / 16], acc);
    if (has_minimum(encoding)) acc = std::fma(w.minimum[begin / 16], x.weighted_sum[begin / 32], acc);
  }
  acc = acc * *x.unit;
  for (size_t i = 0; i < *x.outlier_count; ++i)
    acc = std::fma(widened[x.outliers[i].column], x.outliers[i].value, acc);
  return acc;
}

}  // namespace

void linear_reference(const LinearTask& task) {
  const PackedMatrix::Layout& layout = *task.weight;
  const size_t columns = layout.columns;
  QuantizedWeights quantized;
  std::vector<float> widened(columns);
  for (size_t row = task.first_group * 16; row < (task.first_group + task.groups) * 16 && row < layout.rows;
       ++row) {
    if (task.quantized.q != nullptr) {
      quantized.q.resize(columns);
      unpack_quants(layout, row, quantized.q.data());
      quantized.scale.clear();
      quantized.minimum.clear();
      for (size_t half = 0; half < columns / 16; ++half) {
        quantized.scale.push_back(packed_scale(layout, row, half));
        quantized.minimum.push_back(packed_minimum(layout, row, half));
      }
    }
    task.matrix->dequantize_row(row, widened.data());
    for (size_t token = 0; token < task.tokens; ++token) {
      float& y = task.y[token * task.y_stride + row];
      if (task.quantized.q != nullptr) {
        y = dot_int8(quantized, layout.encoding, widened.data(), task.quantized.from(token, columns), columns);
      } else {
        y = dot_float(widened.data(), task.x + token * columns, columns);
      }
    }
  }
}

}  // namespace colophon
