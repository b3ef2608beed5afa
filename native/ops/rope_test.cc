#include "ops/rope.h"

#include <cmath>

#include "ops/op_testing.h"
#include "testing/test.h"

namespace colophon {

using testing::between;
using testing::random_floats;
using testing::same_bits;
using testing::supported_isas;

TEST(rope_table_rounds_where_transformers_does) {
  const RopeTable table(64, 100000, {}, {}, 2048);
  for (const size_t position : {0, 1, 7, 500, 2047}) {
    for (size_t i = 0; i < 32; ++i) {
      const float power = static_cast<float>(std::pow(100000.0, 2.0 * i / 64));
      const float angle = static_cast<float>(position) * (1.0f / power);
      CHECK(std::fabs(table.cosines(position)[i] - std::cos(double{angle})) < 1e-7);
      CHECK(std::fabs(table.sines(position)[i] - std::sin(double{angle})) < 1e-7);
    }
  }
}

TEST(rope_table_scales_frequencies) {
  const RopeTable plain(8, 10000, {}, {}, 64);
  RopeScaling linear;
  linear.kind = RopeScaling::Kind::linear;
  linear.factor = 4;
  const RopeTable stretched(8, 10000, linear, {}, 64);
  const float factors[] = {1, 2, 4, 8};
  const RopeTable divided(8, 10000, {}, factors, 64);
  for (size_t i = 0; i < 4; ++i) {
    // Powers of two divide exactly: position 8 * factor of the scaled table is position 8 of the plain one.
    CHECK_EQ(stretched.sines(32)[i], plain.sines(8)[i]);
    CHECK_EQ(divided.sines(static_cast<size_t>(4 * factors[i]))[i], plain.sines(4)[i]);
  }
}

TEST(rope_table_follows_llama3) {
  RopeScaling scaling;
  scaling.kind = RopeScaling::Kind::llama3;
  scaling.factor = 32;
  scaling.low_freq_factor = 1;
  scaling.high_freq_factor = 4;
  scaling.original_context = 8192;
  const RopeTable table(64, 500000, scaling, {}, 2);
  // Meta's rule in double precision: kept above 4 waves in the original context, divided below one, blended between.
  size_t kept = 0, divided = 0, blended = 0;
  for (size_t i = 0; i < 32; ++i) {
    const double plain = std::pow(500000.0, -2.0 * i / 64);
    const double waves = 8192 * plain / (2 * std::acos(-1.0));
    double expected;
    if (waves < 1) {
      expected = plain / 32;
      ++divided;
    } else if (waves > 4) {
      expected = plain;
      ++kept;
    } else {
      const double smooth = (waves - 1) / 3;
      expected = (1 - smooth) * plain / 32 + smooth * plain;
      ++blended;
    }
    CHECK(std::fabs(table.sines(1)[i] - std::sin(expected)) <= 1e-6 * expected);
  }
  CHECK(kept > 0 && divided > 0 && blended > 0);
}

TEST(rope_has_the_same_bits_everywhere_and_rotates) {
  std::mt19937 random(1);
  for (int round = 0; round < 40; ++round) {
    const size_t rotary_dim = 2 * between(1, 64, random), head_dim = rotary_dim + (round % 3 == 0 ? between(0, 9, random) : 0);
    const size_t heads = between(1, 9, random), rows = between(1, 50, random);
    const size_t stride = heads * head_dim + between(0, 5, random);
    const RopeTable table(rotary_dim, 10000, {}, {}, 300);
    std::vector<uint32_t> positions(rows);
    for (uint32_t& position : positions) position = static_cast<uint32_t>(between(0, 299, random));
    const auto x = random_floats(rows * stride, random);
    ThreadPool one(1);
    OpContext plain{one, Isa::reference};
    auto expected = x;
    rope(plain, table, expected.data(), stride, rows, heads, head_dim, positions.data());
    for (const Isa isa : supported_isas()) {
      for (const size_t threads : {1, 2, 3}) {
        ThreadPool pool(threads);
        OpContext context{pool, isa};
        auto actual = x;
        rope(context, table, actual.data(), stride, rows, heads, head_dim, positions.data());
        CHECK(same_bits(actual, expected));
      }
    }
    for (size_t row = 0; row < rows; ++row) {
      for (size_t column = 0; column < stride; ++column) {
        const size_t head = column / head_dim, d = column % head_dim, half = rotary_dim / 2;
        const float* from = x.data() + row * stride;
        if (head >= heads || d >= rotary_dim) {
          CHECK_EQ(expected[row * stride + column], from[column]);
          continue;
        }
        const size_t i = d % half;
        const double a = from[head * head_dim + i], b = from[head * head_dim + half + i];
        const double cosine = table.cosines(positions[row])[i], sine = table.sines(positions[row])[i];
        const double turned = d < half ? a * cosine - b * sine : b * cosine + a * sine;
        CHECK(std::fabs(expected[row * stride + column] - turned) < 1e-5);
      }
    }
  }
}

}  // namespace colophon
