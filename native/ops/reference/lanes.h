#pragma once

// What the references share: sixteen partial sums and the exponential, spelled plainly.

#include <cmath>
#include <cstddef>

namespace colophon::reference {

constexpr size_t kLanes = 16;

/// The fixed tree over 16 partial sums: i and i + 8, then i and i + 4, i + 2, i + 1.
inline float sum_lanes(const float lanes[kLanes]) {
  float eight[8], four[4];
  for (size_t i = 0; i < 8; ++i) eight[i] = lanes[i] + lanes[i + 8];
  for (size_t i = 0; i < 4; ++i) four[i] = eight[i] + eight[i + 4];
  return (four[0] + four[2]) + (four[1] + four[3]);
}

/// e^x in float32: x = n ln2 + r with ln2 in two parts, then a polynomial of degree 6 in r (Cephes' expf).
inline float exp(float x) {
  if (!(x > -104.0f)) x = -104.0f;  // NaN too; e^-104 rounds to 0
  if (!(x < 88.7f)) x = 88.7f;
  const float n = std::nearbyintf(x * 1.44269504088896341f);
  float r = std::fma(n, -0.693359375f, x);
  r = std::fma(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = std::fma(p, r, 1.3981999507e-3f);
  p = std::fma(p, r, 8.3334519073e-3f);
  p = std::fma(p, r, 4.1665795894e-2f);
  p = std::fma(p, r, 1.6666665459e-1f);
  p = std::fma(p, r, 5.0000001201e-1f);
  p = std::fma(p, r * r, r + 1.0f);
  return std::ldexp(p, static_cast<int>(n));
}

}  // namespace colophon::reference
