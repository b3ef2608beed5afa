#include "ops/simd.h"

#include <algorithm>
#include <cmath>
#include <random>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "ops/reference/lanes.h"
#include "testing/test.h"

namespace colophon {
namespace {

uint32_t bits(float f) {
  uint32_t b;
  std::memcpy(&b, &f, 4);
  return b;
}
float from_bits(uint32_t b) {
  float f;
  std::memcpy(&f, &b, 4);
  return f;
}

/// Written from the format's definition: sign, five bits of exponent with bias 15, ten of fraction.
double half_value(uint16_t h) {
  const double sign = h & 0x8000 ? -1 : 1;
  const int exponent = h >> 10 & 0x1f, fraction = h & 0x3ff;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  if (exponent == 31) return fraction ? NAN : sign * INFINITY;
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

}  // namespace

TEST(simd_f16_widens_every_half_exactly) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const float f = simd::f16_to_f32(static_cast<uint16_t>(h));
    const double expected = half_value(static_cast<uint16_t>(h));
    if (std::isnan(expected)) {
      CHECK(std::isnan(f));
    } else {
      CHECK_EQ(static_cast<double>(f), expected);
      CHECK_EQ(std::signbit(f), (h & 0x8000) != 0);
      CHECK_EQ(simd::f32_to_f16(f), h);
    }
  }
}

TEST(simd_f16_rounds_to_the_nearest_half_and_ties_to_even) {
  // Between each two neighbours: the middle goes to the even one, what is next to the middle to its own side.
  for (uint16_t h = 0; h < 0x7bff; ++h) {
    const uint16_t next = static_cast<uint16_t>(h + 1);
    const float middle = static_cast<float>((half_value(h) + half_value(next)) / 2);
    CHECK_EQ(simd::f32_to_f16(middle), h % 2 == 0 ? h : next);
    CHECK_EQ(simd::f32_to_f16(std::nextafterf(middle, 0)), h);
    CHECK_EQ(simd::f32_to_f16(std::nextafterf(middle, INFINITY)), next);
    CHECK_EQ(simd::f32_to_f16(-middle), (h % 2 == 0 ? h : next) | 0x8000);
  }
  CHECK_EQ(simd::f32_to_f16(65519.996f), 0x7bff);
  CHECK_EQ(simd::f32_to_f16(65520.0f), 0x7c00);
  CHECK_EQ(simd::f32_to_f16(3.4e38f), 0x7c00);
  CHECK_EQ(simd::f32_to_f16(-INFINITY), 0xfc00);
}

TEST(simd_bf16_widens_every_value) {
  for (uint32_t b = 0; b < 65536; ++b) CHECK_EQ(bits(simd::bf16_to_f32(static_cast<uint16_t>(b))), b << 16);
}

#if defined(__x86_64__)
namespace {
__attribute__((target("avx,f16c"))) float widen_by_hardware(uint16_t h) { return _cvtsh_ss(h); }
__attribute__((target("avx,f16c"))) uint16_t narrow_by_hardware(float f) {
  return static_cast<uint16_t>(_cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT));
}
}  // namespace

TEST(simd_f16_equals_the_hardware_bit_for_bit) {
  if (!__builtin_cpu_supports("f16c")) return;
  for (uint32_t h = 0; h < 65536; ++h)
    CHECK_EQ(bits(simd::f16_to_f32(static_cast<uint16_t>(h))), bits(widen_by_hardware(static_cast<uint16_t>(h))));
  std::mt19937 random(1);
  for (int i = 0; i < 2000000; ++i) {
    // Any bits, and any bits within the halves' range.
    uint32_t b = random();
    if (i % 2) b = (b & 0x807fffffu) | (101 + random() % 44) << 23;
    const float f = from_bits(b);
    CHECK_EQ(simd::f32_to_f16(f), narrow_by_hardware(f));
  }
}
#endif

TEST(simd_exp_is_accurate_and_the_reference_has_its_bits) {
  using V = simd::Portable;
  std::mt19937 random(2);
  std::uniform_real_distribution<float> wide(-104, 88.7f), near(-1, 1);
  double worst = 0;
  for (int i = 0; i < 300000; ++i) {
    const float x = i % 3 ? wide(random) : near(random);
    const float y = simd::exp<V>(V::broadcast(x)).lane[5];
    CHECK_EQ(bits(reference::exp(x)), bits(y));
    const double expected = std::exp(static_cast<double>(x));
    if (expected > 1.2e-38) worst = std::max(worst, std::fabs(y - expected) / expected);
    else CHECK(std::fabs(y - expected) < 2.9e-45);  // two of the smallest subnormals
  }
  CHECK(worst < 1.5e-7);
  for (const float x : {0.0f, -0.0f, -104.0f, -1e30f, -INFINITY, 88.7f, 1e30f, INFINITY, NAN})
    CHECK_EQ(bits(reference::exp(x)), bits(simd::exp<V>(V::broadcast(x)).lane[0]));
  CHECK_EQ(reference::exp(0), 1.0f);
  CHECK_EQ(bits(reference::exp(-INFINITY)), 0u);
  CHECK_EQ(bits(reference::exp(-104)), 0u);
  CHECK(std::isfinite(reference::exp(INFINITY)));
}

}  // namespace colophon
