#include "ops/math.h"

#include <cmath>
#include <random>

#include "testing/test.h"

namespace colophon {
namespace {

double worst_error = 0;
void expect(double actual, long double expected) {
  if (expected == 0) {
    CHECK_EQ(actual, 0.0);
    return;
  }
  const double error = static_cast<double>(fabsl((actual - expected) / expected));
  if (!(error < 1e-14)) testing::fail(__FILE__, __LINE__, "off by " + std::to_string(error * 1e14) + "e-14");
  worst_error = std::fmax(worst_error, error);
}

}  // namespace

// libm's long double functions are the measure: where long double is wider than double they are beyond doubt.
TEST(math_log) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> exponent(-300, 300), near_one(0.9, 1.1);
  for (int i = 0; i < 200000; ++i) {
    const double x = i % 2 ? std::pow(10, exponent(random)) : near_one(random);
    expect(det_log(x), logl(x));
  }
  expect(det_log(5e-324), logl(5e-324));
  expect(det_log(std::nextafter(1.0, 2)), logl(std::nextafter(1.0, 2)));
  expect(det_log(std::nextafter(1.0, 0)), logl(std::nextafter(1.0, 0)));
  CHECK_EQ(det_log(1), 0.0);
  CHECK_EQ(det_log(0), -INFINITY);
  CHECK_EQ(det_log(INFINITY), INFINITY);
  CHECK(std::isnan(det_log(-1)));
  CHECK(std::isnan(det_log(NAN)));
}

TEST(math_exp) {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> wide(-708, 709.7), small(-1, 1);
  for (int i = 0; i < 200000; ++i) {
    const double x = i % 2 ? wide(random) : small(random);
    expect(det_exp(x), expl(x));
  }
  CHECK_EQ(det_exp(0), 1.0);
  CHECK_EQ(det_exp(-1000), 0.0);
  CHECK_EQ(det_exp(-INFINITY), 0.0);
  CHECK_EQ(det_exp(1000), INFINITY);
  CHECK(std::isnan(det_exp(NAN)));
}

TEST(math_sin_cos) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> wide(-1e6, 1e6), small(-4, 4), tiny(-1e-6, 1e-6);
  for (int i = 0; i < 300000; ++i) {
    const double x = i % 3 == 0 ? wide(random) : i % 3 == 1 ? small(random) : tiny(random);
    expect(det_sin(x), sinl(x));
    expect(det_cos(x), cosl(x));
  }
  // Next to the zeros, where the reduction loses most; and floats, which are what rotary angles are.
  for (int n = 1; n < 600000; n += 37) {
    const double x = n * 1.5707963267948966;
    expect(det_sin(x), sinl(x));
    expect(det_cos(x), cosl(x));
    const float f = static_cast<float>(x);
    expect(det_sin(f), sinl(f));
    expect(det_cos(f), cosl(f));
  }
  CHECK_EQ(det_sin(0), 0.0);
  CHECK_EQ(det_cos(0), 1.0);
  CHECK(std::isnan(det_sin(1e7)));
  CHECK(std::isnan(det_cos(INFINITY)));
  CHECK(std::isnan(det_cos(NAN)));
}

TEST(math_pow) {
  std::mt19937_64 random(4);
  std::uniform_real_distribution<double> base(0.001, 1e6), exponent(-40, 40), near_one(0.999, 1.001), large(-500000, 500000);
  for (int i = 0; i < 100000; ++i) {
    const double x = base(random), y = exponent(random);
    expect(det_pow(x, y), powl(x, y));
    const double a = near_one(random), b = large(random);
    expect(det_pow(a, b), powl(a, b));
    expect(det_pow(100000, -(i % 64) / 64.0), powl(100000, -(i % 64) / 64.0L));
  }
  CHECK_EQ(det_pow(2, 0), 1.0);
  CHECK_EQ(det_pow(1, 1e300), 1.0);
  CHECK_EQ(det_pow(2, 10), 1024.0);
  CHECK_EQ(det_pow(0, 2), 0.0);
  CHECK_EQ(det_pow(0, -2), INFINITY);
  CHECK_EQ(det_pow(10, 400), INFINITY);
  CHECK_EQ(det_pow(10, -400), 0.0);
  CHECK(std::isnan(det_pow(-2, 2)));
}

// The same bits on every machine: a few are pinned.
TEST(math_has_pinned_bits) {
  CHECK_EQ(det_log(3), 0x1.193ea7aad030bp+0);
  CHECK_EQ(det_exp(1), 0x1.5bf0a8b14576ap+1);
  CHECK_EQ(det_sin(1), 0x1.aed548f090ceep-1);
  CHECK_EQ(det_cos(1), 0x1.14a280fb5068cp-1);
  CHECK_EQ(det_sin(123456.789), -0x1.ff50e60ab53f9p-1);
}

}  // namespace colophon
