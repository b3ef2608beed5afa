#pragma once

// Shrink and expand of int8 adapters for every instruction set; ops/lora.h defines the arithmetic. All sums are of whole
// numbers and exact, so their order is free: loops follow memory.

#include "ops/generic/lora.h"

namespace colophon::generic {
namespace {

/// Registers of 16-bit numbers, whose products with another's are added in pairs to 32-bit sums.
template <typename V>
struct Words;

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
template <>
struct Words<simd::Avx2> {
  using Register = __m256i;
  static constexpr size_t kCount = 16;  ///< in a register
  static Register zero() { return _mm256_setzero_si256(); }
  static Register load(const int16_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static Register widen(const int8_t* p) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Register broadcast_pair(const int16_t* p) {
    int32_t pair;
    std::memcpy(&pair, p, 4);
    return _mm256_set1_epi32(pair);
  }
  static Register multiply_add(Register a, Register b, Register sums) {
    return _mm256_add_epi32(sums, _mm256_madd_epi16(a, b));
  }
  static int64_t total(Register sums) {
    const __m256i four = _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(sums)),
                                          _mm256_cvtepi32_epi64(_mm256_extracti128_si256(sums, 1)));
    const __m128i two = _mm_add_epi64(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
    return _mm_cvtsi128_si64(two) + _mm_extract_epi64(two, 1);
  }
  /// Sixteen sums as floats.
  static simd::Avx2::F32 floats(const Register* sums) { return {_mm256_cvtepi32_ps(sums[0]), _mm256_cvtepi32_ps(sums[1])}; }
  /// Sixteen whole numbers of at most 16 bits.
  static void store(int16_t* p, simd::Avx2::F32 a) {
    const __m256i packed = _mm256_packs_epi32(_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
  }
};
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
template <>
struct Words<simd::Avx512> {
  using Register = __m512i;
  static constexpr size_t kCount = 32;
  static Register zero() { return _mm512_setzero_si512(); }
  static Register load(const int16_t* p) { return _mm512_loadu_si512(p); }
  static Register widen(const int8_t* p) {
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Register broadcast_pair(const int16_t* p) {
    int32_t pair;
    std::memcpy(&pair, p, 4);
    return _mm512_set1_epi32(pair);
  }
  static Register multiply_add(Register a, Register b, Register sums) {
    return _mm512_add_epi32(sums, _mm512_madd_epi16(a, b));
  }
  static int64_t total(Register sums) {
    const __m512i eight = _mm512_add_epi64(_mm512_cvtepi32_epi64(_mm512_castsi512_si256(sums)),
                                           _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sums, 1)));
    const __m256i four = _mm256_add_epi64(_mm512_castsi512_si256(eight), _mm512_extracti64x4_epi64(eight, 1));
    const __m128i two = _mm_add_epi64(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
    return _mm_cvtsi128_si64(two) + _mm_extract_epi64(two, 1);
  }
  static simd::Avx512::F32 floats(const Register* sums) { return {_mm512_cvtepi32_ps(sums[0])}; }
  static void store(int16_t* p, simd::Avx512::F32 a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a.v)));
  }
};
#endif

template <typename V>
inline float quantize(const float* x, size_t columns, int16_t* q) {
  const auto most = V::broadcast(1e30f), least = V::broadcast(-1e30f), zero = V::zero();
  const auto value = [&](size_t i) {
    const auto loaded = columns - i >= kLanes ? V::load(x + i) : V::load_partial(x + i, columns - i);
    return V::min(V::max(loaded, least), most);
  };
  auto sizes = zero;
  for (size_t i = 0; i < columns; i += kLanes) {
    const auto v = value(i);
    sizes = V::max(sizes, V::max(v, V::sub(zero, v)));
  }
  const float largest = V::reduce_max(sizes);
  const bool nothing = largest < 1e-30f;
  const auto inverse = V::broadcast(nothing ? 0 : 32767.0f / largest);
  size_t i = 0;
  for (; i < columns; i += kLanes) Words<V>::store(q + i, V::mul(value(i), inverse));
  for (; i % 32 != 0; i += kLanes) Words<V>::store(q + i, zero);
  return nothing ? 0 : largest / 32767.0f;
}

