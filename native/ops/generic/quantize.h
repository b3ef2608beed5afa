#pragma once

// Quantising one row of activations, for every instruction set (a template over the lanes of simd.h), so that
// the ops that make activations (rms_norm, gated) can do it while the row is in the cache. ops/quantize.h
// defines the arithmetic; ops/reference/quantize.h spells it plainly.

#include "ops/quantize.h"
#include "ops/simd.h"

// Unnamed for the reason given in simd.h.
namespace colophon {
namespace {

/// Two times sixteen whole numbers in [-127, 127] as bytes.
inline void store_i8(int8_t* p, simd::Portable::F32 a, simd::Portable::F32 b) {
  for (size_t i = 0; i < simd::kLanes; ++i) {
    p[i] = static_cast<int8_t>(a.lane[i]);
    p[simd::kLanes + i] = static_cast<int8_t>(b.lane[i]);
  }
}
#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
inline void store_i8(int8_t* p, simd::Avx2::F32 a, simd::Avx2::F32 b) {
  const __m256i first = _mm256_packs_epi32(_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi));
  const __m256i second = _mm256_packs_epi32(_mm256_cvtps_epi32(b.lo), _mm256_cvtps_epi32(b.hi));
  // The packs work on 128-bit halves; this puts the groups of four back into order.
  const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(first, second),
                                                    _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), bytes);
}
#endif
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
inline void store_i8(int8_t* p, simd::Avx512::F32 a, simd::Avx512::F32 b) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a.v)));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 16), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(b.v)));
}
#endif

/// Quantises x[columns] (columns % 32 == 0) as ops/quantize.h defines it. out.q must not overlap x.
template <typename V>
inline void quantize_row(const float* x, size_t columns, QuantizedRows out) {
  using F32 = typename V::F32;
  constexpr size_t kLanes = simd::kLanes;
  const F32 most = V::broadcast(1e30f), least = V::broadcast(-1e30f), zero = V::zero();
  F32 squares = zero;
  for (size_t i = 0; i < columns; i += kLanes) {
    const F32 value = V::min(V::max(V::load(x + i), least), most);
    squares = V::fma(value, value, squares);
  }
  const float mean = V::reduce_add(squares) / static_cast<float>(columns);
  const F32 threshold = V::broadcast(mean >= 1e-30f ? kOutlierRms * __builtin_sqrtf(mean) : __builtin_inff());
  uint32_t outliers = 0;
  for (size_t block = 0; block < columns / 32; ++block, x += 32, out.q += 32) {
    F32 a = V::min(V::max(V::load(x), least), most);
    F32 b = V::min(V::max(V::load(x + kLanes), least), most);
    F32 size_a = V::max(a, V::sub(zero, a)), size_b = V::max(b, V::sub(zero, b));
    unsigned beyond = V::greater(size_a, threshold) | V::greater(size_b, threshold) << kLanes;
    if (beyond != 0) {
      float rest[32];
      V::store(rest, a);
      V::store(rest + kLanes, b);
      for (; beyond != 0; beyond &= beyond - 1) {
        const int i = __builtin_ctz(beyond);
        out.outliers[outliers++] = {static_cast<uint32_t>(block * 32) + static_cast<uint32_t>(i), rest[i]};
        rest[i] = 0;
      }
      a = V::load(rest), b = V::load(rest + kLanes);
      size_a = V::max(a, V::sub(zero, a)), size_b = V::max(b, V::sub(zero, b));
    }
    const float largest = V::reduce_max(V::max(size_a, size_b));
    if (largest < 1e-30f) {
      store_i8(out.q, zero, zero);
      out.scale[block] = out.weighted_sum[block] = 0;
      continue;
    }
    const F32 inverse = V::broadcast(127.0f / largest);
    const F32 qa = V::round(V::mul(a, inverse)), qb = V::round(V::mul(b, inverse));
    store_i8(out.q, qa, qb);
    out.scale[block] = largest / 127.0f;
    out.weighted_sum[block] =
        out.scale[block] * V::reduce_add(V::add(qa, qb));  // the sum is of small whole numbers: exact
  }
  *out.outlier_count = outliers;
}

}  // namespace
}  // namespace colophon
