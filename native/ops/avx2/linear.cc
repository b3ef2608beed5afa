#if defined(__x86_64__)

// linear() for AVX2. Without VNNI the integer dot product is built from the 8- and 16-bit multiplies:
//
// Nibble weights: vpmaddubsw(weight 0..15, activation) gives sums of two products of at most 3810; the eight
// of a block of 32 columns stay within 30480, so they are added in 16 bits and widened once a block. Byte
// weights: sums of two products may reach 32512 and leave no room, so weights and activations are widened to
// 16 bits and multiplied by vpmaddwd. A lane's four columns are taken as the pairs (0, 2) and (1, 3), which
// shifts alone separate.

#include "ops/generic/linear.h"

namespace colophon {
namespace {

using V = simd::Avx2;
using F32 = V::F32;

/// Two registers: rows 0..7 and 8..15 of a group.
struct Rows {
  __m256i lo, hi;
};

inline Rows load_rows(const uint8_t* p) {
  return {_mm256_load_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_load_si256(reinterpret_cast<const __m256i*>(p + 32))};
}
inline __m256i broadcast_i32(const void* p) {
  int32_t value;
  std::memcpy(&value, p, 4);
  return _mm256_set1_epi32(value);
}
/// a += b, in this order and in registers. Left to itself, GCC turns long chains of integer sums into trees,
/// whose leaves do not fit the sixteen registers (measured: half the speed).
template <typename Add>
inline void accumulate(Rows& a, Rows b, Add add) {
  a = {add(a.lo, b.lo), add(a.hi, b.hi)};
  asm("" : "+x"(a.lo), "+x"(a.hi));
}
inline __m256i add_i16(__m256i a, __m256i b) { return _mm256_add_epi16(a, b); }
inline __m256i add_i32(__m256i a, __m256i b) { return _mm256_add_epi32(a, b); }

inline F32 to_float(Rows a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }

/// Ends a token's part of a block: its sums are stored before the next one's are loaded. Left to itself, GCC loads several
/// ahead and spills (measured: 6% of the time).
inline void settle_sums() { asm volatile("" ::: "memory"); }

/// Memory that the next group will read, fetched a little with every block of this one.
struct Ahead {
  const uint8_t *next, *end;
  size_t lines;  ///< a block
  void step() {
    for (size_t i = 0; i < lines && next < end; ++i, next += 64)
      _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T0);
  }
};

/// Nibbles as they are packed.
template <Encoding E>
struct PackedNibbles {
  const uint8_t *quants, *scale;
  Rows load(size_t block, size_t step) const {
    Rows w = load_rows(quants + block * 256 + step / 2 * 64);
    if (step % 2 == 1) w = {_mm256_srli_epi16(w.lo, 4), _mm256_srli_epi16(w.hi, 4)};
    const __m256i mask = _mm256_set1_epi8(15);
    return {_mm256_and_si256(w.lo, mask), _mm256_and_si256(w.hi, mask)};
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
  Rows load(size_t block, size_t step) const { return load_rows(quants + block * 512 + step * 64); }
  F32 scales(size_t block) const { return V::load(scale + block * 32); }
  F32 minimums(size_t block) const { return V::load(scale + block * 32 + 16); }
};

template <Encoding E>
inline void widen_nibbles(const PackedNibbles<E>& from, size_t blocks, uint8_t* quants, float* scale) {
  for (size_t block = 0; block < blocks; ++block, quants += 512, scale += 32) {
#pragma GCC unroll 8
    for (size_t step = 0; step < 8; ++step) {
      const Rows w = from.load(block, step);
      _mm256_store_si256(reinterpret_cast<__m256i*>(quants + step * 64), w.lo);
      _mm256_store_si256(reinterpret_cast<__m256i*>(quants + step * 64 + 32), w.hi);
    }
    V::store(scale, from.scales(block));
    V::store(scale + 16, from.minimums(block));
  }
}

/// Activations of a tile: T tokens from some block on.
struct Activations {
  const uint8_t* q;  ///< int8, or prepared pairs of int16
  size_t q_stride;   ///< bytes between tokens
  const uint32_t* multiple_pair;
  const float *multiple, *weighted_sum;
  size_t block_stride;  ///< entries of the three between tokens
};

/// Everything by value: a vector store may alias whatever lies behind a reference, which would be read again
/// after it.
template <int T, typename Source>
[[gnu::noinline]] Ahead nibble_tile(Source weight, size_t blocks, Activations x, float* acc, Ahead ahead) {
  for (size_t block = 0; block < blocks; ++block) {
    ahead.step();
    Rows sum[T];
#pragma GCC unroll 8
    for (size_t step = 0; step < 8; ++step) {
      const Rows w = weight.load(block, step);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        const __m256i q = broadcast_i32(x.q + t * x.q_stride + block * 32 + step * 4);
        const Rows product{_mm256_maddubs_epi16(w.lo, q), _mm256_maddubs_epi16(w.hi, q)};
        if (step == 0)
          sum[t] = product;
        else
          accumulate(sum[t], product, add_i16);
      }
    }
    const F32 d = weight.scales(block), m = weight.minimums(block);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const size_t at = t * x.block_stride + block;
      // Adds the two halves of each lane and multiplies with the block's scale in one.
      const __m256i multiple = broadcast_i32(x.multiple_pair + at);
      const F32 whole = to_float({_mm256_madd_epi16(sum[t].lo, multiple), _mm256_madd_epi16(sum[t].hi, multiple)});
      F32 a = V::load(acc + t * kBundleRows);
      a = V::fma(whole, d, a);
      a = V::fma(m, V::broadcast(x.weighted_sum[at]), a);
      V::store(acc + t * kBundleRows, a);
      settle_sums();
    }
  }
  return ahead;
}

