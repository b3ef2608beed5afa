#pragma once

// Sixteen float lanes, three times: a plain array (`portable`), two AVX2 registers and one AVX-512 register.
// Kernels under ops/generic/ are templates over one of these, so that every instruction set runs the same
// arithmetic in the same order (promise 1). Only what the translation unit's compiler flags allow is visible.
//
// Rules for kernels: every multiply-add is an explicit `fma`; no reduction but `reduce_add`/`reduce_max`; lanes past a
// row's end hold zeros.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
// gcc 12 takes the undefined operands inside its own AVX-512 header for mistakes (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

// Unnamed on purpose: each translation unit is compiled for another instruction set, and the linker must never
// take one unit's copy of an inline function for another's. For the same reason kernel files use no templates of
// the standard library.
namespace colophon::simd {
namespace {

constexpr size_t kLanes = 16;

/// IEEE binary16 -> binary32, exact.
inline float f16_to_f32(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  uint32_t exponent = (h >> 10) & 0x1f;
  uint32_t mantissa = h & 0x3ffu;
  uint32_t bits;
  if (exponent == 0x1f) {
    bits = sign | 0x7f800000u | (mantissa << 13) | (mantissa ? 0x400000u : 0);  // quiet, as vcvtph2ps does
  } else if (exponent != 0) {
    bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
  } else if (mantissa == 0) {
    bits = sign;
  } else {
    exponent = 113;
    while ((mantissa & 0x400u) == 0) {
      mantissa <<= 1;
      --exponent;
    }
    bits = sign | (exponent << 23) | ((mantissa & 0x3ffu) << 13);
  }
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

/// binary32 -> binary16, round to nearest even, as vcvtps2ph does.
inline uint16_t f32_to_f16(float f) {
  uint32_t x;
  std::memcpy(&x, &f, 4);
  const uint16_t sign = static_cast<uint16_t>((x >> 16) & 0x8000u);
  x &= 0x7fffffffu;
  if (x > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | ((x >> 13) & 0x3ffu));
  if (x >= 0x47800000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (x < 0x38800000u) {  // subnormal half or zero
    if (x < 0x33000000u) return sign;
    const uint32_t shift = 126 - (x >> 23);  // 14..24
    const uint32_t mantissa = (x & 0x7fffffu) | 0x800000u;
    uint32_t half = mantissa >> shift;
    const uint32_t rest = mantissa & ((1u << shift) - 1);
    const uint32_t middle = 1u << (shift - 1);
    if (rest > middle || (rest == middle && (half & 1))) ++half;
    return static_cast<uint16_t>(sign | half);
  }
  const uint32_t rounded = x + 0xfffu + ((x >> 13) & 1);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

inline float bf16_to_f32(uint16_t b) {
  const uint32_t bits = static_cast<uint32_t>(b) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

/// Plain lanes: the reference's arithmetic, readable and slow. `std::fma` rounds once on every machine.
struct Portable {
  static constexpr const char* kName = "reference";
  struct F32 {
    float lane[kLanes];
  };
  static F32 zero() { return F32{}; }
  static F32 broadcast(float x) {
    F32 r;
    for (float& l : r.lane) l = x;
    return r;
  }
  static F32 load(const float* p) {
    F32 r;
    std::memcpy(r.lane, p, sizeof r.lane);
    return r;
  }
  /// The first n (0..16) lanes from p, zeros behind.
  static F32 load_partial(const float* p, size_t n) {
    F32 r{};
    for (size_t i = 0; i < n && i < kLanes; ++i) r.lane[i] = p[i];
    return r;
  }
  static F32 load_f16(const uint16_t* p) {
    F32 r;
    for (size_t i = 0; i < kLanes; ++i) r.lane[i] = f16_to_f32(p[i]);
    return r;
  }
  static F32 load_bf16(const uint16_t* p) {
    F32 r;
    for (size_t i = 0; i < kLanes; ++i) r.lane[i] = bf16_to_f32(p[i]);
    return r;
  }
  static F32 load_i32(const int32_t* p) {
    F32 r;
    for (size_t i = 0; i < kLanes; ++i) r.lane[i] = static_cast<float>(p[i]);
    return r;
  }
  static void store(float* p, F32 a) { std::memcpy(p, a.lane, sizeof a.lane); }
  static void store_partial(float* p, F32 a, size_t n) {
    for (size_t i = 0; i < n && i < kLanes; ++i) p[i] = a.lane[i];
  }
  static void store_f16(uint16_t* p, F32 a) {
    for (size_t i = 0; i < kLanes; ++i) p[i] = f32_to_f16(a.lane[i]);
  }
#define COLOPHON_LANEWISE(name, expression)          \
  static F32 name(F32 a, F32 b) {                    \
    F32 r;                                           \
    for (size_t i = 0; i < kLanes; ++i) {            \
      const float x = a.lane[i], y = b.lane[i];      \
      r.lane[i] = (expression);                      \
    }                                                \
    return r;                                        \
  }
  COLOPHON_LANEWISE(add, x + y)
  COLOPHON_LANEWISE(sub, x - y)
  COLOPHON_LANEWISE(mul, x* y)
  COLOPHON_LANEWISE(div, x / y)
  // As the x86 instructions: the second operand where either is NaN.
  COLOPHON_LANEWISE(max, x > y ? x : y)
  COLOPHON_LANEWISE(min, x < y ? x : y)
#undef COLOPHON_LANEWISE
  /// a * b + c, rounded once.
  static F32 fma(F32 a, F32 b, F32 c) {
    F32 r;
    for (size_t i = 0; i < kLanes; ++i) r.lane[i] = std::fma(a.lane[i], b.lane[i], c.lane[i]);
    return r;
  }
  /// a * b - c, rounded once.
  static F32 fms(F32 a, F32 b, F32 c) {
    F32 r;
    for (size_t i = 0; i < kLanes; ++i) r.lane[i] = std::fma(a.lane[i], b.lane[i], -c.lane[i]);
    return r;
  }
  /// The lanes first..last-1 of a, the others of b.
  static F32 keep(F32 a, size_t first, size_t last, F32 b) {
    F32 r;
    for (size_t i = 0; i < kLanes; ++i) r.lane[i] = i >= first && i < last ? a.lane[i] : b.lane[i];
    return r;
  }
  /// Bit i: lane i of a is greater than that of b.
  static unsigned greater(F32 a, F32 b) {
    unsigned bits = 0;
    for (size_t i = 0; i < kLanes; ++i) bits |= static_cast<unsigned>(a.lane[i] > b.lane[i]) << i;
    return bits;
  }
  /// 0 where a is greater than b, else value.
  static F32 zero_where_greater(F32 a, F32 b, F32 value) {
    F32 r;
    for (size_t i = 0; i < kLanes; ++i) r.lane[i] = a.lane[i] > b.lane[i] ? 0 : value.lane[i];
    return r;
  }
  /// The first lane in which a equals b, kLanes where none does.
  static size_t first_equal(F32 a, F32 b) {
    size_t i = 0;
    while (i < kLanes && a.lane[i] != b.lane[i]) ++i;
    return i;
  }
  /// Nearest integer, ties to even.
  static F32 round(F32 a) {
    F32 r;
    for (size_t i = 0; i < kLanes; ++i) r.lane[i] = std::nearbyintf(a.lane[i]);
    return r;
  }
  /// a * 2^n for integral n in [-252, 252] lanes, in two exact halves, so that results may reach the subnormals.
  static F32 scale_pow2(F32 a, F32 n) {
    F32 r;
    for (size_t i = 0; i < kLanes; ++i) {
      const int32_t whole = static_cast<int32_t>(n.lane[i]);
      const int32_t half = whole >> 1;
      r.lane[i] = a.lane[i] * pow2(half) * pow2(whole - half);
    }
    return r;
  }
  /// The fixed tree over 16 partial sums: i and i+8, then i and i+4, i+2, i+1.
  static float reduce_add(F32 a) {
    for (size_t width = 8; width >= 1; width /= 2)
      for (size_t i = 0; i < width; ++i) a.lane[i] = a.lane[i] + a.lane[i + width];
    return a.lane[0];
  }
  static float reduce_max(F32 a) {
    for (size_t width = 8; width >= 1; width /= 2)
      for (size_t i = 0; i < width; ++i) a.lane[i] = a.lane[i] > a.lane[i + width] ? a.lane[i] : a.lane[i + width];
    return a.lane[0];
  }

 private:
  static float pow2(int32_t n) {
    const uint32_t bits = static_cast<uint32_t>(n + 127) << 23;
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
  }
};

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
/// Two registers of eight.
struct Avx2 {
  static constexpr const char* kName = "avx2";
  struct F32 {
    __m256 lo, hi;
  };
  // The registers themselves, for kernels that must place each of them (ops/generic/tile.h).
  using Register = __m256;
  static constexpr size_t kRegisters = 2;      ///< of sixteen lanes
  static constexpr size_t kAccumulators = 12;  ///< registers of 16 that a kernel may sum in
  static Register register_zero() { return _mm256_setzero_ps(); }
  static Register register_broadcast(const float* p) { return _mm256_broadcast_ss(p); }
  static Register register_load(const float* p) { return _mm256_loadu_ps(p); }
  static Register register_load_f16(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Register register_load_bf16(const uint16_t* p) { return widen_bf16(p); }
  static Register register_fma(Register a, Register b, Register c) { return _mm256_fmadd_ps(a, b, c); }
  /// Keeps the compiler from loading the value again for each use, which costs more than the register.
  static void pin(Register& r) { asm("" : "+x"(r)); }
  static F32 join(const Register* r) { return {r[0], r[1]}; }
  static void split(F32 a, Register* r) { r[0] = a.lo, r[1] = a.hi; }

  static F32 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static F32 broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static F32 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static F32 load_partial(const float* p, size_t n) {
    return {_mm256_maskload_ps(p, mask(n)), n > 8 ? _mm256_maskload_ps(p + 8, mask(n - 8)) : _mm256_setzero_ps()};
  }
  static F32 load_f16(const uint16_t* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
  }
  static F32 load_bf16(const uint16_t* p) { return {widen_bf16(p), widen_bf16(p + 8)}; }
  static F32 load_i32(const int32_t* p) {
    return {_mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))),
            _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8)))};
  }
  static void store(float* p, F32 a) {
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
  }
  static void store_partial(float* p, F32 a, size_t n) {
    _mm256_maskstore_ps(p, mask(n), a.lo);
    if (n > 8) _mm256_maskstore_ps(p + 8, mask(n - 8), a.hi);
  }
  static void store_f16(uint16_t* p, F32 a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT));
  }
  static F32 add(F32 a, F32 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
  static F32 sub(F32 a, F32 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
  static F32 mul(F32 a, F32 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
  static F32 div(F32 a, F32 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
  static F32 max(F32 a, F32 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
  static F32 min(F32 a, F32 b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
  static F32 fma(F32 a, F32 b, F32 c) {
    return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
  }
  static F32 fms(F32 a, F32 b, F32 c) {
    return {_mm256_fmsub_ps(a.lo, b.lo, c.lo), _mm256_fmsub_ps(a.hi, b.hi, c.hi)};
  }
  static F32 keep(F32 a, size_t first, size_t last, F32 b) {
    const __m256i lo = _mm256_andnot_si256(mask(first), mask(last));
    const __m256i hi = _mm256_andnot_si256(mask(first > 8 ? first - 8 : 0), mask(last > 8 ? last - 8 : 0));
    return {_mm256_blendv_ps(b.lo, a.lo, _mm256_castsi256_ps(lo)), _mm256_blendv_ps(b.hi, a.hi, _mm256_castsi256_ps(hi))};
  }
  static unsigned greater(F32 a, F32 b) {
    const int lo = _mm256_movemask_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_GT_OQ));
    const int hi = _mm256_movemask_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_GT_OQ));
    return static_cast<unsigned>(lo | hi << 8);
  }
  static F32 zero_where_greater(F32 a, F32 b, F32 value) {
    return {_mm256_andnot_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_GT_OQ), value.lo),
            _mm256_andnot_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_GT_OQ), value.hi)};
  }
  static size_t first_equal(F32 a, F32 b) {
    const unsigned lo = static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ)));
    const unsigned hi = static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ)));
    return static_cast<size_t>(__builtin_ctz(lo | hi << 8 | 1u << kLanes));
  }
  static F32 round(F32 a) {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(a.lo, kNearest), _mm256_round_ps(a.hi, kNearest)};
  }
  static F32 scale_pow2(F32 a, F32 n) { return {scale_pow2(a.lo, n.lo), scale_pow2(a.hi, n.hi)}; }
  static float reduce_add(F32 a) {
    const __m256 eight = _mm256_add_ps(a.lo, a.hi);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    four = _mm_add_ss(four, _mm_movehdup_ps(four));
    return _mm_cvtss_f32(four);
  }
  static float reduce_max(F32 a) {
    const __m256 eight = _mm256_max_ps(a.lo, a.hi);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    four = _mm_max_ss(four, _mm_movehdup_ps(four));
    return _mm_cvtss_f32(four);
  }

 private:
  static __m256i mask(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? static_cast<int>(n) : 8),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static __m256 widen_bf16(const uint16_t* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(
        _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
  }
  static __m256 scale_pow2(__m256 a, __m256 n) {
    const __m256i whole = _mm256_cvttps_epi32(n);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    return _mm256_mul_ps(_mm256_mul_ps(a, pow2(half)), pow2(_mm256_sub_epi32(whole, half)));
  }
  static __m256 pow2(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
};
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
/// One register of sixteen.
struct Avx512 {
  static constexpr const char* kName = "avx512";
  struct F32 {
    __m512 v;
  };
  using Register = __m512;
  static constexpr size_t kRegisters = 1;
  static constexpr size_t kAccumulators = 24;
  static Register register_zero() { return _mm512_setzero_ps(); }
  static Register register_broadcast(const float* p) { return _mm512_set1_ps(*p); }
  static Register register_load(const float* p) { return _mm512_loadu_ps(p); }
  static Register register_load_f16(const uint16_t* p) { return load_f16(p).v; }
  static Register register_load_bf16(const uint16_t* p) { return load_bf16(p).v; }
  static Register register_fma(Register a, Register b, Register c) { return _mm512_fmadd_ps(a, b, c); }
  static void pin([[maybe_unused]] Register& r) {
#if !defined(COLOPHON_EMULATED_AVX512)
    asm("" : "+v"(r));
#endif
  }
  static F32 join(const Register* r) { return {r[0]}; }
  static void split(F32 a, Register* r) { r[0] = a.v; }

  static F32 zero() { return {_mm512_setzero_ps()}; }
  static F32 broadcast(float x) { return {_mm512_set1_ps(x)}; }
  static F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static F32 load_partial(const float* p, size_t n) { return {_mm512_maskz_loadu_ps(mask(n), p)}; }
  static F32 load_f16(const uint16_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  static F32 load_bf16(const uint16_t* p) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16))};
  }
  static F32 load_i32(const int32_t* p) { return {_mm512_cvtepi32_ps(_mm512_loadu_si512(p))}; }
  static void store(float* p, F32 a) { _mm512_storeu_ps(p, a.v); }
  static void store_partial(float* p, F32 a, size_t n) { _mm512_mask_storeu_ps(p, mask(n), a.v); }
  static void store_f16(uint16_t* p, F32 a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
  }
  static F32 add(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
  static F32 sub(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
  static F32 mul(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
  static F32 div(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
  static F32 max(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
  static F32 min(F32 a, F32 b) { return {_mm512_min_ps(a.v, b.v)}; }
  static F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  static F32 fms(F32 a, F32 b, F32 c) { return {_mm512_fmsub_ps(a.v, b.v, c.v)}; }
  static F32 keep(F32 a, size_t first, size_t last, F32 b) {
    return {_mm512_mask_blend_ps(static_cast<__mmask16>(mask(last) & ~mask(first)), b.v, a.v)};
  }
  static unsigned greater(F32 a, F32 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ); }
  static F32 zero_where_greater(F32 a, F32 b, F32 value) {
    return {_mm512_maskz_mov_ps(static_cast<__mmask16>(~_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)), value.v)};
  }
  static size_t first_equal(F32 a, F32 b) {
    return static_cast<size_t>(__builtin_ctz(static_cast<unsigned>(_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)) | 1u << kLanes));
  }
  static F32 round(F32 a) {
    return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  static F32 scale_pow2(F32 a, F32 n) {
    const __m512i whole = _mm512_cvttps_epi32(n.v);
    const __m512i half = _mm512_srai_epi32(whole, 1);
    return {_mm512_mul_ps(_mm512_mul_ps(a.v, pow2(half)), pow2(_mm512_sub_epi32(whole, half)))};
  }
  static float reduce_add(F32 a) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    four = _mm_add_ss(four, _mm_movehdup_ps(four));
    return _mm_cvtss_f32(four);
  }
  static float reduce_max(F32 a) {
    const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    four = _mm_max_ss(four, _mm_movehdup_ps(four));
    return _mm_cvtss_f32(four);
  }

 private:
  static __mmask16 mask(size_t n) { return static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << n) - 1); }
  static __m512 pow2(__m512i n) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(127)), 23));
  }
};
#endif

