#if defined(__x86_64__)

// linear() for AVX-512 with VNNI: vpdpbusd multiplies four unsigned bytes of a weight's row with four signed
// activations and adds the products to a 32-bit lane. Nibbles are unsigned as they are. Signed bytes are
// moved by 128 (one xor), and the sums start at -128 * sum(activations), computed once for all groups of a
// task.

#include "ops/generic/linear.h"

namespace colophon {
namespace {

using V = simd::Avx512;
using F32 = V::F32;

constexpr size_t kTile = 8;
/// Blocks whose widened nibbles and scales (512 + 128 bytes a block) are in the cache at a time.
constexpr size_t kNibbleChunk = 24;
static_assert(kNibbleChunk * 640 <= kWidenedBytes);

inline __m512i broadcast_i32(const void* p) {
  int32_t value;
  std::memcpy(&value, p, 4);
  return _mm512_set1_epi32(value);
}

/// Memory that the next group will read, fetched a little with every block of this one.
struct Ahead {
  const uint8_t *next, *end;
  size_t lines;  ///< a block
  void step() {
    for (size_t i = 0; i < lines && next < end; ++i, next += 64)
      _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T0);
  }
};

inline Ahead fetch_ahead(const LinearTask& task, size_t group, size_t steps) {
  const uint8_t* next = task.weight->group(group + 1);
  const uint8_t* end = group + 1 < task.weight->groups ? next + task.weight->group_bytes : next;
  return {next, end, (task.weight->group_bytes / 64 + steps - 1) / steps};
}

/// Nibbles as they are packed.
template <Encoding E>
struct PackedNibbles {
  const uint8_t *quants, *scale;
  __m512i load(size_t block, size_t step) const {
    __m512i w = _mm512_loadu_si512(quants + block * 256 + step / 2 * 64);
    if (step % 2 == 1) w = _mm512_srli_epi16(w, 4);
    return _mm512_and_si512(w, _mm512_set1_epi8(15));
  }
  F32 scales(size_t block) const { return Scales<V, E>::load(scale + block * Scales<V, E>::kBlockBytes, 0); }
  F32 minimums(size_t block) const {
    return Scales<V, E>::minimum(scale + block * Scales<V, E>::kBlockBytes);
  }
};

/// Nibbles widened to bytes, 512 a block, and their scales and minimums as floats, 32 a block.
struct WideNibbles {
  const uint8_t* quants;
  const float* scale;
  __m512i load(size_t block, size_t step) const {
    return _mm512_loadu_si512(quants + block * 512 + step * 64);
  }
  F32 scales(size_t block) const { return V::load(scale + block * 32); }
  F32 minimums(size_t block) const { return V::load(scale + block * 32 + 16); }
};

template <Encoding E>
inline void widen_nibbles(const PackedNibbles<E>& from, size_t blocks, uint8_t* quants, float* scale) {
  for (size_t block = 0; block < blocks; ++block, quants += 512, scale += 32) {
#pragma GCC unroll 8
    for (size_t step = 0; step < 8; ++step) _mm512_storeu_si512(quants + step * 64, from.load(block, step));
    V::store(scale, from.scales(block));
    V::store(scale + 16, from.minimums(block));
  }
}

/// Activations of a tile, T tokens from some block on.
struct Activations {
  const int8_t* q;
  size_t q_stride;
  const float *scale, *weighted_sum;
  const int32_t* start;  ///< [tokens][scale_stride * 2]: -128 * sum of each 16 columns; bytes only
  size_t scale_stride;
};

/// Everything by value: a vector store may alias whatever lies behind a reference, which would be read again
/// after it.
template <int T, typename Source>
[[gnu::noinline]] Ahead nibble_tile(Source weight, size_t blocks, Activations x, float* acc, Ahead ahead) {
  __m512 result[T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) result[t] = _mm512_loadu_ps(acc + t * 16);
  for (size_t block = 0; block < blocks; ++block) {
    ahead.step();
    __m512i sum[T];
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) sum[t] = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (size_t step = 0; step < 8; ++step) {
      const __m512i w = weight.load(block, step);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t)
        sum[t] = _mm512_dpbusd_epi32(sum[t], w, broadcast_i32(x.q + t * x.q_stride + block * 32 + step * 4));
    }
    const __m512 d = weight.scales(block).v, m = weight.minimums(block).v;
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const size_t at = t * x.scale_stride + block;
      result[t] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum[t]), d), _mm512_set1_ps(x.scale[at]),
                                  result[t]);
      result[t] = _mm512_fmadd_ps(m, _mm512_set1_ps(x.weighted_sum[at]), result[t]);
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) _mm512_storeu_ps(acc + t * 16, result[t]);
  return ahead;
}

template <int T, Encoding E>
[[gnu::noinline]] Ahead byte_tile(const uint8_t* quants, const uint8_t* scales, size_t blocks, Activations x,
                                  float* acc, Ahead ahead) {
  constexpr size_t kParts = E == Encoding::bytes_half_f32 ? 2 : 1;
  constexpr size_t kSteps = 8 / kParts;
  const __m512i flip = _mm512_set1_epi8(-128);
  __m512 result[T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) result[t] = _mm512_loadu_ps(acc + t * 16);
  for (size_t block = 0; block < blocks; ++block, scales += Scales<V, E>::kBlockBytes) {
    ahead.step();
#pragma GCC unroll 2
    for (size_t part = 0; part < kParts; ++part) {
      __m512i sum[T];
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        const int32_t* start = x.start + (t * x.scale_stride + block) * 2;
        sum[t] = _mm512_set1_epi32(kParts == 2 ? start[part] : start[0] + start[1]);
      }
#pragma GCC unroll 8
      for (size_t i = 0; i < kSteps; ++i) {
        const size_t step = part * kSteps + i;
        const __m512i w = _mm512_xor_si512(_mm512_loadu_si512(quants + block * 512 + step * 64), flip);
#pragma GCC unroll 8
        for (int t = 0; t < T; ++t)
          sum[t] =
              _mm512_dpbusd_epi32(sum[t], w, broadcast_i32(x.q + t * x.q_stride + block * 32 + step * 4));
      }
      const __m512 d = Scales<V, E>::load(scales, part).v;
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        const __m512 scale_x = _mm512_set1_ps(x.scale[t * x.scale_stride + block]);
        result[t] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum[t]), d), scale_x, result[t]);
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) _mm512_storeu_ps(acc + t * 16, result[t]);
  return ahead;
}

