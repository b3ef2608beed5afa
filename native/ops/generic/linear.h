#pragma once

// What the fast linears share: float32 activations with any weight, and the way results leave. Templates over
// the lanes of simd.h; a lane is a row of the weight.

#include "ops/linear_kernel.h"
#include "ops/simd.h"

// Unnamed for the reason given in simd.h.
namespace colophon {
namespace {

/// Sixteen rows' quants of one column as floats. `unit` is the 64-byte unit that holds the column.
template <typename V>
struct Quants;

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
template <>
struct Quants<simd::Avx2> {
  static simd::Avx2::F32 nibble(const uint8_t* unit, int shift) {
    return {nibble_half(unit, shift), nibble_half(unit + 32, shift)};
  }
  static simd::Avx2::F32 byte(const uint8_t* unit, int shift) {
    return {byte_half(unit, shift), byte_half(unit + 32, shift)};
  }

 private:
  static __m256 nibble_half(const uint8_t* p, int shift) {
    const __m256i lanes = _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
    const __m256i q =
        _mm256_and_si256(_mm256_srl_epi32(lanes, _mm_cvtsi32_si128(shift)), _mm256_set1_epi32(15));
    return _mm256_cvtepi32_ps(q);
  }
  static __m256 byte_half(const uint8_t* p, int shift) {
    const __m256i lanes = _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
    const __m256i top = _mm256_sll_epi32(lanes, _mm_cvtsi32_si128(24 - shift));
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(top, 24));
  }
};
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
template <>
struct Quants<simd::Avx512> {
  static simd::Avx512::F32 nibble(const uint8_t* unit, int shift) {
    const __m512i lanes = _mm512_srl_epi32(_mm512_loadu_si512(unit), _mm_cvtsi32_si128(shift));
    return {_mm512_cvtepi32_ps(_mm512_and_si512(lanes, _mm512_set1_epi32(15)))};
  }
  static simd::Avx512::F32 byte(const uint8_t* unit, int shift) {
    const __m512i top = _mm512_sll_epi32(_mm512_loadu_si512(unit), _mm_cvtsi32_si128(24 - shift));
    return {_mm512_cvtepi32_ps(_mm512_srai_epi32(top, 24))};
  }
};
#endif

/// The scales of sixteen rows.
template <typename V, Encoding E>
struct Scales {
  static constexpr bool kFull = E == Encoding::nibbles_min_f32 || E == Encoding::bytes_half_f32;
  static constexpr bool kTwo = E != Encoding::nibbles && E != Encoding::bytes;
  static constexpr size_t kBlockBytes = (kFull ? 64 : 32) * (kTwo ? 2 : 1);

  /// Entry `kind` (layout: ops/packed_layout.h) of one block.
  static typename V::F32 load(const uint8_t* block, size_t kind) {
    if constexpr (kFull)
      return V::load(reinterpret_cast<const float*>(block) + kind * 16);
    else
      return V::load_f16(reinterpret_cast<const uint16_t*>(block) + kind * 16);
  }
  /// What is added to quant times scale.
  static typename V::F32 minimum(const uint8_t* block) {
    if constexpr (E == Encoding::nibbles)
      return V::mul(load(block, 0), V::broadcast(-8.0f));
    else
      return load(block, 1);
  }
};

/// Sixteen results, of which the first `rows` are there, to y.
template <typename V>
inline void store_rows(float* y, typename V::F32 value, size_t rows) {
  if (rows >= 16)
    V::store(y, value);
  else
    V::store_partial(y, value, rows);
}

/// Weights of 16 rows as the float kernel reads them, column after column.
template <typename V, DType D>
struct FloatColumns {
  const uint8_t* data;
  typename V::F32 load(size_t column) const {
    if constexpr (D == DType::f32)
      return V::load(reinterpret_cast<const float*>(data) + column * 16);
    else if constexpr (D == DType::f16)
      return V::load_f16(reinterpret_cast<const uint16_t*>(data) + column * 16);
    else
      return V::load_bf16(reinterpret_cast<const uint16_t*>(data) + column * 16);
  }
};

/// acc[T][16] = fma(w, x, acc) over the columns in order.
template <typename V, int T, typename Columns>
[[gnu::noinline]] void float_tile(const Columns& weight, size_t columns, const float* x, size_t x_stride,
                                  float* acc) {
  using F32 = typename V::F32;
  F32 sum[T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) sum[t] = V::load(acc + t * 16);
  for (size_t k = 0; k < columns; ++k) {
    const F32 w = weight.load(k);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) sum[t] = V::fma(w, V::broadcast(x[t * x_stride + k]), sum[t]);
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) V::store(acc + t * 16, sum[t]);
}