/// Bytes as they are packed.
struct PackedBytes {
  const uint8_t* quants;
  template <int Pair>
  Rows load(size_t block, size_t step) const {
    Rows w = load_rows(quants + block * 512 + step * 64);
    if constexpr (Pair == 0) w = {_mm256_slli_epi16(w.lo, 8), _mm256_slli_epi16(w.hi, 8)};
    return {_mm256_srai_epi16(w.lo, 8), _mm256_srai_epi16(w.hi, 8)};
  }
};

/// Bytes widened to 16 bits, 1024 bytes a block.
struct WideBytes {
  const uint8_t* quants;
  template <int Pair>
  Rows load(size_t block, size_t step) const {
    return load_rows(quants + block * 1024 + step * 128 + Pair * 64);
  }
};

inline void widen_bytes(const PackedBytes& from, size_t blocks, uint8_t* quants) {
  for (size_t block = 0; block < blocks; ++block, quants += 1024) {
    for (size_t step = 0; step < 8; ++step) {
      const Rows even = from.load<0>(block, step), odd = from.load<1>(block, step);
      _mm256_store_si256(reinterpret_cast<__m256i*>(quants + step * 128), even.lo);
      _mm256_store_si256(reinterpret_cast<__m256i*>(quants + step * 128 + 32), even.hi);
      _mm256_store_si256(reinterpret_cast<__m256i*>(quants + step * 128 + 64), odd.lo);
      _mm256_store_si256(reinterpret_cast<__m256i*>(quants + step * 128 + 96), odd.hi);
    }
  }
}

/// Every four activations as two pairs of int16, (0, 2) and (1, 3), as the byte weights are taken apart.
inline void widen_activations(const int8_t* q, size_t count, int16_t* out) {
  for (size_t i = 0; i < count; i += 32, q += 32, out += 32) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q));
    const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8), odd = _mm256_srai_epi16(bytes, 8);
    // Unpacking interleaves within 128-bit halves; the permutes put fours 0..3 before 4..7.
    const __m256i low = _mm256_unpacklo_epi32(even, odd), high = _mm256_unpackhi_epi32(even, odd);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 16), _mm256_permute2x128_si256(low, high, 0x31));
  }
}

template <int T, Encoding E, typename Source>
[[gnu::noinline]] Ahead byte_tile(Source weight, const uint8_t* scales, size_t blocks, Activations x,
                                  float* acc, Ahead ahead) {
  constexpr size_t kParts = E == Encoding::bytes_half_f32 ? 2 : 1;
  constexpr size_t kSteps = 8 / kParts;
  for (size_t block = 0; block < blocks; ++block, scales += Scales<V, E>::kBlockBytes) {
    ahead.step();
    for (size_t part = 0; part < kParts; ++part) {
      Rows sum[T];
#pragma GCC unroll 8
      for (size_t i = 0; i < kSteps; ++i) {
        const size_t step = part * kSteps + i;
        const Rows even = weight.template load<0>(block, step);
#pragma GCC unroll 8
        for (int t = 0; t < T; ++t) {
          const __m256i q = broadcast_i32(x.q + t * x.q_stride + block * 64 + step * 8);
          const Rows product{_mm256_madd_epi16(even.lo, q), _mm256_madd_epi16(even.hi, q)};
          if (i == 0)
            sum[t] = product;
          else
            accumulate(sum[t], product, add_i32);
        }
        const Rows odd = weight.template load<1>(block, step);
#pragma GCC unroll 8
        for (int t = 0; t < T; ++t) {
          const __m256i q = broadcast_i32(x.q + t * x.q_stride + block * 64 + step * 8 + 4);
          const Rows product{_mm256_madd_epi16(odd.lo, q), _mm256_madd_epi16(odd.hi, q)};
          accumulate(sum[t], product, add_i32);
        }
      }
      const F32 d = Scales<V, E>::load(scales, part);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        // Sums are below 2^24, so that the product is rounded once.
        const F32 whole = V::mul(to_float(sum[t]), V::broadcast(x.multiple[t * x.block_stride + block]));
        V::store(acc + t * kBundleRows, V::fma(whole, d, V::load(acc + t * kBundleRows)));
        settle_sums();
      }
    }
  }
  return ahead;
}

constexpr size_t kTile = 6;
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

/// Blocks whose widened weights (with nibbles' scales: 512 + 128 bytes a block; bytes: 1024) are in the cache
/// at a time.
constexpr size_t kNibbleChunk = 24, kByteChunk = 12;
static_assert(kNibbleChunk * 640 <= kWidenedBytes && kByteChunk * 1024 <= kWidenedBytes);

