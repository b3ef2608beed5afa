#pragma once

namespace colophon {

/// Our own double-precision natural logarithm, exponential, sine, cosine and power: the same bits on every machine
/// (libm's differ). Relative error below 1e-14 in the ranges given. How: range reduction with the constant split into
/// parts whose products are exact (Cody and Waite), then Taylor series cut below 2^-60; the logarithm by
/// 2 atanh((m - 1) / (m + 1)); the power through a logarithm of twice the precision.
double det_log(double x);            ///< x < 0 or NaN: NaN; 0: -infinity
double det_exp(double x);            ///< underflows to 0, overflows to infinity
double det_sin(double x);            ///< |x| <= 1e6; NaN beyond
double det_cos(double x);            ///< |x| <= 1e6; NaN beyond
double det_pow(double x, double y);  ///< x >= 0

}  // namespace colophon