/// All tokens of a task over a run of columns, six at a time: with two registers a lane set (AVX2) 12 sums
/// fit.
template <typename V, typename Columns>
inline void float_tokens(const LinearTask& task, const Columns& weight, size_t first_column, size_t columns,
                         float* acc) {
  const size_t stride = task.weight->columns;
  const float* x = task.x + first_column;
  size_t token = 0;
  for (; token + 6 <= task.tokens; token += 6)
    float_tile<V, 6>(weight, columns, x + token * stride, stride, acc + token * 16);
  x += token * stride;
  acc += token * 16;
  switch (task.tokens - token) {
    case 5:
      return float_tile<V, 5>(weight, columns, x, stride, acc);
    case 4:
      return float_tile<V, 4>(weight, columns, x, stride, acc);
    case 3:
      return float_tile<V, 3>(weight, columns, x, stride, acc);
    case 2:
      return float_tile<V, 2>(weight, columns, x, stride, acc);
    case 1:
      return float_tile<V, 1>(weight, columns, x, stride, acc);
    default:
      return;
  }
}

/// Blocks [first, first + blocks) of a group as floats [column][16], d * q + m: a product and a sum.
template <typename V, Encoding E>
inline void widen_blocks(const PackedMatrix::Layout& layout, size_t group, size_t first, size_t blocks,
                         float* out) {
  using F32 = typename V::F32;
  using S = Scales<V, E>;
  constexpr bool kNibbles = has_minimum(E);
  const uint8_t* unit = layout.group(group) + first * (kNibbles ? 256 : 512);
  const uint8_t* scales = layout.scales(group) + first * S::kBlockBytes;
  for (size_t block = 0; block < blocks; ++block, scales += S::kBlockBytes, out += 512) {
    if constexpr (kNibbles) {
      const F32 d = S::load(scales, 0), m = S::minimum(scales);
      for (size_t u = 0; u < 4; ++u, unit += 64) {
        for (int j = 0; j < 4; ++j) {
          V::store(out + (u * 8 + j) * 16, V::add(V::mul(d, Quants<V>::nibble(unit, 8 * j)), m));
          V::store(out + (u * 8 + 4 + j) * 16, V::add(V::mul(d, Quants<V>::nibble(unit, 8 * j + 4)), m));
        }
      }
    } else {
      for (size_t u = 0; u < 8; ++u, unit += 64) {
        const F32 d = S::load(scales, E == Encoding::bytes_half_f32 ? u / 4 : 0);
        for (int j = 0; j < 4; ++j) V::store(out + (u * 4 + j) * 16, V::mul(d, Quants<V>::byte(unit, 8 * j)));
      }
    }
  }
}

template <typename V, Encoding E>
inline void float_group_widened(const LinearTask& task, size_t group, float* acc, float* widened) {
  constexpr size_t kBlocks = 8;  // 16 KiB of floats, half of the first-level cache
  const size_t all = task.weight->columns / 32;
  for (size_t block = 0; block < all; block += kBlocks) {
    const size_t blocks = all - block < kBlocks ? all - block : kBlocks;
    widen_blocks<V, E>(*task.weight, group, block, blocks, widened);
    const FloatColumns<V, DType::f32> columns{reinterpret_cast<const uint8_t*>(widened)};
    float_tokens<V>(task, columns, block * 32, blocks * 32, acc);
  }
}

/// Calls take(k, weights) for the columns of a group that outliers meet, each as floats: d * q + m, a product and a sum.
template <typename V, Encoding E, typename Take>
inline void widen_columns(const PackedMatrix::Layout& layout, size_t group, const OutlierColumns& of, const Take& take) {
  using F32 = typename V::F32;
  using S = Scales<V, E>;
  constexpr size_t kScaleColumns = E == Encoding::bytes_half_f32 ? 16 : 32;
  const uint8_t *quants = layout.group(group), *scales = layout.scales(group);
  F32 d = V::zero(), m = V::zero();
  size_t end = 0;  // of the columns that d and m belong to
  for (size_t k = 0; k < of.column_count; ++k) {
    const size_t column = of.columns[k], block = column / 32, i = column % 32;
    if (column >= end) {
      const uint8_t* of_block = scales + block * S::kBlockBytes;
      d = S::load(of_block, kScaleColumns == 16 ? i / 16 : 0);
      if constexpr (has_minimum(E)) m = S::minimum(of_block);
      end = (column / kScaleColumns + 1) * kScaleColumns;
    }
    if constexpr (has_minimum(E)) {
      const int shift = static_cast<int>(i % 4 * 8 + i % 8 / 4 * 4);
      take(k, V::add(V::mul(d, Quants<V>::nibble(quants + block * 256 + i / 8 * 64, shift)), m));
    } else {
      take(k, V::mul(d, Quants<V>::byte(quants + block * 512 + i / 4 * 64, static_cast<int>(i % 4 * 8))));
    }
  }
}

/// body(first group, groups) for a task's groups, kBundleGroups at a time.
template <typename Body>
inline void for_bundles(const LinearTask& task, const Body& body) {
  const size_t end = task.first_group + task.groups;
  for (size_t first = task.first_group; first < end; first += kBundleGroups)
    body(first, end - first < kBundleGroups ? end - first : kBundleGroups);
}

