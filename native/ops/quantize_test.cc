#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "ops/linear.h"
#include "testing/test.h"

namespace colophon {
namespace {

struct Result {
  std::vector<int8_t> q;
  std::vector<float> scale, weighted_sum;
};

bool same(const Result& a, const Result& b) {
  const size_t bytes = a.scale.size() * sizeof(float);
  return a.q == b.q && std::memcmp(a.scale.data(), b.scale.data(), bytes) == 0 &&
         std::memcmp(a.weighted_sum.data(), b.weighted_sum.data(), bytes) == 0;
}

Result quantize(Isa isa, size_t threads, const std::vector<float>& x, size_t rows, size_t columns) {
  ThreadPool pool(threads);
  OpContext context{pool, isa};
  Result result{std::vector<int8_t>(rows * columns), std::vector<float>(rows * columns / 32),
                std::vector<float>(rows * columns / 32)};
  quantize_rows(context, x.data(), rows, columns,
                {result.q.data(), result.scale.data(), result.weighted_sum.data()});
  return result;
}

std::vector<Isa> supported() {
  std::vector<Isa> isas;
  for (Isa isa : {Isa::reference, Isa::avx2, Isa::avx512})
    if (isa_supported(isa)) isas.push_back(isa);
  return isas;
}

}  // namespace

TEST(quantize_keeps_values_within_half_a_step) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> x(7 * 576);
  for (float& value : x) value = normal(random);
  const Result result = quantize(Isa::reference, 1, x, 7, 576);
  for (size_t block = 0; block < x.size() / 32; ++block) {
    int sum = 0, largest = 0;
    for (size_t i = block * 32; i < block * 32 + 32; ++i) {
      const float back = static_cast<float>(result.q[i]) * result.scale[block];
      CHECK(std::fabs(back - x[i]) <= 0.5001f * result.scale[block]);
      largest = std::max(largest, std::abs(static_cast<int>(result.q[i])));
      sum += result.q[i];
    }
    CHECK_EQ(largest, 127);
    CHECK_EQ(result.weighted_sum[block], result.scale[block] * static_cast<float>(sum));
  }
}

TEST(quantize_gives_the_same_bits_everywhere) {
  std::mt19937 random(2);
  for (int repeat = 0; repeat < 40; ++repeat) {
    const size_t rows = 1 + random() % 9, columns = 32 * (1 + random() % 50);
    std::normal_distribution<float> normal(0, std::pow(10.0f, static_cast<float>(random() % 60) - 35));
    std::vector<float> x(rows * columns);
    for (float& value : x) value = normal(random);
    const Result expected = quantize(Isa::reference, 1, x, rows, columns);
    for (Isa isa : supported())
      for (size_t threads : {1, 3}) CHECK(same(quantize(isa, threads, x, rows, columns), expected));
  }
}

TEST(quantize_rounds_ties_to_even) {
  // The block's largest is 127, so that the inverse of the scale is exactly 1.
  std::vector<float> x(32, 0.0f);
  x[0] = 127;
  const float ties[] = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 126.5f, -126.5f};
  const int rounded[] = {0, 2, 2, 0, -2, -2, 126, -126};
  std::copy(std::begin(ties), std::end(ties), x.begin() + 1);
  for (Isa isa : supported()) {
    const Result result = quantize(isa, 1, x, 1, 32);
    CHECK_EQ(result.scale[0], 1.0f);
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
  const Result expected = quantize(Isa::reference, 1, x, 1, x.size());
  for (size_t i = 0; i < expected.scale.size(); ++i) {
    CHECK(std::isfinite(expected.scale[i]));
    CHECK(std::isfinite(expected.weighted_sum[i]));
  }
  for (size_t i = 0; i < 32; ++i) CHECK_EQ(static_cast<int>(expected.q[i]), 0);
  CHECK_EQ(expected.scale[0], 0.0f);
  for (Isa isa : supported()) CHECK(same(quantize(isa, 1, x, 1, x.size()), expected));
}

}  // namespace colophon
