#include "ops/quantize.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "ops/op_testing.h"
#include "testing/test.h"

namespace colophon {
namespace {

using testing::same_bits;
using testing::supported_isas;

QuantizedBuffer quantize(Isa isa, size_t threads, const std::vector<float>& x, size_t rows, size_t columns) {
  ThreadPool pool(threads);
  OpContext context{pool, isa};
  QuantizedBuffer result(rows, columns);
  quantize_rows(context, x.data(), rows, columns, result.rows());
  return result;
}

/// Normal values; one in `every` is up to 200 times as large.
std::vector<float> values(std::mt19937& random, size_t count, float sigma, unsigned every) {
  std::normal_distribution<float> normal(0, sigma);
  std::vector<float> x(count);
  for (float& value : x) value = normal(random) * (random() % every == 0 ? 1.0f + static_cast<float>(random() % 200) : 1.0f);
  return x;
}

}  // namespace

TEST(quantize_keeps_values_within_half_a_step) {
  std::mt19937 random(1);
  const size_t rows = 7, columns = 576;
  const std::vector<float> x = values(random, rows * columns, 3, 40);
  const QuantizedBuffer result = quantize(Isa::reference, 1, x, rows, columns);
  const std::vector<float> back = testing::values(result);
  for (size_t block = 0; block < x.size() / 32; ++block) {
    int sum = 0;
    float largest = 0;
    const float scale = result.multiple[block] * result.unit[block / (columns / 32)];
    for (size_t i = block * 32; i < block * 32 + 32; ++i) {
      CHECK(std::fabs(back[i] - x[i]) <= 0.5001f * scale);
      sum += result.q[i];
      if (result.q[i] != 0) largest = std::max(largest, std::fabs(x[i]));
    }
    // No larger than the block's largest needs, but for the whole number that it is rounded up to.
    CHECK(scale <= largest / 127 + 1.0001f * result.unit[block / (columns / 32)]);
    CHECK_EQ(result.multiple_pair[block], static_cast<uint32_t>(result.multiple[block]) * 0x10001u);
    CHECK_EQ(result.weighted_sum[block], result.multiple[block] * static_cast<float>(sum));
  }
}

TEST(quantize_keeps_outliers_as_they_are) {
  std::mt19937 random(4);
  const size_t rows = 20, columns = 320;
  const std::vector<float> x = values(random, rows * columns, 1, 30);
  for (Isa isa : supported_isas()) {
    const QuantizedBuffer result = quantize(isa, 1, x, rows, columns);
    size_t all = 0;
    for (size_t row = 0; row < rows; ++row) {
      double squares = 0;
      for (size_t i = 0; i < columns; ++i) squares += static_cast<double>(x[row * columns + i]) * x[row * columns + i];
      const double threshold = kOutlierRms * std::sqrt(squares / columns);
      const Outlier* next = &result.outliers[row * (columns / kOutlierRoom)];
      const Outlier* end = next + result.outlier_count[row];
      all += result.outlier_count[row];
      for (size_t i = 0; i < columns; ++i) {
        const bool outlier = next < end && next->column == i;
        if (outlier) CHECK_EQ((next++)->value, x[row * columns + i]);
        if (outlier) CHECK_EQ(static_cast<int>(result.q[row * columns + i]), 0);
        const double size = std::fabs(x[row * columns + i]);
        if (std::fabs(size - threshold) > 1e-5 * threshold) CHECK_EQ(outlier, size > threshold);
      }
      CHECK(next == end);
    }
    CHECK(all > rows);
  }
}

TEST(quantize_has_room_for_every_outlier) {
  // As many equal large values as can be beyond the threshold, zeros elsewhere.
  for (Isa isa : supported_isas()) {
    for (size_t columns : {32, 96, 640}) {
      size_t most = 0;
      for (size_t large = 0; large <= columns; ++large) {
        std::vector<float> x(columns);
        for (size_t i = 0; i < large; ++i) x[i * 31 % columns] = 3.7f;
        const QuantizedBuffer result = quantize(isa, 1, x, 1, columns);
        CHECK(result.outlier_count[0] == 0 || result.outlier_count[0] == large);
        most = std::max<size_t>(most, result.outlier_count[0]);
      }
      CHECK_EQ(most, static_cast<size_t>(std::ceil(columns / (kOutlierRms * kOutlierRms)) - 1));
      CHECK(most <= columns / kOutlierRoom);
    }
  }
}

TEST(quantize_gives_the_same_bits_everywhere) {
  std::mt19937 random(2);
  for (int repeat = 0; repeat < 40; ++repeat) {
    const size_t rows = 1 + random() % 9, columns = 32 * (1 + random() % 50);
    const std::vector<float> x =
        values(random, rows * columns, std::pow(10.0f, static_cast<float>(random() % 60) - 35), 1 + random() % 64);
    const QuantizedBuffer expected = quantize(Isa::reference, 1, x, rows, columns);
    for (Isa isa : supported_isas())
      for (size_t threads : {1, 3}) CHECK(same_bits(quantize(isa, threads, x, rows, columns), expected));
  }
}

TEST(quantize_rounds_ties_to_even) {
  // The row's largest is 127, so that the inverse of the block's scale is exactly 1; no value is an outlier.
  std::vector<float> x(32, 0.0f);
  for (size_t i = 9; i < 32; ++i) x[i] = i % 2 == 0 ? 127.0f : -127.0f;
  const float ties[] = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 126.5f, -126.5f};
  const int rounded[] = {0, 2, 2, 0, -2, -2, 126, -126};
  std::copy(std::begin(ties), std::end(ties), x.begin() + 1);
  for (Isa isa : supported_isas()) {
    const QuantizedBuffer result = quantize(isa, 1, x, 1, 32);
    CHECK_EQ(result.multiple[0], kMostMultiple);
    for (size_t i = 0; i < 8; ++i) CHECK_EQ(static_cast<int>(result.q[i + 1]), rounded[i]);
  }
}

TEST(quantize_survives_zeros_infinities_and_nan) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const float odd[] = {0.0f,     -0.0f,     1e-45f,     9.9e-31f, 1e-30f, 1e38f,
                       -3.4e38f, kInfinity, -kInfinity, kNan,     -kNan};
  std::vector<float> x;
  for (float a : odd) {
    for (float b : odd) {
      for (size_t i = 0; i < 32; ++i) x.push_back(i % 5 == 0 ? b : a);
    }
  }
  const QuantizedBuffer expected = quantize(Isa::reference, 1, x, 1, x.size());
  CHECK(std::isfinite(expected.unit[0]));
  for (size_t i = 0; i < expected.multiple.size(); ++i) {
    CHECK(expected.multiple[i] >= 1 && expected.multiple[i] <= kMostMultiple);
    CHECK(std::isfinite(expected.weighted_sum[i]));
  }
  for (size_t i = 0; i < 32; ++i) CHECK_EQ(static_cast<int>(expected.q[i]), 0);
  const QuantizedBuffer nothing = quantize(Isa::reference, 1, std::vector<float>(64, 1e-31f), 1, 64);
  CHECK_EQ(nothing.unit[0], 0.0f);
  for (const int8_t q : nothing.q) CHECK_EQ(static_cast<int>(q), 0);
  for (Isa isa : supported_isas()) CHECK(same_bits(quantize(isa, 1, x, 1, x.size()), expected));
}

}  // namespace colophon
