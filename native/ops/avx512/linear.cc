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

/// What of the weight lies behind `groups` groups from `group` on, spread over `steps` blocks of work.
inline Ahead fetch_ahead(const LinearTask& task, size_t group, size_t groups, size_t steps) {
  const size_t next = group + groups, all = task.weight->groups, left = next < all ? all - next : 0;
  const size_t bytes = (left < groups ? left : groups) * task.weight->group_bytes;
  const uint8_t* begin = task.weight->group(next);
  return {begin, begin + bytes, (bytes / 64 + steps - 1) / steps};
}

/// Activations of a tile, T tokens.
struct Activations {
  const int8_t* q;
  size_t q_stride;
  const float *multiple, *weighted_sum;
  const int32_t* start;  ///< [tokens][block_stride * 2]: -128 * sum of each 16 columns; bytes only
  size_t block_stride;
};

/// G groups of the weight, whose quants and scales are `stride` bytes apart.
struct Groups {
  const uint8_t *quants, *scales;
  size_t stride;
};

/// T tokens times 16 G rows. Everything by value: a vector store may alias whatever lies behind a reference, which
/// would be read again after it.
template <int T, int G, Encoding E>
[[gnu::noinline]] Ahead nibble_tile(Groups weight, size_t blocks, Activations x, float* acc, Ahead ahead) {
  const __m512i mask = _mm512_set1_epi8(15);
  __m512 result[T][G];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 2
    for (int g = 0; g < G; ++g) result[t][g] = _mm512_loadu_ps(acc + t * kBundleRows + g * 16);
  }
  for (size_t block = 0; block < blocks; ++block) {
    ahead.step();
    __m512i sum[T][G];
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
#pragma GCC unroll 2
      for (int g = 0; g < G; ++g) sum[t][g] = _mm512_setzero_si512();
    }
#pragma GCC unroll 4
    for (size_t unit = 0; unit < 4; ++unit) {
      __m512i packed[G];
#pragma GCC unroll 2
      for (int g = 0; g < G; ++g) packed[g] = _mm512_loadu_si512(weight.quants + g * weight.stride + block * 256 + unit * 64);
#pragma GCC unroll 2
      for (size_t half = 0; half < 2; ++half) {
        __m512i w[G];
#pragma GCC unroll 2
        for (int g = 0; g < G; ++g)
          w[g] = _mm512_and_si512(half == 0 ? packed[g] : _mm512_srli_epi16(packed[g], 4), mask);
#pragma GCC unroll 8
        for (int t = 0; t < T; ++t) {
          const __m512i q = broadcast_i32(x.q + t * x.q_stride + block * 32 + unit * 8 + half * 4);
#pragma GCC unroll 2
          for (int g = 0; g < G; ++g) sum[t][g] = _mm512_dpbusd_epi32(sum[t][g], w[g], q);
        }
      }
    }
    __m512 d[G], m[G];
#pragma GCC unroll 2
    for (int g = 0; g < G; ++g) {
      const uint8_t* scales = weight.scales + g * weight.stride + block * Scales<V, E>::kBlockBytes;
      d[g] = Scales<V, E>::load(scales, 0).v;
      m[g] = Scales<V, E>::minimum(scales).v;
    }
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const size_t at = t * x.block_stride + block;
      const __m512 multiple = _mm512_set1_ps(x.multiple[at]), weighted_sum = _mm512_set1_ps(x.weighted_sum[at]);
#pragma GCC unroll 2
      for (int g = 0; g < G; ++g) {
        // Both whole numbers below 2^24, their product too: exact.
        const __m512 whole = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[t][g]), multiple);
        result[t][g] = _mm512_fmadd_ps(m[g], weighted_sum, _mm512_fmadd_ps(whole, d[g], result[t][g]));
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 2
    for (int g = 0; g < G; ++g) _mm512_storeu_ps(acc + t * kBundleRows + g * 16, result[t][g]);
  }
  return ahead;
}

