#include "ops/math.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace colophon {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// A value as the unevaluated sum of two doubles, |low| <= ulp(high) / 2.
struct Pair {
  double high, low;
};

/// a + b without error (Knuth).
Pair two_sum(double a, double b) {
  const double sum = a + b;
  const double b_part = sum - a;
  return {sum, (a - (sum - b_part)) + (b - b_part)};
}

// ln 2 in two parts; the first has 21 trailing zero bits, so that a binary exponent times it is exact.
constexpr double kLn2High = 0x1.62e42fee00000p-1, kLn2Low = 0x1.a39ef35793c76p-33;

/// ln x for a finite x > 0, to about 2^-66 relative.
Pair log_pair(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // [0.5, 1)
  if (m < 0.70710678118654752) {
    m *= 2;
    --exponent;
  }
  // ln m = 2 atanh(s) = 2 s + 2 s^3/3 + 2 s^5/5 + ..., s = (m - 1) / (m + 1), |s| <= 0.1716; s to twice the precision.
  const double numerator = m - 1;  // exact
  const Pair denominator = two_sum(m, 1.0);
  const double s = numerator / denominator.high;
  const double s_low = (std::fma(-s, denominator.high, numerator) - s * denominator.low) / denominator.high;
  const double z = s * s;
  double series = 0;
  for (int k = 23; k >= 3; k -= 2) series = (series + 1.0 / k) * z;
  const Pair sum = two_sum(exponent * kLn2High, 2 * s);
  const double rest = sum.low + (exponent * kLn2Low + (2 * s_low + 2 * s * series));
  const double high = sum.high + rest;
  return {high, rest - (high - sum.high)};
}

/// e^(x.high + x.low).
double exp_pair(Pair x) {
  if (std::isnan(x.high)) return kNaN;
  if (x.high > 710) return kInfinity;
  if (x.high < -746) return 0;
  const double n = std::nearbyint(x.high * 1.4426950408889634);
  const double r = (x.high - n * kLn2High) - (n * kLn2Low - x.low);
  double series = 1;  // 1 + r (1 + r/2 (1 + r/3 (...)))
  for (int k = 14; k >= 1; --k) series = 1 + r / k * series;
  return std::ldexp(series, static_cast<int>(n));
}

// pi / 2 in parts of at most 33 bits, so that a quarter-turn count below 2^20 times each is exact, and the rest.
constexpr double kHalfPi1 = 0x1.921fb544p+0, kHalfPi2 = 0x1.0b4611a6p-34, kHalfPi3 = 0x1.3198a2ep-69,
                 kHalfPiRest = 0x1.b839a252049c1p-104;

/// sin (quarter = 0) or cos (quarter = 1) of x.
double sine(double x, int64_t quarter) {
  if (!(std::fabs(x) <= 1e6)) return kNaN;
  const double n = std::nearbyint(x * 0.63661977236758134);
  const Pair a = two_sum(x, -(n * kHalfPi1));
  const Pair b = two_sum(a.high, -(n * kHalfPi2));
  const Pair c = two_sum(b.high, -(n * kHalfPi3));
  const double low = a.low + (b.low + (c.low - n * kHalfPiRest));
  const double r = c.high + low;
  const double tail = low - (r - c.high);
  const double z = r * r;
  const uint64_t turn = static_cast<uint64_t>(static_cast<int64_t>(n) + quarter);
  double value;
  if (turn % 2 == 0) {  // sin(r + tail) = r - r^3/3! + ... + tail
    constexpr double kSeries[] = {1.0 / 355687428096000, -1.0 / 1307674368000, 1.0 / 6227020800, -1.0 / 39916800,
                                  1.0 / 362880,          -1.0 / 5040,          1.0 / 120,        -1.0 / 6};
    double series = 0;
    for (const double term : kSeries) series = series * z + term;
    value = r + (r * z * series + tail * (1 - z * 0.5));
  } else {  // cos(r + tail) = 1 - r^2/2! + ... - r tail
    constexpr double kSeries[] = {-1.0 / 6402373705728000, 1.0 / 20922789888000, -1.0 / 87178291200, 1.0 / 479001600,
                                  -1.0 / 3628800,          1.0 / 40320,          -1.0 / 720,         1.0 / 24};
    double series = 0;
    for (const double term : kSeries) series = series * z + term;
    const double half = z * 0.5, first = 1 - half;
    value = first + (((1 - first) - half) + (z * z * series - r * tail));
  }
  return turn & 2 ? -value : value;
}

}  // namespace

double det_log(double x) {
  if (std::isnan(x) || x < 0) return kNaN;
  if (x == 0) return -kInfinity;
  if (std::isinf(x)) return x;
  return log_pair(x).high;
}

double det_exp(double x) { return exp_pair({x, 0}); }
double det_sin(double x) { return sine(x, 0); }
double det_cos(double x) { return sine(x, 1); }

double det_pow(double x, double y) {
  if (y == 0 || x == 1) return 1;
  if (std::isnan(x) || std::isnan(y) || x < 0) return kNaN;
  if (x == 0) return y > 0 ? 0 : kInfinity;
  if (std::isinf(x)) return y > 0 ? x : 0;
  if (std::isinf(y)) return (y > 0) == (x > 1) ? kInfinity : 0;
  const Pair log = log_pair(x);
  const double product = y * log.high;
  if (std::isinf(product)) return product > 0 ? product : 0;
  return exp_pair({product, std::fma(y, log.high, -product) + y * log.low});
}

}  // namespace colophon
