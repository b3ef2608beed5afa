#pragma once

// AVX-512 on CPUs without it, for the tests alone: the build with COLOPHON_SIMDE includes this before the
// sources under ops/avx512/, so that every intrinsic they use is one of SIMDe's portable functions. What
// SIMDe 0.7.4 lacks is spelled below, lane by lane.

#include <immintrin.h>
// Must stand after immintrin.h, whose types it then shares.
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#include <cmath>
#include <cstdint>
#include <cstring>

namespace colophon::emulated {

template <typename T, int Count = 16>
struct Lanes {
  T lane[Count];
  Lanes() = default;
  template <typename Register>
  explicit Lanes(const Register& r) {
    static_assert(sizeof r == sizeof lane);
    std::memcpy(lane, &r, sizeof r);
  }
  template <typename Register>
  operator Register() const {
    Register r;
    static_assert(sizeof r == sizeof lane);
    std::memcpy(&r, lane, sizeof r);
    return r;
  }
};
using F32 = Lanes<float>;
using I32 = Lanes<int32_t>;
using U16 = Lanes<uint16_t>;
using I8 = Lanes<int8_t>;

/// to[i] = function(from[i])
template <typename To, typename From, typename Function>
inline To map(const From& from, const Function& function) {
  To to;
  for (int i = 0; i < 16; ++i) to.lane[i] = function(from.lane[i]);
  return to;
}

inline __m512 cvtepi32_ps(__m512i a) {
  return map<F32>(I32(a), [](int32_t x) { return static_cast<float>(x); });
}
inline __m512i cvtps_epi32(__m512 a) {
  return map<I32>(F32(a), [](float x) { return _mm_cvtss_si32(_mm_set_ss(x)); });
}
inline __m512i cvttps_epi32(__m512 a) {
  return map<I32>(F32(a), [](float x) { return _mm_cvttss_si32(_mm_set_ss(x)); });
}
inline __m128i cvtepi32_epi8(__m512i a) {
  return map<I8>(I32(a), [](int32_t x) { return static_cast<int8_t>(x); });
}
inline __m512i cvtepi8_epi32(__m128i a) {
  return map<I32>(I8(a), [](int8_t x) { return static_cast<int32_t>(x); });
}
inline __m512i cvtepu16_epi32(__m256i a) {
  return map<I32>(U16(a), [](uint16_t x) { return static_cast<int32_t>(x); });
}
inline __m512 cvtph_ps(__m256i a) {
  return map<F32>(U16(a), [](uint16_t x) { return _cvtsh_ss(x); });
}
inline __m256i cvtps_ph(__m512 a) {
  return map<U16>(F32(a),
                  [](float x) { return static_cast<uint16_t>(_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT)); });
}
inline __m512i srai_epi32(__m512i a, unsigned count) {
  return map<I32>(I32(a), [=](int32_t x) { return x >> (count > 31 ? 31 : count); });
}
inline __m512 roundscale_ps(__m512 a) {
  return map<F32>(F32(a), [](float x) { return std::nearbyintf(x); });
}
inline __m256 extractf32x8_ps(__m512 a, int half) {
  __m256 r;
  std::memcpy(&r, reinterpret_cast<const char*>(&a) + half * 32, 32);
  return r;
}
inline __m512 maskz_loadu_ps(__mmask16 mask, const void* p) {
  F32 r;
  for (int i = 0; i < 16; ++i) r.lane[i] = (mask >> i & 1) != 0 ? static_cast<const float*>(p)[i] : 0.0f;
  return r;
}
inline void mask_storeu_ps(void* p, __mmask16 mask, __m512 a) {
  const F32 from(a);
  for (int i = 0; i < 16; ++i)
    if ((mask >> i & 1) != 0) static_cast<float*>(p)[i] = from.lane[i];
}
/// As the instructions: the second operand where either is NaN or both are zeros.
inline __m512 max_ps(__m512 a, __m512 b) {
  F32 r(b);
  const F32 first(a);
  for (int i = 0; i < 16; ++i) r.lane[i] = first.lane[i] > r.lane[i] ? first.lane[i] : r.lane[i];
  return r;
}
inline __m512 min_ps(__m512 a, __m512 b) {
  F32 r(b);
  const F32 first(a);
  for (int i = 0; i < 16; ++i) r.lane[i] = first.lane[i] < r.lane[i] ? first.lane[i] : r.lane[i];
  return r;
}
/// One rounding, which SIMDe does not promise.
inline __m512 fmadd_ps(__m512 a, __m512 b, __m512 c) {
  F32 r(c);
  const F32 x(a), y(b);
  for (int i = 0; i < 16; ++i) r.lane[i] = std::fma(x.lane[i], y.lane[i], r.lane[i]);
  return r;
}
inline __m512 fmsub_ps(__m512 a, __m512 b, __m512 c) {
  F32 r(c);
  const F32 x(a), y(b);
  for (int i = 0; i < 16; ++i) r.lane[i] = std::fma(x.lane[i], y.lane[i], -r.lane[i]);
  return r;
}
inline __m512i dpbusd_epi32(__m512i sum, __m512i a, __m512i b) {
  I32 r(sum);
  const Lanes<uint8_t, 64> x(a);
  const Lanes<int8_t, 64> y(b);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 4; ++j) r.lane[i] += static_cast<int32_t>(x.lane[4 * i + j]) * y.lane[4 * i + j];
  return r;
}