template <int T, int G, Encoding E>
[[gnu::noinline]] Ahead byte_tile(Groups weight, size_t blocks, Activations x, float* acc, Ahead ahead) {
  constexpr size_t kParts = E == Encoding::bytes_half_f32 ? 2 : 1;
  constexpr size_t kSteps = 8 / kParts;
  const __m512i flip = _mm512_set1_epi8(-128);
  __m512 result[T][G];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 2
    for (int g = 0; g < G; ++g) result[t][g] = _mm512_loadu_ps(acc + t * kBundleRows + g * 16);
  }
  for (size_t block = 0; block < blocks; ++block) {
    ahead.step();
#pragma GCC unroll 2
    for (size_t part = 0; part < kParts; ++part) {
      __m512i sum[T][G];
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        const int32_t* start = x.start + (t * x.block_stride + block) * 2;
        const __m512i first = _mm512_set1_epi32(kParts == 2 ? start[part] : start[0] + start[1]);
#pragma GCC unroll 2
        for (int g = 0; g < G; ++g) sum[t][g] = first;
      }
#pragma GCC unroll 8
      for (size_t i = 0; i < kSteps; ++i) {
        const size_t step = part * kSteps + i;
        __m512i w[G];
#pragma GCC unroll 2
        for (int g = 0; g < G; ++g)
          w[g] = _mm512_xor_si512(_mm512_loadu_si512(weight.quants + g * weight.stride + block * 512 + step * 64), flip);
#pragma GCC unroll 8
        for (int t = 0; t < T; ++t) {
          const __m512i q = broadcast_i32(x.q + t * x.q_stride + block * 32 + step * 4);
#pragma GCC unroll 2
          for (int g = 0; g < G; ++g) sum[t][g] = _mm512_dpbusd_epi32(sum[t][g], w[g], q);
        }
      }
      __m512 d[G];
#pragma GCC unroll 2
      for (int g = 0; g < G; ++g)
        d[g] = Scales<V, E>::load(weight.scales + g * weight.stride + block * Scales<V, E>::kBlockBytes, part).v;
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        const __m512 multiple = _mm512_set1_ps(x.multiple[t * x.block_stride + block]);
#pragma GCC unroll 2
        for (int g = 0; g < G; ++g) {
          // The sum is below 2^24, so that the product is rounded once.
          const __m512 whole = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[t][g]), multiple);
          result[t][g] = _mm512_fmadd_ps(whole, d[g], result[t][g]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 2
    for (int g = 0; g < G; ++g) _mm512_storeu_ps(acc + t * kBundleRows + g * 16, result[t][g]);
  }
  return ahead;
}

/// -128 * sum of every 16 activations.
inline void sum_activations(const int8_t* q, size_t count, int32_t* out) {
  for (size_t i = 0; i < count; i += 16, q += 16) {
    const __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q)));
    *out++ = -128 * static_cast<int32_t>(V::reduce_add({_mm512_cvtepi32_ps(wide)}));
  }
}

/// Tokens and groups of a tile: their sums and results fill 24 of the 32 registers.
constexpr size_t kTile = 6, kTileGroups = 2;

/// Calls tile.operator()<T>(first token) for all tokens of the task, kTile at a time.
template <typename Tile>
inline void for_tiles(size_t tokens, const Tile& tile) {
  size_t token = 0;
  for (; token + kTile <= tokens; token += kTile) tile.template operator()<kTile>(token);
  static_assert(kTile == 6);
  switch (tokens - token) {
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

/// Sums of G groups, acc[tokens][kBundleRows]. start: of sum_activations, for bytes.
template <int G, Encoding E>
inline void sum_groups(const LinearTask& task, size_t group, const int32_t* start, float* acc) {
  const PackedMatrix::Layout& layout = *task.weight;
  const size_t all = layout.columns / 32;
  const Groups weight{layout.group(group), layout.scales(group), layout.group_bytes};
  Ahead ahead = fetch_ahead(task, group, G, (task.tokens + kTile - 1) / kTile * all);
  for_tiles(task.tokens, [&]<int T>(size_t token) {
    const size_t at = token * all;
    const Activations x{task.quantized.q + at * 32, layout.columns, task.quantized.multiple + at,
                        task.quantized.weighted_sum + at, start + at * 2, all};
    if constexpr (has_minimum(E))
      ahead = nibble_tile<T, G, E>(weight, all, x, acc + token * kBundleRows, ahead);
    else
      ahead = byte_tile<T, G, E>(weight, all, x, acc + token * kBundleRows, ahead);
  });
}

template <Encoding E>
void linear_int8(const LinearTask& task) {
  const size_t columns = task.weight->columns;
  int32_t* start = reinterpret_cast<int32_t*>(task.scratch + widened_offset(task.tokens, columns) + kWidenedBytes);
  if constexpr (!has_minimum(E)) sum_activations(task.quantized.q, task.tokens * columns, start);
  float* acc = reinterpret_cast<float*>(task.scratch);
  for_bundles(task, [&](size_t first, size_t groups) {
    for (size_t token = 0; token < task.tokens; ++token)
      for (size_t g = 0; g < groups; ++g) V::store(acc + token * kBundleRows + g * 16, V::zero());
    static_assert(kTileGroups == 2);
    size_t g = 0;
    for (; g + 2 <= groups; g += 2) sum_groups<2, E>(task, first + g, start, acc + g * 16);
    if (g < groups) sum_groups<1, E>(task, first + g, start, acc + g * 16);
    finish_bundle<V, E>(task, first, groups, acc);
  });
}

}  // namespace

void linear_avx512(const LinearTask& task) {
  if (task.quantized.q == nullptr) return linear_float32<V>(task);
  switch (task.weight->encoding) {
    case Encoding::nibbles:
      return linear_int8<Encoding::nibbles>(task);
    case Encoding::nibbles_min:
      return linear_int8<Encoding::nibbles_min>(task);
    case Encoding::nibbles_min_f32:
      return linear_int8<Encoding::nibbles_min_f32>(task);
    case Encoding::bytes:
      return linear_int8<Encoding::bytes>(task);
    case Encoding::bytes_half_f32:
      return linear_int8<Encoding::bytes_half_f32>(task);
    case Encoding::floats:
      return;  // has no int8 activations
  }
}

}  // namespace colophon

#endif