template <typename V>
inline void quantize_x(const LoraCall& call) {
  const size_t in = call.matrix->in, stride = LoraMatrix::int8_a_bytes(1, call.matrix->in);
  for (size_t row = 0; row < call.rows; ++row)
    call.x_units[row] = quantize<V>(call.x + row * call.x_stride, in, call.x_quants + row * stride);
}
template <typename V>
inline void quantize_h(const LoraCall& call) {
  const LoraMatrix& m = *call.matrix;
  for (size_t row = 0; row < call.rows; ++row)
    call.h_units()[row] = quantize<V>(call.h + row * m.rank, m.rank, call.h_quants() + row * LoraCall::h_stride(m));
}

/// h of R rows and J rank rows.
template <typename V, size_t R, size_t J, typename Next>
inline void shrink_int8_tile(const LoraCall& call, size_t row, size_t j, Next& ahead) {
  using W = Words<V>;
  // A 32-bit lane takes 2 * 127 * 32767 a step and so 258 steps.
  constexpr size_t kStretch = 256 * W::kCount;
  const LoraMatrix& m = *call.matrix;
  const size_t stride = LoraMatrix::int8_a_bytes(1, m.in);
  const int8_t* a = static_cast<const int8_t*>(m.a) + j * stride;
  const int16_t* x = call.x_quants + row * stride;
  int64_t totals[R][J] = {};
  for (size_t from = 0; from < stride; from += kStretch) {
    const size_t end = stride - from < kStretch ? stride : from + kStretch;
    typename W::Register sums[R][J];
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (size_t k = 0; k < J; ++k) sums[r][k] = W::zero();
    }
    for (size_t i = from; i < end; i += W::kCount) {
      typename W::Register values[R];
#pragma GCC unroll 8
      for (size_t r = 0; r < R; ++r) values[r] = W::load(x + r * stride + i);
#pragma GCC unroll 8
      for (size_t k = 0; k < J; ++k) {
        const auto weights = W::widen(a + k * stride + i);
#pragma GCC unroll 8
        for (size_t r = 0; r < R; ++r) sums[r][k] = W::multiply_add(weights, values[r], sums[r][k]);
      }
      if constexpr (J * W::kCount >= 64) ahead.used(J * W::kCount);
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (size_t k = 0; k < J; ++k) totals[r][k] += W::total(sums[r][k]);
    }
  }
  if constexpr (J * W::kCount < 64) ahead.used(J * stride);
#pragma GCC unroll 8
  for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (size_t k = 0; k < J; ++k)
      call.h[(row + r) * m.rank + j + k] = static_cast<float>(totals[r][k]) * call.x_units[row + r] * m.scale[j + k];
  }
}
template <typename V, size_t R, size_t J, typename Next>
inline void shrink_int8_rows(const LoraPart& part, size_t row, Next& ahead) {
  size_t j = part.first;
  for (; j + J <= part.last; j += J) shrink_int8_tile<V, R, J>(*part.call, row, j, ahead);
  for (; j < part.last; ++j) shrink_int8_tile<V, R, 1>(*part.call, row, j, ahead);
}
template <typename V, typename Next>
inline void shrink_int8(const LoraPart& part, Next& ahead) {
  constexpr bool kWide = V::kAccumulators / V::kRegisters >= 16;
  constexpr size_t kRanks = kWide ? 4 : 2;
  size_t row = part.first_row;
  for (; row + 4 <= part.last_row; row += 4) shrink_int8_rows<V, 4, kRanks>(part, row, ahead);
  switch (part.last_row - row) {
    case 3: return shrink_int8_rows<V, 3, kRanks>(part, row, ahead);
    case 2: return shrink_int8_rows<V, 2, 4>(part, row, ahead);
    case 1: return shrink_int8_rows<V, 1, 4>(part, row, ahead);
    default: return;
  }
}