inline __m512i cvtepi32_epi64(__m256i a) {
  Lanes<int64_t, 8> r;
  const Lanes<int32_t, 8> x(a);
  for (int i = 0; i < 8; ++i) r.lane[i] = x.lane[i];
  return r;
}
inline __m256i cvtepi32_epi16(__m512i a) {
  return map<Lanes<int16_t>>(I32(a), [](int32_t x) { return static_cast<int16_t>(x); });
}
inline __m512i madd_epi16(__m512i a, __m512i b) {
  I32 r;
  const Lanes<int16_t, 32> x(a), y(b);
  for (int i = 0; i < 16; ++i)
    r.lane[i] = int32_t{x.lane[2 * i]} * y.lane[2 * i] + int32_t{x.lane[2 * i + 1]} * y.lane[2 * i + 1];
  return r;
}

}  // namespace colophon::emulated

#define _mm512_cvtepi32_ps(a) ::colophon::emulated::cvtepi32_ps(a)
#define _mm512_cvtps_epi32(a) ::colophon::emulated::cvtps_epi32(a)
#define _mm512_cvttps_epi32(a) ::colophon::emulated::cvttps_epi32(a)
#define _mm512_cvtepi32_epi8(a) ::colophon::emulated::cvtepi32_epi8(a)
#define _mm512_cvtepi8_epi32(a) ::colophon::emulated::cvtepi8_epi32(a)
#define _mm512_cvtepu16_epi32(a) ::colophon::emulated::cvtepu16_epi32(a)
#undef _mm512_cvtph_ps
#define _mm512_cvtph_ps(a) ::colophon::emulated::cvtph_ps(a)
#undef _mm512_cvtps_ph
#define _mm512_cvtps_ph(a, rounding) ::colophon::emulated::cvtps_ph(a)
#undef _mm512_srai_epi32
#define _mm512_srai_epi32(a, count) ::colophon::emulated::srai_epi32(a, count)
#undef _mm512_roundscale_ps
#define _mm512_roundscale_ps(a, rounding) ::colophon::emulated::roundscale_ps(a)
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps(a, half) ::colophon::emulated::extractf32x8_ps(a, half)
#define _mm512_maskz_loadu_ps(mask, p) ::colophon::emulated::maskz_loadu_ps(mask, p)
#define _mm512_mask_storeu_ps(p, mask, a) ::colophon::emulated::mask_storeu_ps(p, mask, a)
#undef _mm512_max_ps
#define _mm512_max_ps(a, b) ::colophon::emulated::max_ps(a, b)
#undef _mm512_min_ps
#define _mm512_min_ps(a, b) ::colophon::emulated::min_ps(a, b)
#undef _mm512_fmadd_ps
#define _mm512_fmadd_ps(a, b, c) ::colophon::emulated::fmadd_ps(a, b, c)
#undef _mm512_fmsub_ps
#define _mm512_fmsub_ps(a, b, c) ::colophon::emulated::fmsub_ps(a, b, c)
#undef _mm512_dpbusd_epi32
#define _mm512_dpbusd_epi32(sum, a, b) ::colophon::emulated::dpbusd_epi32(sum, a, b)
#undef _mm512_cvtepi32_epi64
#define _mm512_cvtepi32_epi64(a) ::colophon::emulated::cvtepi32_epi64(a)
#undef _mm512_cvtepi32_epi16
#define _mm512_cvtepi32_epi16(a) ::colophon::emulated::cvtepi32_epi16(a)
#undef _mm512_madd_epi16
#define _mm512_madd_epi16(a, b) ::colophon::emulated::madd_epi16(a, b)

// What ops/simd.h asks before it shows its AVX-512 lanes.
#define __AVX512F__ 1
#define __AVX512BW__ 1
#define __AVX512VL__ 1
#define __AVX512DQ__ 1
#define __AVX512VNNI__ 1
