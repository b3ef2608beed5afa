#pragma once

// Quantising one row of activations, for every instruction set (a template over the lanes of simd.h), so that
// the ops that make activations (rms_norm, silu_mul) can do it while the row is in the cache. ops/linear.h
// defines the arithmetic; ops/reference/quantize.h spells it plainly.

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

/// Quantises x[columns] (columns % 32 == 0) as quantize_rows in ops/linear.h defines it. q must not overlap
/// x.
template <typename V>
inline void quantize_row(const float* x, size_t columns, int8_t* q, float* scale, float* weighted_sum) {
  using F32 = typename V::F32;
  const F32 most = V::broadcast(1e30f), least = V::broadcast(-1e30f), zero = V::zero();
  for (size_t block = 0; block < columns / 32; ++block, x += 32, q += 32) {
    const F32 a = V::min(V::max(V::load(x), least), most);
    const F32 b = V::min(V::max(V::load(x + 16), least), most);
    const float largest = V::reduce_max(V::max(V::max(a, V::sub(zero, a)), V::max(b, V::sub(zero, b))));
    if (largest < 1e-30f) {
      store_i8(q, zero, zero);
      scale[block] = weighted_sum[block] = 0;
      continue;
    }
    const F32 inverse = V::broadcast(127.0f / largest);
    const F32 qa = V::round(V::mul(a, inverse)), qb = V::round(V::mul(b, inverse));
    store_i8(q, qa, qb);
    scale[block] = largest / 127.0f;
    weighted_sum[block] =
        scale[block] * V::reduce_add(V::add(qa, qb));  // the sum is of small whole numbers: exact
  }
}

}  // namespace
}  // namespace colophon