/// R rows of y, G groups of sixteen columns from n on.
template <typename V, size_t R, size_t G, typename Next>
inline void expand_int8_tile(const LoraCall& call, size_t row, size_t n, Next& ahead) {
  using W = Words<V>;
  const LoraMatrix& m = *call.matrix;
  const size_t pairs = (size_t{m.rank} + 1) / 2, h_stride = LoraCall::h_stride(m);
  const int8_t* b = static_cast<const int8_t*>(m.b_t) + n * pairs * 2;
  const int16_t* h = call.h_quants() + row * h_stride;
  for (size_t from = 0; from < pairs; from += kRankChunk / 2) {
    const size_t end = pairs - from < kRankChunk / 2 ? pairs : from + kRankChunk / 2;
    typename W::Register sums[R][G][V::kRegisters];
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (size_t g = 0; g < G * V::kRegisters; ++g) sums[r][g / V::kRegisters][g % V::kRegisters] = W::zero();
    }
    for (size_t pair = from; pair < end; ++pair) {
      typename W::Register by[R];
#pragma GCC unroll 8
      for (size_t r = 0; r < R; ++r) by[r] = W::broadcast_pair(h + r * h_stride + pair * 2);
#pragma GCC unroll 4
      for (size_t g = 0; g < G; ++g) {
#pragma GCC unroll 2
        for (size_t part = 0; part < V::kRegisters; ++part) {
          const auto weights = W::widen(b + (g * pairs + pair) * 32 + part * W::kCount);
#pragma GCC unroll 8
          for (size_t r = 0; r < R; ++r) sums[r][g][part] = W::multiply_add(weights, by[r], sums[r][g][part]);
        }
      }
    }
    const bool last = end == pairs;
#pragma GCC unroll 8
    for (size_t r = 0; r < R; ++r) {
      const auto unit = V::broadcast(call.h_units()[row + r]);
      float* const y = call.y + (row + r) * call.y_stride;
#pragma GCC unroll 4
      for (size_t g = 0; g < G; ++g) {
        const size_t at = n + g * kLanes, lanes = m.out - at < kLanes ? m.out - at : kLanes;
        const auto before = lanes == kLanes ? V::load(y + at) : V::load_partial(y + at, lanes);
        auto value = V::fma(W::floats(sums[r][g]), unit, before);
        if (last && m.magnitude != nullptr) value = V::mul(value, V::load(m.magnitude + at));
        if (lanes == kLanes) V::store(y + at, value);
        else V::store_partial(y + at, value, lanes);
      }
    }
  }
  ahead.used(G * pairs * 32);
}
template <typename V, size_t R, typename Next>
inline void expand_int8_rows(const LoraPart& part, size_t row, Next& ahead) {
  constexpr size_t kBeside = groups_beside<V>(R);
  size_t n = part.first;
  for (; n + kBeside * kLanes <= part.last; n += kBeside * kLanes) expand_int8_tile<V, R, kBeside>(*part.call, row, n, ahead);
  for (; n < part.last; n += kLanes) expand_int8_tile<V, R, 1>(*part.call, row, n, ahead);
}
template <typename V, typename Next>
inline void expand_int8(const LoraPart& part, Next& ahead) {
  size_t row = part.first_row;
  for (; row + 4 <= part.last_row; row += 4) expand_int8_rows<V, 4>(part, row, ahead);
  switch (part.last_row - row) {
    case 3: return expand_int8_rows<V, 3>(part, row, ahead);
    case 2: return expand_int8_rows<V, 2>(part, row, ahead);
    case 1: return expand_int8_rows<V, 1>(part, row, ahead);
    default: return;
  }
}

template <typename V>
inline void shrink_part(const LoraPart& part) {
  NothingAhead nothing;
  part.call->matrix->int8() ? shrink_int8<V>(part, nothing) : lora_shrink<V>(part);
}
template <typename V>
inline void expand_part(const LoraPart& part) {
  NothingAhead nothing;
  part.call->matrix->int8() ? expand_int8<V>(part, nothing) : lora_expand<V>(part);
}

/// Each call from x to y, one after the other, what comes next fetched ahead where the rows are few.
template <typename V>
inline void lora_whole(const LoraCall* calls, size_t count) {
  Ahead ahead(calls, count);
  const auto run_int8 = [](const LoraCall& call, auto& next) {
    shrink_int8<V>({&call, 0, call.rows, 0, call.matrix->rank}, next);
    quantize_h<V>(call);
    expand_int8<V>({&call, 0, call.rows, 0, call.matrix->out}, next);
  };
  for (size_t i = 0; i < count; ++i) {
    const LoraCall& call = calls[i];
    const bool few = call.rows <= kFewRows;
    if (few) ahead.begin(i);
    if (!call.matrix->int8()) {
      whole_floats<V>(call, ahead);
      continue;
    }
    if (i == 0 || calls[i - 1].x_quants != call.x_quants) quantize_x<V>(call);
    if (few) {
      run_int8(call, ahead);
    } else {
      NothingAhead nothing;
      run_int8(call, nothing);
    }
  }
}

}  // namespace
}  // namespace colophon::generic
