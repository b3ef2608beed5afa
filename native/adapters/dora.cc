#include "adapters/dora.h"

#include <cmath>
#include <vector>

#include "ops/simd.h"

namespace colophon {
namespace {

/// A [rank][in] and B [rank][out] of an int8 LoraMatrix; all that they are multiplied with is in B.
void widen_int8(const LoraMatrix& m, std::vector<double>& a, std::vector<double>& b_t) {
  const size_t stride = LoraMatrix::int8_a_bytes(1, m.in), pairs = (size_t{m.rank} + 1) / 2;
  const int8_t *qa = static_cast<const int8_t*>(m.a), *qb = static_cast<const int8_t*>(m.b_t);
  a.resize(size_t{m.rank} * m.in);
  b_t.resize(size_t{m.rank} * m.out);
  for (size_t j = 0; j < m.rank; ++j) {
    for (size_t i = 0; i < m.in; ++i) a[j * m.in + i] = qa[j * stride + i];
    for (size_t n = 0; n < m.out; ++n)
      b_t[j * m.out + n] = double{m.scale[j]} * qb[n / 16 * pairs * 32 + j / 2 * 32 + n % 16 * 2 + j % 2];
  }
}

/// A packed matrix of LoraMatrix ([rank][padded]) widened to double, without the padding.
std::vector<double> widen(DType type, const void* data, size_t rank, size_t columns) {
  const size_t padded = (columns + 15) / 16 * 16;
  std::vector<double> out(rank * columns);
  for (size_t j = 0; j < rank; ++j) {
    for (size_t i = 0; i < columns; ++i) {
      const size_t at = j * padded + i;
      out[j * columns + i] = type == DType::f32   ? static_cast<const float*>(data)[at]
                             : type == DType::f16 ? simd::f16_to_f32(static_cast<const uint16_t*>(data)[at])
                                                  : simd::bf16_to_f32(static_cast<const uint16_t*>(data)[at]);
    }
  }
  return out;
}

/// Root of the sum of squares: eight partial sums (lane = index % 8), added in order. Multiplications and
/// additions round separately (the build forbids contraction), so vector units and scalar ones agree.
double norm(const double* x, size_t n) {
  double sums[8] = {};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t lane = 0; lane < 8; ++lane) sums[lane] += x[i + lane] * x[i + lane];
  }
  for (size_t lane = 0; i < n; ++i, ++lane) sums[lane] += x[i] * x[i];
  double total = 0;
  for (const double sum : sums) total += sum;
  return std::sqrt(total);
}

}  // namespace

size_t apply_dora_norms(const LoraMatrix& matrix,
                        const std::function<void(size_t row, float* out)>& weight_row, float* magnitude) {
  const size_t rank = matrix.rank, in = matrix.in, out = matrix.out;
  std::vector<double> a, b_t;
  if (matrix.int8()) {
    widen_int8(matrix, a, b_t);
  } else {
    a = widen(matrix.type, matrix.a, rank, in);
    b_t = widen(matrix.type, matrix.b_t, rank, out);
  }
  const double scaling = matrix.int8() ? 1 : matrix.scaling;
  std::vector<float> weight(in);
  std::vector<double> row(in);
  for (size_t n = 0; n < out; ++n) {
    weight_row(n, weight.data());
    row.assign(in, 0);
    for (size_t j = 0; j < rank; ++j) {
      const double b = b_t[j * out + n];
      const double* a_row = a.data() + j * in;
      for (size_t i = 0; i < in; ++i) row[i] += b * a_row[i];
    }
    for (size_t i = 0; i < in; ++i) row[i] = weight[i] + scaling * row[i];
    magnitude[n] = static_cast<float>(magnitude[n] / norm(row.data(), in));
    if (!std::isfinite(magnitude[n])) return n;
  }
  return out;
}

}  // namespace colophon
