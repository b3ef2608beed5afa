#pragma once

// What the tests of ops share.

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "ops/isa.h"
#include "ops/quantize.h"

namespace colophon::testing {

/// The instruction sets that this CPU runs, the reference first.
inline std::vector<Isa> supported_isas() {
  std::vector<Isa> all;
  for (const Isa isa : {Isa::reference, Isa::avx2, Isa::avx512}) {
    if (isa_supported(isa)) all.push_back(isa);
  }
  return all;
}

/// Normally distributed floats with now and then a zero, a tiny or a large one.
inline std::vector<float> random_floats(size_t n, std::mt19937& random, float sigma = 1) {
  std::normal_distribution<float> normal(0, sigma);
  std::vector<float> values(n);
  for (float& value : values) {
    value = normal(random);
    switch (random() % 64) {
      case 0: value = 0; break;
      case 1: value *= 1e-6f; break;
      case 2: value *= 8; break;
    }
  }
  return values;
}

/// A whole number in [low, high].
inline size_t between(size_t low, size_t high, std::mt19937& random) { return low + random() % (high - low + 1); }

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return false;
  return a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;  // memcmp takes no null pointer
}

inline bool same_bits(const QuantizedBuffer& a, const QuantizedBuffer& b) {
  return same_bits(a.q, b.q) && same_bits(a.unit, b.unit) && same_bits(a.multiple, b.multiple) &&
         same_bits(a.multiple_pair, b.multiple_pair) && same_bits(a.weighted_sum, b.weighted_sum) &&
         same_bits(a.outliers, b.outliers) && same_bits(a.outlier_count, b.outlier_count);
}

/// What quantised rows stand for, [rows][columns].
inline std::vector<float> values(const QuantizedBuffer& buffer) {
  std::vector<float> all(buffer.q.size());
  const size_t rows = buffer.outlier_count.size(), columns = all.size() / (rows == 0 ? 1 : rows);
  for (size_t i = 0; i < all.size(); ++i)
    all[i] = static_cast<float>(buffer.q[i]) * buffer.multiple[i / 32] * buffer.unit[i / columns];
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < buffer.outlier_count[row]; ++i) {
      const Outlier& outlier = buffer.outliers[row * (columns / kOutlierRoom) + i];
      all[row * columns + outlier.column] += outlier.value;  // q is 0 there
    }
  }
  return all;
}

}  // namespace colophon::testing