/// What of the weight lies behind this group, spread over `steps` blocks of work.
inline Ahead fetch_ahead(const LinearTask& task, size_t group, size_t steps) {
  const uint8_t* next = task.weight->group(group + 1);
  const uint8_t* end = group + 1 < task.weight->groups ? next + task.weight->group_bytes : next;
  return {next, end, (task.weight->group_bytes / 64 + steps - 1) / steps};
}

/// Sums of one group, acc[tokens][kBundleRows].
template <Encoding E>
void nibble_group(const LinearTask& task, size_t group, float* acc) {
  const PackedMatrix::Layout& layout = *task.weight;
  const size_t all = layout.columns / 32;
  uint8_t* wide = task.scratch + widened_offset(task.tokens, layout.columns);
  float* wide_scales = reinterpret_cast<float*>(wide + kNibbleChunk * 512);
  const PackedNibbles<E> packed{layout.group(group), layout.scales(group)};
  Ahead ahead = fetch_ahead(task, group, (task.tokens + kTile - 1) / kTile * all);
  const size_t chunk = task.tokens <= kTile ? all : kNibbleChunk;
  for (size_t first = 0; first < all; first += chunk) {
    const size_t blocks = all - first < chunk ? all - first : chunk;
    const auto activations = [&](size_t token) {
      const size_t at = token * all + first;
      return Activations{reinterpret_cast<const uint8_t*>(task.quantized.q) + at * 32, layout.columns,
                         task.quantized.multiple_pair + at, nullptr, task.quantized.weighted_sum + at, all};
    };
    if (task.tokens <= kTile) {
      for_tiles(task.tokens, [&]<int T>(size_t token) {
        ahead = nibble_tile<T>(packed, blocks, activations(token), acc + token * kBundleRows, ahead);
      });
    } else {
      widen_nibbles(
          PackedNibbles<E>{packed.quants + first * 256, packed.scale + first * Scales<V, E>::kBlockBytes},
          blocks, wide, wide_scales);
      for_tiles(task.tokens, [&]<int T>(size_t token) {
        ahead = nibble_tile<T>(WideNibbles{wide, wide_scales}, blocks, activations(token),
                               acc + token * kBundleRows, ahead);
      });
    }
  }
}

template <Encoding E>
void byte_group(const LinearTask& task, size_t group, float* acc) {
  const PackedMatrix::Layout& layout = *task.weight;
  const size_t all = layout.columns / 32;
  uint8_t* wide = task.scratch + widened_offset(task.tokens, layout.columns);
  const uint8_t *wide_x = wide + kWidenedBytes, *quants = layout.group(group), *scales = layout.scales(group);
  Ahead ahead = fetch_ahead(task, group, (task.tokens + kTile - 1) / kTile * all);
  const size_t chunk = task.tokens <= kTile ? all : kByteChunk;
  for (size_t first = 0; first < all; first += chunk) {
    const size_t blocks = all - first < chunk ? all - first : chunk;
    const uint8_t* chunk_scales = scales + first * Scales<V, E>::kBlockBytes;
    const auto activations = [&](size_t token) {
      const size_t at = token * all + first;
      return Activations{wide_x + at * 64, layout.columns * 2, nullptr, task.quantized.multiple + at, nullptr, all};
    };
    if (task.tokens <= kTile) {
      for_tiles(task.tokens, [&]<int T>(size_t token) {
        ahead = byte_tile<T, E>(PackedBytes{quants}, chunk_scales, blocks, activations(token),
                                acc + token * kBundleRows, ahead);
      });
    } else {
      widen_bytes(PackedBytes{quants + first * 512}, blocks, wide);
      for_tiles(task.tokens, [&]<int T>(size_t token) {
        ahead = byte_tile<T, E>(WideBytes{wide}, chunk_scales, blocks, activations(token),
                                acc + token * kBundleRows, ahead);
      });
    }
  }
}

template <Encoding E>
void linear_int8(const LinearTask& task) {
  if constexpr (!has_minimum(E)) {
    int16_t* wide_x =
        reinterpret_cast<int16_t*>(task.scratch + widened_offset(task.tokens, task.weight->columns) + kWidenedBytes);
    widen_activations(task.quantized.q, task.tokens * task.weight->columns, wide_x);
  }
  float* acc = reinterpret_cast<float*>(task.scratch);
  for_bundles(task, [&](size_t first, size_t groups) {
    for (size_t token = 0; token < task.tokens; ++token)
      for (size_t g = 0; g < groups; ++g) V::store(acc + token * kBundleRows + g * 16, V::zero());
    for (size_t g = 0; g < groups; ++g) {
      if constexpr (has_minimum(E))
        nibble_group<E>(task, first + g, acc + g * 16);
      else
        byte_group<E>(task, first + g, acc + g * 16);
    }
    finish_bundle<V, E>(task, first, groups, acc);
  });
}

}  // namespace

void linear_avx2(const LinearTask& task) {
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