/// What the outliers of each token meet, widened to [column][kBundleRows], added to its sums, G groups of them.
template <typename V, size_t G>
inline void finish_tokens(const LinearTask& task, size_t first_group, const float* widened, const float* acc) {
  using F32 = typename V::F32;
  const OutlierColumns& of = task.outliers;
  const size_t last_rows = task.weight->rows - (first_group + G - 1) * 16;
  float* y = task.y + first_group * 16;
  const Outlier* outlier = of.outliers;
  for (size_t token = 0; token < task.tokens; ++token, y += task.y_stride, acc += kBundleRows) {
    const F32 unit = V::broadcast(task.quantized.unit[token]);
    F32 sum[G];
#pragma GCC unroll 4
    for (size_t g = 0; g < G; ++g) sum[g] = V::mul(V::load(acc + g * 16), unit);
    for (const Outlier* const end = of.outliers + of.end[token]; outlier < end; ++outlier) {
      const F32 value = V::broadcast(outlier->value);
      const float* const w = widened + outlier->column * kBundleRows;
#pragma GCC unroll 4
      for (size_t g = 0; g < G; ++g) sum[g] = V::fma(V::load(w + g * 16), value, sum[g]);
    }
#pragma GCC unroll 4
    for (size_t g = 0; g < G; ++g) store_rows<V>(y + g * 16, sum[g], g + 1 < G ? 16 : last_rows);
  }
}

/// The integer sums of some groups (at most kBundleGroups), acc[tokens][kBundleRows], to y: times the tokens' units, plus
/// what the weights give with the outliers.
template <typename V, Encoding E>
[[gnu::noinline]] void finish_bundle(const LinearTask& task, size_t first_group, size_t groups, const float* acc) {
  using F32 = typename V::F32;
  const OutlierColumns& of = task.outliers;
  if (task.tokens == 1) {  // outlier k is in column k
    for (size_t g = 0; g < groups; ++g) {
      F32 sum = V::mul(V::load(acc + g * 16), V::broadcast(*task.quantized.unit));
      widen_columns<V, E>(*task.weight, first_group + g, of,
                          [&](size_t k, F32 w) { sum = V::fma(w, V::broadcast(of.outliers[k].value), sum); });
      store_rows<V>(task.y + (first_group + g) * 16, sum, task.weight->rows - (first_group + g) * 16);
    }
    return;
  }
  float* widened = reinterpret_cast<float*>(task.scratch + accumulator_bytes(task.tokens));
  for (size_t g = 0; g < groups; ++g) {
    float* const to = widened + g * 16;
    widen_columns<V, E>(*task.weight, first_group + g, of, [&](size_t k, F32 w) { V::store(to + k * kBundleRows, w); });
  }
  static_assert(kBundleGroups == 4);
  switch (groups) {
    case 4: return finish_tokens<V, 4>(task, first_group, widened, acc);
    case 3: return finish_tokens<V, 3>(task, first_group, widened, acc);
    case 2: return finish_tokens<V, 2>(task, first_group, widened, acc);
    default: return finish_tokens<V, 1>(task, first_group, widened, acc);
  }
}

/// linear with float32 activations for a task's groups.
template <typename V>
inline void linear_float32(const LinearTask& task) {
  const PackedMatrix::Layout& layout = *task.weight;
  float* acc = reinterpret_cast<float*>(task.scratch);
  float* widened = reinterpret_cast<float*>(task.scratch + widened_offset(task.tokens, layout.columns));
  for (size_t group = task.first_group; group < task.first_group + task.groups; ++group) {
    for (size_t token = 0; token < task.tokens; ++token) V::store(acc + token * 16, V::zero());
    const uint8_t* data = layout.group(group);
    switch (layout.encoding) {
      case Encoding::floats:
        if (layout.type == DType::f32)
          float_tokens<V>(task, FloatColumns<V, DType::f32>{data}, 0, layout.columns, acc);
        else if (layout.type == DType::f16)
          float_tokens<V>(task, FloatColumns<V, DType::f16>{data}, 0, layout.columns, acc);
        else
          float_tokens<V>(task, FloatColumns<V, DType::bf16>{data}, 0, layout.columns, acc);
        break;
      case Encoding::nibbles:
        float_group_widened<V, Encoding::nibbles>(task, group, acc, widened);
        break;
      case Encoding::nibbles_min:
        float_group_widened<V, Encoding::nibbles_min>(task, group, acc, widened);
        break;
      case Encoding::nibbles_min_f32:
        float_group_widened<V, Encoding::nibbles_min_f32>(task, group, acc, widened);
        break;
      case Encoding::bytes:
        float_group_widened<V, Encoding::bytes>(task, group, acc, widened);
        break;
      case Encoding::bytes_half_f32:
        float_group_widened<V, Encoding::bytes_half_f32>(task, group, acc, widened);
        break;
    }
    float* y = task.y + group * 16;
    for (size_t token = 0; token < task.tokens; ++token, y += task.y_stride)
      store_rows<V>(y, V::load(acc + token * 16), layout.rows - group * 16);
  }
}

}  // namespace
}  // namespace colophon