/// -128 * sum of every 16 activations.
inline void sum_activations(const int8_t* q, size_t count, int32_t* out) {
  for (size_t i = 0; i < count; i += 16, q += 16) {
    const __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q)));
    *out++ = -128 * static_cast<int32_t>(V::reduce_add({_mm512_cvtepi32_ps(wide)}));
  }
}

/// Calls tile.operator()<T>(first token) for all tokens of the task, eight at a time.
template <typename Tile>
inline void for_tiles(size_t tokens, const Tile& tile) {
  size_t token = 0;
  for (; token + 8 <= tokens; token += 8) tile.template operator()<8>(token);
  switch (tokens - token) {
    case 7:
      return tile.template operator()<7>(token);
    case 6:
      return tile.template operator()<6>(token);
    case 5:
      return tile.template operator()<5>(token);
    case 4:
      return tile.template operator()<4>(token);
    case 3:
      return tile.template operator()<3>(token);
    case 2:
      return tile.template operator()<2>(token);
    case 1:
      return tile.template operator()<1>(token);
    default:
      return;
  }
}

template <Encoding E>
void nibble_groups(const LinearTask& task) {
  const PackedMatrix::Layout& layout = *task.weight;
  const size_t all = layout.columns / 32;
  float* acc = reinterpret_cast<float*>(task.scratch);
  uint8_t* wide = task.scratch + widened_offset(task);
  float* wide_scales = reinterpret_cast<float*>(wide + kNibbleChunk * 512);
  for (size_t group = task.first_group; group < task.first_group + task.groups; ++group) {
    for (size_t token = 0; token < task.tokens; ++token) V::store(acc + token * 16, V::zero());
    const PackedNibbles<E> packed{layout.group(group), layout.scales(group)};
    Ahead ahead = fetch_ahead(task, group, (task.tokens + kTile - 1) / kTile * all);
    const size_t chunk = task.tokens <= kTile ? all : kNibbleChunk;
    for (size_t first = 0; first < all; first += chunk) {
      const size_t blocks = all - first < chunk ? all - first : chunk;
      const auto activations = [&](size_t token) {
        const size_t at = token * all + first;
        return Activations{task.quantized.q + at * 32, layout.columns, task.quantized.scale + at,
                           task.quantized.weighted_sum + at, nullptr, all};
      };
      if (task.tokens <= kTile) {
        for_tiles(task.tokens, [&]<int T>(size_t token) {
          ahead = nibble_tile<T>(packed, blocks, activations(token), acc + token * 16, ahead);
        });
      } else {
        widen_nibbles(
            PackedNibbles<E>{packed.quants + first * 256, packed.scale + first * Scales<V, E>::kBlockBytes},
            blocks, wide, wide_scales);
        for_tiles(task.tokens, [&]<int T>(size_t token) {
          ahead = nibble_tile<T>(WideNibbles{wide, wide_scales}, blocks, activations(token), acc + token * 16,
                                 ahead);
        });
      }
    }
    add_outliers<V, E>(task, group, acc);
    store_group<V>(task, group, acc);
  }
}

template <Encoding E>
void byte_groups(const LinearTask& task) {
  const PackedMatrix::Layout& layout = *task.weight;
  const size_t all = layout.columns / 32;
  float* acc = reinterpret_cast<float*>(task.scratch);
  int32_t* sums = reinterpret_cast<int32_t*>(task.scratch + widened_offset(task) + kWidenedBytes);
  sum_activations(task.quantized.q, task.tokens * layout.columns, sums);
  for (size_t group = task.first_group; group < task.first_group + task.groups; ++group) {
    for (size_t token = 0; token < task.tokens; ++token) V::store(acc + token * 16, V::zero());
    Ahead ahead = fetch_ahead(task, group, (task.tokens + kTile - 1) / kTile * all);
    for_tiles(task.tokens, [&]<int T>(size_t token) {
      const size_t at = token * all;
      const Activations x{task.quantized.q + at * 32, layout.columns, task.quantized.scale + at, nullptr,
                          sums + at * 2, all};
      ahead = byte_tile<T, E>(layout.group(group), layout.scales(group), all, x, acc + token * 16, ahead);
    });
    add_outliers<V, E>(task, group, acc);
    store_group<V>(task, group, acc);
  }
}

}  // namespace

void linear_avx512(const LinearTask& task) {
  if (task.quantized.q == nullptr) return linear_float32<V>(task);
  switch (task.weight->encoding) {
    case Encoding::nibbles:
      return nibble_groups<Encoding::nibbles>(task);
    case Encoding::nibbles_min:
      return nibble_groups<Encoding::nibbles_min>(task);
    case Encoding::nibbles_min_f32:
      return nibble_groups<Encoding::nibbles_min_f32>(task);
    case Encoding::bytes:
      return byte_groups<Encoding::bytes>(task);
    case Encoding::bytes_half_f32:
      return byte_groups<Encoding::bytes_half_f32>(task);
    case Encoding::floats:
      return;  // has no int8 activations
  }
}

}  // namespace colophon

#endif