/// e^x in float32, about 1 ulp: Cody-Waite reduction to |r| <= ln2/2 and a degree-6 polynomial (Cephes' expf
/// coefficients), fma throughout. x is clamped to [-104, 88.7]; below it the result is 0.
template <typename V>
inline typename V::F32 exp(typename V::F32 x) {
  using F32 = typename V::F32;
  x = V::min(V::max(x, V::broadcast(-104.0f)), V::broadcast(88.7f));
  const F32 n = V::round(V::mul(x, V::broadcast(1.44269504088896341f)));
  F32 r = V::fma(n, V::broadcast(-0.693359375f), x);
  r = V::fma(n, V::broadcast(2.12194440e-4f), r);
  F32 p = V::broadcast(1.9875691500e-4f);
  p = V::fma(p, r, V::broadcast(1.3981999507e-3f));
  p = V::fma(p, r, V::broadcast(8.3334519073e-3f));
  p = V::fma(p, r, V::broadcast(4.1665795894e-2f));
  p = V::fma(p, r, V::broadcast(1.6666665459e-1f));
  p = V::fma(p, r, V::broadcast(5.0000001201e-1f));
  const F32 r2 = V::mul(r, r);
  p = V::fma(p, r2, V::add(r, V::broadcast(1.0f)));
  return V::scale_pow2(p, n);
}

}  // namespace
}  // namespace colophon::simd
