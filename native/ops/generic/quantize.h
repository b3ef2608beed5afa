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
  // What stays below the threshold: zeros in the outliers' places, so that the blocks need no second look for them.
  const auto below = [&](const float* from) {
    const F32 value = V::min(V::max(V::load(from), least), most);
    return V::zero_where_greater(V::max(value, V::sub(zero, value)), threshold, value);
  };
  uint32_t outliers = 0;
  F32 sizes = zero;
  for (size_t block = 0; block < columns / 32; ++block) {
    const float* from = x + block * 32;
    const F32 a = V::min(V::max(V::load(from), least), most), b = V::min(V::max(V::load(from + kLanes), least), most);
    const F32 size_a = V::max(a, V::sub(zero, a)), size_b = V::max(b, V::sub(zero, b));
    unsigned beyond = V::greater(size_a, threshold) | V::greater(size_b, threshold) << kLanes;
    F32 block_sizes = V::max(V::zero_where_greater(size_a, threshold, size_a), V::zero_where_greater(size_b, threshold, size_b));
    out.multiple[block] = V::reduce_max(block_sizes);  // for now
    sizes = V::max(sizes, block_sizes);
    for (; beyond != 0; beyond &= beyond - 1) {
      const uint32_t i = static_cast<uint32_t>(__builtin_ctz(beyond));
      float value[kLanes];
      V::store(value, i < kLanes ? a : b);
      out.outliers[outliers++] = {static_cast<uint32_t>(block * 32) + i, value[i % kLanes]};
    }
  }
  *out.outlier_count = outliers;

  const float largest = V::reduce_max(sizes);
  const bool nothing = largest < 1e-30f;
  *out.unit = nothing ? 0 : largest / (127 * kMostMultiple);
  const float multiples = nothing ? 0 : kMostMultiple / largest, steps = nothing ? 0 : 127 * kMostMultiple / largest;
  for (size_t block = 0; block < columns / 32; ++block, x += 32, out.q += 32) {
    float multiple = __builtin_ceilf(out.multiple[block] * multiples);
    multiple = multiple < 1 ? 1 : multiple > kMostMultiple ? kMostMultiple : multiple;
    const F32 inverse = V::broadcast(steps / multiple);
    const F32 qa = V::round(V::mul(below(x), inverse)), qb = V::round(V::mul(below(x + kLanes), inverse));
    store_i8(out.q, qa, qb);
    out.multiple[block] = multiple;
    out.multiple_pair[block] = static_cast<uint32_t>(multiple) * 0x10001u;
    // Of whole numbers below 2^24: exact. Zeros of either sign add up to +0, as integers do.
    out.weighted_sum[block] = multiple * (V::reduce_add(V::add(qa, qb)) + 0.0f);
  }
}

}  // namespace
}  // namespace colophon
