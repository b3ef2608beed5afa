#include "influence/block_projection.h"

#include <cmath>
#include <random>

#include "testing/test.h"

using namespace colophon;

namespace {

std::vector<TrainableModule> modules() { return {{{3, Linear::q, 2, 1, false}, 40, 30, 0, 80}, {{5, Linear::up, 1, 1, false}, 3, 500, 140, 143}}; }

std::vector<float> projected(const std::vector<float>& values, uint32_t dims, uint64_t seed) {
  const BlockProjection projection(modules(), dims, seed);
  std::vector<float> out(projection.width());
  projection.project(values, out);
  return out;
}

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

}  // namespace

TEST(block_projection_keeps_inner_products_in_the_mean) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> a(643), b(643);
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = normal(random);
    b[i] = a[i] + 2 * normal(random);
  }
  const double exact = dot(a, b), scale = std::sqrt(dot(a, a) * dot(b, b));
  double mean = 0, square = 0;
  constexpr int kSeeds = 400;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const double error = (dot(projected(a, 16, seed), projected(b, 16, seed)) - exact) / scale;
    mean += error / kSeeds;
    square += error * error / kSeeds;
  }
  // Blocks' errors have the deviation of 1 / sqrt(dims) of their own lengths: here one block has four fifths of all.
  CHECK(std::abs(mean) < 0.05);
  CHECK(std::sqrt(square) < 0.3);
  CHECK(std::sqrt(square) > 0.05);
}

TEST(block_projection_keeps_small_blocks_as_they_are) {
  std::vector<float> values(643);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const std::vector<float> out = projected(values, 8, 1);
  CHECK_EQ(out.size(), 32u);
  // The third block is lora_A of the second module, of 3 values.
  for (size_t i = 0; i < 8; ++i) CHECK_EQ(out[16 + i], i < 3 ? static_cast<float>(140 + i) : 0.0f);
}

TEST(block_projection_is_linear_and_by_the_modules_place) {
  std::vector<float> values(643);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 7) - 3;
  const std::vector<float> whole = projected(values, 16, 5);
  CHECK(whole == projected(values, 16, 5));
  CHECK(whole != projected(values, 16, 6));
  // Alone, a module is projected as it is beside others.
  std::vector<TrainableModule> alone{modules()[1]};
  alone[0].a -= 140;
  alone[0].b -= 140;
  const BlockProjection projection(alone, 16, 5);
  std::vector<float> out(projection.width());
  projection.project(std::span(values).subspan(140), out);
  CHECK(std::equal(out.begin(), out.end(), whole.begin() + 32));
}
